package check

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"
	"golang.org/x/sync/errgroup"

	"github.com/imagebakery/packer-plugin-bakery/internal/secrets"
)

// The image is asked for the names of its files and for what its packages say of
// theirs. What could hold a secret is chosen here, and read by further scripts in
// portions, so that not all of it is in memory at once.

// secretsNeed is what a search for secrets passes over.
type secretsNeed struct {
	except []string
}

// passed are the paths that need not be searched at all. They have no patterns:
// those of find would match slashes too.
func (n *secretsNeed) passed() []string {
	return slices.DeleteFunc(slices.Clone(n.except), func(name string) bool { return strings.ContainsAny(name, `*?[\`) })
}

const (
	// portion is how many bytes of files one script prints.
	portion = 16 << 20
	// pileFiles is how many files one process prints.
	pileFiles = 256
	// secretsLimit is how many bytes of files are searched in all.
	secretsLimit = 512 << 20
)

// searchedSecrets is what came of the search.
type searchedSecrets struct {
	read    state
	tooMuch string // why not all was searched
	found   []secretIn
	broken  []string // files that could not be read
	genuine []string // files as their packages have brought them
}

type secretIn struct {
	path string
	secrets.Finding
}

// text is the secret for people, without the secret.
func (s secretIn) text() string {
	text := s.path
	if s.Line > 0 {
		text += ":" + strconv.Itoa(s.Line)
	}
	text += " " + s.Rule
	if s.Hint != "" {
		text += " (" + s.Hint + ")"
	}
	return text
}

func scriptSecrets(s *script, n *needs) {
	if n.secrets == nil {
		return
	}
	s.part("rpm.sh")
	s.part("secrets.sh")
	s.call("candidates", n.secrets.passed()...)
	s.call("owned")
}

// readSecrets takes a frame of the search's first script.
func (f *facts) readSecrets(fr frame) {
	switch fr.tag {
	case "candidates":
		f.candidates = parseCandidates(fr.body)
		if fr.cut {
			f.secrets.tooMuch = "the image has more files than can be listed"
		}
	case "candidates-end":
		f.secrets.read = state(fr.arg(0))
	case "owned":
		f.owned.read(fr.arg(0), fr.body)
	}
}

// searchSecrets reads the files that could hold a secret, and looks into them. An
// error is one of the run.
func (f *facts) searchSecrets(ctx context.Context, t Target, n *needs) error {
	if n.secrets == nil || f.secrets.read != stateRead && f.secrets.read != stateBroken {
		return nil
	}
	scanner, err := secrets.Load()
	if err != nil {
		return err
	}
	chosen := f.chosen(n.secrets.except)
	f.candidates = nil
	if text := tooMuch(chosen); text != "" {
		f.secrets.tooMuch = text
		return nil
	}
	done := 0
	for batch := range portions(chosen) {
		doing := func(frame) string {
			return fmt.Sprintf("searching for secrets: %d of %d files", done, len(chosen))
		}
		if err := f.searchPortion(ctx, t, scanner, batch, pileFiles, doing); err != nil {
			return fmt.Errorf("search for secrets: %w", err)
		}
		done += len(batch)
	}
	slices.SortFunc(f.secrets.found, func(a, b secretIn) int {
		return cmp.Or(cmp.Compare(a.path, b.path), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Rule, b.Rule))
	})
	return nil
}

// searchPortion reads files with one script and looks into them. Files that have
// changed while they were read together are read again by themselves.
func (f *facts) searchPortion(ctx context.Context, t Target, scanner *secrets.Scanner, files []candidate, together int, doing func(frame) string) error {
	s := &script{nonce: newNonce()}
	s.part("pile.sh")
	piles := slices.Collect(slices.Chunk(files, together))
	for i, pile := range piles {
		words := []string{strconv.Itoa(i)}
		for _, c := range pile {
			words = append(words, c.path)
		}
		s.call("pile", words...)
	}
	frames, _, err := execute(ctx, t, s, scriptTimeout, doing)
	if err != nil {
		return err
	}
	contents := unpile(frames, piles)
	var again []candidate
	found := make([][]secretIn, len(files))
	group, scanning := errgroup.WithContext(ctx)
	group.SetLimit(searchers)
	for i, c := range files {
		content, ok := contents[c.path]
		if !ok && together > 1 {
			again = append(again, c)
			continue
		}
		if !ok {
			f.secrets.broken = append(f.secrets.broken, c.path)
			continue
		}
		if f.owned.unmodified(c.path, content) {
			f.secrets.genuine = append(f.secrets.genuine, c.path)
			continue
		}
		group.Go(func() error {
			for _, secret := range scanner.Scan(scanning, c.path, content) {
				found[i] = append(found[i], secretIn{c.path, secret})
			}
			return scanning.Err()
		})
	}
	if err := group.Wait(); err != nil {
		return context.Cause(ctx)
	}
	f.secrets.found = append(f.secrets.found, slices.Concat(found...)...)
	if len(again) == 0 {
		return nil
	}
	return f.searchPortion(ctx, t, scanner, again, 1, doing)
}

// unpile cuts what was printed of several files at once into their contents. A
// pile of which the sizes do not tell where each file ends has none, unless it is
// of one file.
func unpile(frames []frame, piles [][]candidate) map[string][]byte {
	type printed struct {
		sizes []string
		bytes []byte
		whole bool
	}
	all := make([]printed, len(piles))
	for _, fr := range frames {
		i, err := strconv.Atoi(fr.arg(0))
		if err != nil || i < 0 || i >= len(piles) {
			continue
		}
		switch fr.tag {
		case "pile-sizes":
			all[i].sizes = strings.Fields(string(fr.body))
		case "pile":
			all[i].bytes = fr.body
		case "pile-end":
			all[i].whole = fr.arg(1) == string(stateRead)
		}
	}
	contents := map[string][]byte{}
	for i, pile := range piles {
		p := all[i]
		if !p.whole {
			continue
		}
		if len(pile) == 1 {
			contents[pile[0].path] = p.bytes
			continue
		}
		ends, ok := endsOf(p.sizes, len(pile), len(p.bytes))
		if !ok {
			continue
		}
		start := 0
		for j, c := range pile {
			contents[c.path] = p.bytes[start:ends[j]]
			start = ends[j]
		}
	}
	return contents
}

// endsOf is where each of several files ends in their bytes, when the sizes fit.
func endsOf(sizes []string, files, length int) ([]int, bool) {
	if len(sizes) != files {
		return nil, false
	}
	end := 0
	ends := make([]int, files)
	for i, text := range sizes {
		size, err := strconv.Atoi(text)
		if err != nil || size < 0 || size > length-end {
			return nil, false
		}
		end += size
		ends[i] = end
	}
	return ends, end == length
}

// portions cuts a list of files into parts that one script each can print.
func portions(files []candidate) func(yield func([]candidate) bool) {
	return func(yield func([]candidate) bool) {
		start, size := 0, int64(0)
		for i, c := range files {
			if i > start && size+c.size > portion {
				if !yield(files[start:i]) {
					return
				}
				start, size = i, 0
			}
			size += c.size
		}
		if start < len(files) {
			yield(files[start:])
		}
	}
}

// tooMuch says why files are too much to be searched, and which folders make them
// so; it is "" when they are not.
func tooMuch(files []candidate) string {
	total := int64(0)
	folders := map[string]int64{}
	for _, c := range files {
		total += c.size
		folders[folderOf(c.path)] += c.size
	}
	if total <= secretsLimit {
		return ""
	}
	var names []string
	for name := range folders {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(folders[b], folders[a]), cmp.Compare(a, b)) })
	var largest []string
	for _, name := range names[:min(len(names), 3)] {
		largest = append(largest, fmt.Sprintf("%s (%s)", name, humanize.IBytes(uint64(folders[name]))))
	}
	return fmt.Sprintf("%s of files are to be searched for secrets, which is more than %s; most is in %s; name in except what needs no search",
		humanize.IBytes(uint64(total)), humanize.IBytes(secretsLimit), strings.Join(largest, ", "))
}

// folderOf is the folder of a file, of two names at most.
func folderOf(file string) string {
	names := strings.SplitN(path.Dir(file), "/", 4)
	return strings.Join(names[:min(len(names), 3)], "/")
}

// secretStrikes are the secrets that a rule of hygiene is about, and what is to be
// said when there are none.
func (f *facts) secretStrikes(of func(secretIn) bool) ([]strike, verdict) {
	var list []strike
	for _, s := range f.secrets.found {
		if of(s) {
			list = append(list, strike{path: s.path, of: s.Rule, text: s.text()})
		}
	}
	switch {
	case f.secrets.read == stateDenied:
		return list, undecided("%s", rootOnly)
	case f.secrets.tooMuch != "":
		return list, undecided("%s", f.secrets.tooMuch)
	case len(f.secrets.broken) > 0:
		return list, undecided("could not be read: %s", firstOf(f.secrets.broken))
	case f.secrets.read != stateRead:
		return list, f.unread("the image's list of files")
	}
	return list, pass("nothing found")
}
