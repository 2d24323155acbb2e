package registry

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"
)

// Candidate is an image that a search looked at.
type Candidate struct {
	Image Image
	Lacks string // the first condition that it did not meet; empty for the one chosen
	Met   int    // how many conditions it met before
}

// Found is the answer to a search: the newest image that the query wants.
type Found struct {
	View
	Considered []Candidate // newest first; the last is the one chosen
}

// maxExplained is how many candidates an explanation lists.
const maxExplained = 50

// Explain tells which images were considered and the first thing that each
// lacked, a line for each, newest first. It lists up to 50 and counts the rest.
func (f Found) Explain() string { return explain(f.Considered, maxExplained) }

func explain(considered []Candidate, limit int) string {
	var b strings.Builder
	for i, c := range considered {
		// The one chosen stands last and is never left out.
		if i >= limit && i < len(considered)-1 {
			if i == limit {
				fmt.Fprintf(&b, "… %d more\n", len(considered)-1-limit)
			}
			continue
		}
		verdict := "chosen"
		if c.Lacks != "" {
			verdict = c.Lacks
		}
		fmt.Fprintf(&b, "%s, baked %s: %s\n", c.Image, c.Image.CreatedAt.Format(time.RFC3339), verdict)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// NoMatchError is a search that found nothing. It wraps [ErrNotFound].
type NoMatchError struct {
	Query      Query
	Considered []Candidate // newest first
	Nearest    *Candidate  // that met the most conditions; nil when none was considered

	// Applications are those that have images, when the query's has none.
	Applications []string
}

// Error says what was wanted and names the nearest miss.
func (e *NoMatchError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "no image is registered that is %s", e.Query)
	switch {
	case e.Nearest != nil:
		fmt.Fprintf(&b, "; the nearest of %d is %s, baked %s: %s", len(e.Considered), e.Nearest.Image,
			e.Nearest.Image.CreatedAt.Format(time.RFC3339), e.Nearest.Lacks)
	case len(e.Applications) > 0:
		fmt.Fprintf(&b, "; images are registered of %s", strings.Join(e.Applications, ", "))
	case e.Query.BakeKey == "":
		b.WriteString("; no image is registered at all")
	}
	return b.String()
}

// Explain tells which images were considered, as [Found.Explain] does.
func (e *NoMatchError) Explain() string { return explain(e.Considered, maxExplained) }

func (e *NoMatchError) Unwrap() error { return ErrNotFound }

// Find returns the newest image that q wants. When there is none its error is a
// [NoMatchError].
func (r *Registry) Find(ctx context.Context, q Query) (Found, error) {
	if err := q.Validate(); err != nil {
		return Found{}, err
	}
	load := newLoader(r.store)
	var considered []Candidate
	for img, err := range r.candidates(ctx, load, q) {
		if err != nil {
			return Found{}, fmt.Errorf("look for %s: %w", q, err)
		}
		v, missing, met, err := r.judge(ctx, load, q, img)
		if err != nil {
			return Found{}, fmt.Errorf("look for %s: %w", q, err)
		}
		considered = append(considered, Candidate{Image: img, Lacks: missing, Met: met})
		if missing == "" {
			return Found{View: v, Considered: considered}, nil
		}
	}
	miss := &NoMatchError{Query: q, Considered: considered}
	for i, c := range considered {
		if miss.Nearest == nil || c.Met > miss.Nearest.Met {
			miss.Nearest = &considered[i]
		}
	}
	if miss.Nearest == nil && q.BakeKey == "" {
		var err error
		if miss.Applications, err = r.applications(ctx); err != nil {
			return Found{}, fmt.Errorf("look for %s: %w", q, err)
		}
	}
	return Found{}, miss
}

// maxSampled bounds how many images are read to name applications in an error.
const maxSampled = 1000

func (r *Registry) applications(ctx context.Context) ([]string, error) {
	names, sampled := map[string]bool{}, 0
	for img, err := range r.store.Images(ctx, Filter{}) {
		if err != nil {
			return nil, err
		}
		names[fmt.Sprintf("%s (%s)", img.Application, img.Layer)] = true
		if sampled++; sampled == maxSampled {
			break
		}
	}
	return slices.Sorted(maps.Keys(names)), nil
}

// maxBatch is how many candidates are prepared at once.
const maxBatch = 256

// candidates yields the images that may be what q wants, newest first. What is
// to be read about them is read for several at once: for one at first, since most
// searches end there, and for more and more as a search goes on.
func (r *Registry) candidates(ctx context.Context, load *loader, q Query) iter.Seq2[Image, error] {
	return func(yield func(Image, error) bool) {
		var batch []Image
		size := 1
		flush := func() bool {
			if err := r.prepare(ctx, load, q, batch); err != nil {
				yield(Image{}, err)
				return false
			}
			for _, img := range batch {
				if !yield(img, nil) {
					return false
				}
			}
			batch, size = batch[:0], min(2*size, maxBatch)
			return true
		}
		for img, err := range r.store.Images(ctx, q.coarse()) {
			if err != nil {
				yield(Image{}, err)
				return
			}
			if batch = append(batch, img); len(batch) == size && !flush() {
				return
			}
		}
		flush()
	}
}

// prepare reads what judging images takes, of those whose attributes fit.
func (r *Registry) prepare(ctx context.Context, load *loader, q Query, images []Image) error {
	if len(images) < 2 {
		return nil
	}
	tests := q.onImage(r.now())
	var fit []Image
	for _, img := range images {
		lacks := func(t test) bool { return t(View{Image: img}) != "" }
		if !slices.ContainsFunc(tests, lacks) {
			fit = append(fit, img)
		}
	}
	if len(q.Packages) > 0 {
		if err := load.prefetchPackages(ctx, fit, q.packageNames()); err != nil {
			return err
		}
		fit = slices.DeleteFunc(fit, func(img Image) bool {
			list, known, err := load.packages(ctx, img, q.packageNames())
			lacks := func(t test) bool { return t(View{Image: img}) != "" }
			return err == nil && slices.ContainsFunc(q.onPackages(list, known), lacks)
		})
	}
	return load.prefetch(ctx, fit...)
}

// judge returns what the image lacks, "" for nothing, and how many conditions
// it met before that. It reads the image's packages and facts only when the
// image itself is what is wanted.
func (r *Registry) judge(ctx context.Context, load *loader, q Query, img Image) (v View, missing string, met int, err error) {
	v = View{Image: img}
	try := func(tests []test) bool {
		for _, t := range tests {
			if missing = t(v); missing != "" {
				return false
			}
			met++
		}
		return true
	}
	if !try(q.onImage(r.now())) {
		return v, missing, met, nil
	}
	if len(q.Packages) > 0 {
		list, known, err := load.packages(ctx, img, q.packageNames())
		if err != nil {
			return v, "", met, err
		}
		if !try(q.onPackages(list, known)) {
			return v, missing, met, nil
		}
	}
	if v, err = r.view(ctx, load, img); err != nil {
		return v, "", met, err
	}
	if !try(q.onView(r.now())) {
		return v, missing, met, nil
	}
	for _, wanted := range q.Ancestors {
		if missing, err = r.judgeAncestors(ctx, load, wanted, v); missing != "" || err != nil {
			return v, missing, met, err
		}
		met++
	}
	return v, "", met, nil
}

// judgeAncestors says why no ancestor of v is what q wants, or returns "". It
// names what the one lacks that is nearest to it.
func (r *Registry) judgeAncestors(ctx context.Context, load *loader, q Query, v View) (string, error) {
	if len(v.Lineage.Ancestors) == 0 {
		return fmt.Sprintf("none of its ancestors is registered, and so none is %s", q), nil
	}
	best, why := -1, ""
	for _, ancestor := range v.Lineage.Ancestors {
		_, missing, met, err := r.judge(ctx, load, q, ancestor)
		if err != nil || missing == "" {
			return "", err
		}
		if met > best {
			best, why = met, fmt.Sprintf("of its ancestor %s, %s", ancestor, missing)
		}
	}
	return why, nil
}

// coarse is what a store can sort out for q.
func (q Query) coarse() Filter {
	return Filter{Application: q.Application, Layer: q.Layer, BakeKey: q.BakeKey}
}

// Select yields the images that q wants, newest first.
func (r *Registry) Select(ctx context.Context, q Query) iter.Seq2[View, error] {
	return func(yield func(View, error) bool) {
		if err := q.Validate(); err != nil {
			yield(View{}, err)
			return
		}
		load := newLoader(r.store)
		for img, err := range r.candidates(ctx, load, q) {
			if err != nil {
				yield(View{}, fmt.Errorf("look for %s: %w", q, err))
				return
			}
			v, missing, _, err := r.judge(ctx, load, q, img)
			if err != nil {
				yield(View{}, fmt.Errorf("look for %s: %w", q, err))
				return
			}
			if missing == "" && !yield(v, nil) {
				return
			}
		}
	}
}
