package registry_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/imagebakery/packer-plugin-bakery/registry"
)

// outdated returns what is outdated, a line for each: round, image, what to
// bake it from, why.
func outdated(t *testing.T, b *bench) string {
	t.Helper()
	list, err := b.Outdated(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, o := range list {
		from := "-"
		if o.From != nil {
			from = o.From.Application + " " + o.From.Version
		}
		lines = append(lines, fmt.Sprintf("%d %s %s < %s: %s", o.Round, o.Application, o.Version, from, o.Why))
	}
	return strings.Join(lines, "\n")
}

func TestOutdated(t *testing.T) {
	b := newBench(t)
	b.add(image("debian 1", ""), passed("s"))
	base := b.add(image("base 1", "ami-debian-1"), passed("s"))
	for _, name := range []string{"shop 1", "search 1", "shop 2"} {
		b.add(image(name, "ami-base-1"), passed("s"))
	}
	wantEqual(t, "at first", "", outdated(t, b))

	// A newer base makes all applications outdated once it is tested, and of
	// each line only the newest.
	newer := b.add(image("base 2", "ami-debian-1"))
	wantEqual(t, "before it is tested", "", outdated(t, b))
	if err := b.RecordResults(t.Context(), newer.ID, passed("s")); err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "with a newer base", strings.TrimSpace(`
1 search 1 < base 2: base 2 (ami-base-2) has replaced base 1 (ami-base-1)
1 shop 2 < base 2: base 2 (ami-base-2) has replaced base 1 (ami-base-1)`), outdated(t, b))

	// What was baked again but fails its tests does not count as done.
	b.add(image("search 2", "ami-base-2"), failed("s"))
	b.add(image("shop 3", "ami-base-2"))
	wantEqual(t, "half done", "1 search 1 < base 2: base 2 (ami-base-2) has replaced base 1 (ami-base-1)", outdated(t, b))
	b.add(image("search 3", "ami-base-2"), passed("s"))
	wantEqual(t, "done", "", outdated(t, b))

	// A newer foundation goes through all layers, in rounds.
	b.add(image("debian 2", ""), passed("s"))
	wantEqual(t, "with a newer foundation", strings.TrimSpace(`
1 base 2 < debian 2: debian 2 (ami-debian-2) has replaced debian 1 (ami-debian-1)
2 search 3 < -: base 2 (ami-base-2) is to be baked again
2 shop 3 < -: base 2 (ami-base-2) is to be baked again`), outdated(t, b))

	// A revoked base is to be baked again; an older one is not gone back to.
	b.mark(newer, registry.MarkRevoked)
	b.mark(base, registry.MarkRevoked)
	wantEqual(t, "with the bases revoked", strings.TrimSpace(`
1 base 2 < debian 2: it is revoked: because
2 search 3 < -: it is revoked: its ancestor base 2 (ami-base-2) is revoked: because
2 shop 3 < -: it is revoked: its ancestor base 2 (ami-base-2) is revoked: because`), outdated(t, b))
	b.add(image("base 3", "ami-debian-2"), passed("s"))
	wantEqual(t, "with a new base", strings.TrimSpace(`
1 search 3 < base 3: it is revoked: its ancestor base 2 (ami-base-2) is revoked: because
1 shop 3 < base 3: it is revoked: its ancestor base 2 (ami-base-2) is revoked: because`), outdated(t, b))

	// A line that ended is left alone.
	b.mark(b.add(image("shop 4", "ami-base-3"), passed("s")), registry.MarkDeprecated)
	search := b.add(image("search 4", "ami-base-3"), passed("s"))
	wantEqual(t, "at the end", "", outdated(t, b))
	b.mark(search, registry.MarkRetired)
	wantEqual(t, "with the newest gone", "1 search 3 < base 3: it is revoked: its ancestor base 2 (ami-base-2) is revoked: because", outdated(t, b))
}

func TestOutdatedLooksAtTheNextLine(t *testing.T) {
	b := newBench(t)
	b.add(image("debian 1", ""), passed("s"))
	b.add(image("base 1", "ami-debian-1"), passed("s"))
	b.add(image("base 2", "ami-base-1"), passed("s")) // baked on its own line
	b.add(image("base 3", "ami-base-1"), passed("s"))
	wantEqual(t, "at first", "", outdated(t, b))
	b.add(image("debian 2", ""), passed("s"))
	wantEqual(t, "with a newer foundation", "1 base 3 < debian 2: debian 2 (ami-debian-2) has replaced debian 1 (ami-debian-1)", outdated(t, b))

	// Another release is another line.
	trixie := image("debian 3", "")
	trixie.Release = "trixie"
	b.add(trixie, passed("s"))
	b.add(image("base 4", "ami-debian-2"), passed("s"))
	wantEqual(t, "with another release", "", outdated(t, b))
}

func TestRevokeMargin(t *testing.T) {
	b := newBench(t)
	older := b.add(image("base 1", ""), passed("s"))
	foundation := b.add(image("debian 1", ""), passed("s"))
	b.add(image("base 2", "ami-debian-1"), passed("s"))
	_, err := b.Mark(t.Context(), registry.Mark{
		Image: foundation.ID, Kind: registry.MarkRevoked, Reason: "end of life", EffectiveAt: b.now.Add(48 * time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	query := registry.Query{Application: "base", AtLeast: registry.StatusTested, RevokeMargin: 24 * time.Hour}
	found, err := b.Find(t.Context(), query)
	if err != nil || found.Version != "2" {
		t.Errorf("long before: %s, %v; want base 2", found.Image, err)
	}
	b.advance(25 * time.Hour)
	if found, err = b.Find(t.Context(), query); err != nil || found.ID != older.ID {
		t.Errorf("within the margin: %s, %v; want base 1", found.Image, err)
	}
	if explained := found.Explain(); !strings.Contains(explained, "it will be revoked ") || !strings.Contains(explained, ", within 24h0m0s") {
		t.Errorf("explanation is %s", explained)
	}
}
