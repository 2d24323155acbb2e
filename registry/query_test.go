package registry_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/imagebakery/packer-plugin-bakery/registry"
)

func constraint(t *testing.T, s string, scheme registry.Scheme) registry.Constraint {
	t.Helper()
	c, err := registry.ParseConstraint(s, scheme)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func conditions(t *testing.T, texts ...string) []registry.PackageCondition {
	t.Helper()
	var list []registry.PackageCondition
	for _, text := range texts {
		c, err := registry.ParsePackageCondition(text)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, c)
	}
	return list
}

func (b *bench) packages(list registry.PackageList) (digest string) {
	b.t.Helper()
	digest, err := b.RecordPackages(b.t.Context(), list)
	if err != nil {
		b.t.Fatal(err)
	}
	return digest
}

// stocked returns a registry of some images, oldest first:
//
//	foundation 12.8           tested
//	base 1.4.0                tested, promoted to stable, kernel 6.1.0-18, eu-west-1 as well, openssl 3.0.14
//	base 1.4.1                tested, kernel 6.1.0-21, environment prod, openssl 3.0.11, telnetd
//	base 1.5.0                rejected
//	base 1.5.1                untested
//	base 1.3.9                tested, arm64: a fix to an old version
//	base 2.0.0                revoked
//	shop 1                    tested, from base 1.4.0
func stocked(t *testing.T) *bench {
	b := newBench(t)
	b.add(image("foundation 12.8", ""), passed("os"))

	one := image("base 1.4.0", "ami-foundation-12.8")
	one.Labels = map[string]string{"kernel": "6.1.0-18", "team": "a"}
	one.Artifacts[0].Account = "111111111111"
	one.Packages = b.packages(debs("openssl 3.0.14-1~deb12u2"))
	one.Artifacts = append(one.Artifacts, registry.Artifact{Ref: registry.Ref{Cloud: "local", Region: "eu-west-1", ID: "ami-eu"}})
	one = b.add(one, passed("base"), passed("cis"))
	if _, err := b.Promote(t.Context(), one.ID, "stable", 0, ""); err != nil {
		t.Fatal(err)
	}

	two := image("base 1.4.1", "ami-foundation-12.8")
	two.Labels, two.Environment = map[string]string{"kernel": "6.1.0-21", "team": "b"}, "prod"
	two.Packages = b.packages(debs("openssl 3.0.11-1", "telnetd 1"))
	b.add(two, passed("base"))
	b.add(image("base 1.5.0", "ami-foundation-12.8"), failed("base"))
	b.add(image("base 1.5.1", "ami-foundation-12.8"))
	fix := image("base 1.3.9", "ami-vendor")
	fix.Arch = "aarch64"
	b.add(fix, passed("base"))
	b.mark(b.add(image("base 2.0.0", "ami-foundation-12.8"), passed("base")), registry.MarkRevoked)
	b.add(image("shop 1", "ami-base-1.4.0"), passed("shop"))
	return b
}

func TestFind(t *testing.T) {
	b := stocked(t)
	base := func(change func(*registry.Query)) registry.Query {
		q := registry.Query{Application: "base", AtLeast: registry.StatusTested}
		change(&q)
		return q
	}
	for _, test := range []struct {
		name  string
		query registry.Query
		want  string // version; empty for none
		miss  string // part of the error
	}{
		{"the newest is the one baked last", base(func(*registry.Query) {}), "1.3.9", ""},
		{"of an architecture, by any name", base(func(q *registry.Query) { q.Arch = "amd64" }), "1.4.1", ""},
		{"that is registered at least", base(func(q *registry.Query) { q.AtLeast = registry.StatusBuilt; q.Arch = "x86_64" }), "1.5.1", ""},
		{"that is promoted", base(func(q *registry.Query) { q.AtLeast = registry.StatusPromoted }), "1.4.0", ""},
		{"of a channel", base(func(q *registry.Query) { q.Channel = "stable" }), "1.4.0", ""},
		{"of a version", base(func(q *registry.Query) { q.Version = constraint(t, "~> 1.4.0", registry.Semver) }), "1.4.1", ""},
		{"of a kernel", base(func(q *registry.Query) {
			q.LabelVersions = map[string]registry.Constraint{"kernel": constraint(t, "<= 6.1.0-18", registry.Deb)}
		}), "1.4.0", ""},
		{"of a label", base(func(q *registry.Query) { q.Labels = map[string]string{"team": "a"} }), "1.4.0", ""},
		{"of an environment", base(func(q *registry.Query) { q.Environment = "prod" }), "1.4.1", ""},
		{"in a region", base(func(q *registry.Query) { q.Cloud, q.Region = "local", "eu-west-1" }), "1.4.0", ""},
		{"in a cloud, wherever", base(func(q *registry.Query) { q.Cloud = "local" }), "1.3.9", ""},
		{"of an account, wherever", base(func(q *registry.Query) { q.Cloud, q.Account = "local", "111111111111" }), "1.4.0", ""},
		{"of an account", base(func(q *registry.Query) { q.Cloud, q.Region, q.Account = "local", "us-east-1", "111111111111" }), "1.4.0", ""},
		{"that passed a suite", base(func(q *registry.Query) { q.Suites = []string{"base", "cis"} }), "1.4.0", ""},
		{"that is young", base(func(q *registry.Query) { q.MaxAge = 2*time.Minute + time.Second; q.AtLeast = registry.StatusBuilt }), "1.3.9", ""},
		{"without itself", base(func(q *registry.Query) { q.Exclude = []string{"ami-base-1.3.9"} }), "1.4.1", ""},
		{"without an ancestor", base(func(q *registry.Query) { q.Exclude = []string{"ami-foundation-12.8"} }), "1.3.9", ""},
		{"without an ancestor that is not registered", base(func(q *registry.Query) { q.Exclude = []string{"local/us-east-1/ami-vendor"} }), "1.4.1", ""},
		{"with a package", base(func(q *registry.Query) { q.Packages = conditions(t, "openssl >= 3.0.14") }), "1.4.0", ""},
		{"without a package", base(func(q *registry.Query) { q.Packages = conditions(t, "!telnetd", "openssl") }), "1.4.0", ""},
		{"with an ancestor of a version", registry.Query{Application: "shop", Ancestors: []registry.Query{
			{Application: "base", Version: constraint(t, "~> 1.4.0", registry.Semver), Channel: "stable"}, {Layer: "foundation"},
		}}, "1", ""},
		{"with an ancestor that has a package", registry.Query{Application: "shop", Ancestors: []registry.Query{
			{Packages: conditions(t, "openssl >= 3")},
		}}, "1", ""},
		{"without a label", base(func(q *registry.Query) {
			q.Arch, q.ExcludeLabels = "x86_64", map[string]string{"team": "b"}
		}), "1.4.0", ""},
		{"tested lately", base(func(q *registry.Query) { q.TestedWithin = 2*time.Minute + time.Second + time.Minute }), "1.3.9", ""},
		{"by layer alone", registry.Query{Layer: "foundation", AtLeast: registry.StatusTested}, "12.8", ""},
		{"of an exact status", registry.Query{Application: "base", Status: registry.StatusRejected}, "1.5.0", ""},

		{"of no application", registry.Query{Application: "bse"}, "", "images are registered of base (base), foundation (foundation), shop (shop)"},
		{"of a release", base(func(q *registry.Query) { q.Release = "trixie" }), "", "release is bookworm, not trixie"},
		{
			"revoked", base(func(q *registry.Query) { q.Version = constraint(t, ">= 2", registry.Semver) }),
			"", "the nearest of 6 is base 2.0.0 (ami-base-2.0.0), baked 2026-03-01T12:07:00Z: it is revoked: because",
		},
		{
			"rejected", base(func(q *registry.Query) { q.Version = constraint(t, "1.5.0", registry.Semver) }),
			"", "it is rejected: suite base ended as failed",
		},
		{
			"untested", base(func(q *registry.Query) { q.Version = constraint(t, "1.5.1", registry.Semver) }),
			"", "it is built, not tested: no test result is recorded",
		},
		{
			"not promoted", base(func(q *registry.Query) {
				q.AtLeast, q.Version = registry.StatusPromoted, constraint(t, "1.4.1", registry.Semver)
			}), "", "it is tested, not promoted: it is the head of no channel",
		},
		{"label missing", base(func(q *registry.Query) { q.Labels = map[string]string{"tier": "1"} }), "", "it has no label tier"},
		{"label differs", base(func(q *registry.Query) { q.Environment, q.Labels = "prod", map[string]string{"team": "c"} }), "", "label team is b, not c"},
		{
			"package too old", base(func(q *registry.Query) {
				q.Environment, q.Packages = "prod", conditions(t, "openssl >= 3.0.14")
			}), "", "package openssl is 3.0.11-1, not >= 3.0.14",
		},
		{
			"package unknown", base(func(q *registry.Query) { q.Arch, q.Packages = "arm64", conditions(t, "!telnetd") }),
			"", "its packages are not recorded",
		},
		{
			"package excluded", base(func(q *registry.Query) { q.Environment, q.Packages = "prod", conditions(t, "!telnetd") }),
			"", "it has package telnetd 1 (amd64)",
		},
		{
			"ancestor of another version", registry.Query{Application: "shop", Ancestors: []registry.Query{
				{Application: "base", Version: constraint(t, ">= 1.4.1", registry.Semver)},
			}}, "", "of its ancestor base 1.4.0 (ami-base-1.4.0), version 1.4.0 is not >= 1.4.1",
		},
		{
			"ancestor unknown", base(func(q *registry.Query) { q.Arch, q.Ancestors = "arm64", []registry.Query{{Layer: "foundation"}} }),
			"", "none of its ancestors is registered, and so none is layer=foundation",
		},
		{
			"label excluded", base(func(q *registry.Query) { q.Environment, q.ExcludeLabels = "prod", map[string]string{"team": "b"} }),
			"", "label team is b, which is excluded",
		},
		{
			"tests too old", base(func(q *registry.Query) { q.Environment, q.TestedWithin = "prod", time.Second }),
			"", "suite base was run 5m0s ago, more than 1s",
		},
		{"region", base(func(q *registry.Query) { q.Cloud, q.Region = "local", "us-west-2" }), "", "it is in local/us-east-1, not in local/us-west-2"},
		{"account", base(func(q *registry.Query) { q.Cloud, q.Region, q.Account = "local", "us-east-1", "2" }), "", "of account not set, not in local/us-east-1 of account 2"},
		{"channel", base(func(q *registry.Query) { q.Channel = "beta" }), "", "it is not the head of channel beta"},
		{"suite", base(func(q *registry.Query) { q.Suites = []string{"smoke"} }), "", "suite smoke has no result"},
		{"age", base(func(q *registry.Query) { q.MaxAge = time.Second }), "", "it was baked 1m0s ago, more than 1s"},
		{
			"ancestor", registry.Query{Application: "shop", Exclude: []string{"ami-foundation-12.8"}},
			"", "it was baked from ami-foundation-12.8, which is excluded",
		},
		{"version that does not compare", registry.Query{Application: "shop", LabelVersions: map[string]registry.Constraint{
			"kernel": constraint(t, "1", registry.Deb),
		}}, "", "it has no label kernel"},
	} {
		t.Run(test.name, func(t *testing.T) {
			found, err := b.Find(t.Context(), test.query)
			if test.want != "" {
				if err != nil || found.Version != test.want {
					t.Errorf("found %q, %v; want %s", found.Version, err, test.want)
				}
				return
			}
			var miss *registry.NoMatchError
			if !errors.As(err, &miss) || !errors.Is(err, registry.ErrNotFound) || !strings.Contains(err.Error(), test.miss) {
				t.Errorf("found %q, error %v\nwant one with %q", found.Version, err, test.miss)
			}
		})
	}
}

func TestFindInAnEmptyRegistry(t *testing.T) {
	b := newBench(t)
	_, err := b.Find(t.Context(), registry.Query{Application: "base"})
	want := "no image is registered that is application=base; no image is registered at all"
	if err == nil || err.Error() != want {
		t.Errorf("error is %v, want %s", err, want)
	}
}

func TestFindRefusesMistakes(t *testing.T) {
	b := newBench(t)
	_, err := b.Find(t.Context(), registry.Query{AtLeast: "good", Status: "bad", Region: "us-east-1", MaxAge: -1})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{`"good" is not one of [built tested promoted]`, `"bad" is not one of`, "without its cloud", "is negative"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q: %v", want, err)
		}
	}
}

// TestPromotedAndRejected: a promotion does not outweigh tests that failed
// after it.
func TestPromotedAndRejected(t *testing.T) {
	b := newBench(t)
	img := b.add(image("base 1", ""), passed("s"))
	if _, err := b.Promote(t.Context(), img.ID, "stable", 0, ""); err != nil {
		t.Fatal(err)
	}
	b.advance(time.Minute)
	if err := b.RecordResults(t.Context(), img.ID, failed("boot")); err != nil {
		t.Fatal(err)
	}
	if got := b.status(img); got != registry.StatusPromoted {
		t.Errorf("status is %s, want promoted", got)
	}
	for _, level := range registry.Levels() {
		_, err := b.Find(t.Context(), registry.Query{Application: "base", AtLeast: level})
		if !errors.Is(err, registry.ErrNotFound) || !strings.Contains(err.Error(), "its newest test results did not all pass") {
			t.Errorf("%s: error is %v", level, err)
		}
	}
}

func TestExplain(t *testing.T) {
	b := stocked(t)
	found, err := b.Find(t.Context(), registry.Query{Application: "base", Arch: "x86_64", AtLeast: registry.StatusTested})
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "explanation", strings.TrimSpace(`
base 2.0.0 (ami-base-2.0.0), baked 2026-03-01T12:07:00Z: it is revoked: because
base 1.3.9 (ami-base-1.3.9), baked 2026-03-01T12:06:00Z: arch is arm64, not x86_64
base 1.5.1 (ami-base-1.5.1), baked 2026-03-01T12:05:00Z: it is built, not tested: no test result is recorded
base 1.5.0 (ami-base-1.5.0), baked 2026-03-01T12:04:00Z: it is rejected: suite base ended as failed
base 1.4.1 (ami-base-1.4.1), baked 2026-03-01T12:03:00Z: chosen`), found.Explain())
}

func TestLongExplanationsAreCut(t *testing.T) {
	b := newBench(t)
	want := b.add(image("base 0", ""), passed("s"))
	for i := range 60 {
		b.add(image("base 1."+strings.Repeat("1", i+1), ""))
	}
	found, err := b.Find(t.Context(), registry.Query{Application: "base", AtLeast: registry.StatusTested})
	if err != nil || found.ID != want.ID {
		t.Fatalf("found %s, %v", found.Image, err)
	}
	lines := strings.Split(found.Explain(), "\n")
	if len(lines) != 52 || lines[50] != "… 10 more" || !strings.HasSuffix(lines[51], ": chosen") {
		t.Errorf("%d lines, ending in %q", len(lines), lines[len(lines)-2:])
	}
}

func TestSelect(t *testing.T) {
	b := stocked(t)
	var got []string
	for view, err := range b.Select(t.Context(), registry.Query{Application: "base", Arch: "x86_64"}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, view.Version+" "+string(view.Status))
	}
	wantEqual(t, "images", []string{"2.0.0 revoked", "1.5.1 built", "1.5.0 rejected", "1.4.1 tested", "1.4.0 promoted"}, got)
	for _, err := range b.Select(t.Context(), registry.Query{Status: "bad"}) {
		if err == nil {
			t.Error("no error for a status that does not exist")
		}
	}
}
