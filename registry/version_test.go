package registry

import (
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
)

func TestCompare(t *testing.T) {
	for _, test := range []struct {
		scheme Scheme
		// in ascending order
		versions []string
	}{
		{Semver, []string{"1.4.0-rc.1", "1.4", "v1.4.1", "1.10.0", "2", "2026.03.01"}},
		{Deb, []string{"1.4~rc1", "1.4", "1.4-1", "1.4-1+b1", "1.4-10", "1.10", "1:0.1"}},
		{Deb, []string{"3.18.7", "3.19.7", "3.19.10", "6.1.0-18-amd64", "6.1.0-21-amd64"}},
		{RPM, []string{"1.4~rc1", "1.4", "1.4^git1", "1.4.1", "1.10", "1:0.1"}},
		{RPM, []string{"5.14.0-70.el9", "5.14.0-362.el9"}},
	} {
		for i, a := range test.versions {
			for j, b := range test.versions {
				want := 0
				if i < j {
					want = -1
				} else if i > j {
					want = 1
				}
				if got, err := test.scheme.Compare(a, b); err != nil || got != want {
					t.Errorf("%s: Compare(%q, %q) = %d, %v; want %d", test.scheme, a, b, got, err, want)
				}
			}
		}
	}
}

// TestDebOrderIsDpkgs asks dpkg itself about made-up versions.
func TestDebOrderIsDpkgs(t *testing.T) {
	if _, err := exec.LookPath("dpkg"); err != nil {
		t.Skip("needs dpkg, to compare with")
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	version := func() string {
		v := []byte{"0123456789"[rnd.IntN(10)]}
		for range rnd.IntN(7) {
			v = append(v, "0019ab.+~-~:"[rnd.IntN(11)])
		}
		return string(v)
	}
	for range 200 {
		a, b := version(), version()
		got, err := Deb.Compare(a, b)
		if err != nil {
			continue
		}
		op := map[int]string{-1: "lt", 0: "eq", 1: "gt"}[got]
		out, err := exec.CommandContext(t.Context(), "dpkg", "--compare-versions", a, op, b).CombinedOutput()
		// dpkg warns about versions that it does not like; those are not compared.
		if err != nil && len(out) == 0 {
			t.Errorf("%q %s %q, but not for dpkg", a, op, b)
		}
	}
}

func TestConstraint(t *testing.T) {
	for _, test := range []struct {
		constraint string
		scheme     Scheme
		met, unmet []string
	}{
		{"1.4.2", Semver, []string{"1.4.2", "v1.4.2", "1.4.2+build7"}, []string{"1.4.20", "1.4.2-rc1"}},
		{">= 1.4, < 2", Semver, []string{"1.4.0", "1.99", "2.0.0-rc1"}, []string{"1.3.9", "2", "1.4.0-rc1"}},
		{">=1.4,<2,!=1.5.0", Semver, []string{"1.5.1"}, []string{"1.5"}},
		{"~> 1.4", Semver, []string{"1.4", "1.9.9"}, []string{"1.3", "2.0", "2.0.0-rc1"}},
		{"~> 1.4.2", Semver, []string{"1.4.2", "1.4.9"}, []string{"1.5.0", "1.4.1", "1.5.0-rc1"}},
		{"~> 1", Semver, []string{"1.0", "1.9"}, []string{"2.0"}},
		{"= 3.19.7", Deb, []string{"3.19.7"}, []string{"3.19.7-1", "3.19.70"}},
		{"> 1:9.2p1", Deb, []string{"1:9.2p1-2+deb12u3"}, []string{"9.3", "1:9.2p1"}},
		{"rpm: >= 5.14.0-100", Deb, []string{"5.14.0-362.el9"}, []string{"5.14.0-70.el9"}},
		{"semver: >= 1.10", Deb, []string{"1.10.0"}, []string{"1.9"}},
		{" deb : <= 2 ", Semver, []string{"1.0-1", "2~rc1", "2"}, []string{"2-1"}},
	} {
		c, err := ParseConstraint(test.constraint, test.scheme)
		if err != nil {
			t.Errorf("ParseConstraint(%q): %v", test.constraint, err)
			continue
		}
		for _, v := range test.met {
			if err := c.Check(v); err != nil {
				t.Errorf("%q refuses %q: %v", test.constraint, v, err)
			}
		}
		for _, v := range test.unmet {
			if err := c.Check(v); err == nil {
				t.Errorf("%q lets %q through", test.constraint, v)
			}
		}
	}
}

func TestConstraintMistakes(t *testing.T) {
	for constraint, want := range map[string]string{
		"":                              "a version is missing",
		">=":                            "a version is missing",
		"1.4,":                          "a version is missing",
		"deb: > 1.99999999999999999999": "more than 18 digits",
		"latest":                        `"latest" is no semver version`,
		">= 1.4 < 2":                    "separate terms by commas",
		"=> 1.4":                        "separate terms by commas",
		"rpk: > 1":                      `"rpk" is no order of versions`,
		"apk: > 1_foo":                  "is no apk version",
		"deb: ~> 1.4":                   "needs the order semver",
		"deb: >= _":                     "is no deb version",
		"rpm: > .":                      "is no rpm version",
		"semver: ~> 1.x.":               "is no semver version",
	} {
		if _, err := ParseConstraint(constraint, Semver); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseConstraint(%q): error is %v, want one with %q", constraint, err, want)
		}
	}
}

func TestUncomparableVersionIsNamed(t *testing.T) {
	c, err := ParseConstraint(">= 1", Semver)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Check("nightly"); err == nil || !strings.Contains(err.Error(), `"nightly" is no semver version`) {
		t.Errorf("error is %v", err)
	}
}

func FuzzParseConstraint(f *testing.F) {
	for _, s := range []string{"1.4.2", ">= 1.4, < 2", "~> 1", "deb: >= 1:9.2p1-2", "rpm: != 1.0^git1", "semver: = v1.0.0-rc1+b"} {
		f.Add(s, "1.2.3")
	}
	f.Fuzz(func(t *testing.T, s, version string) {
		c, err := ParseConstraint(s, Semver)
		if err != nil {
			return
		}
		again, err := ParseConstraint(c.String(), Semver)
		if err != nil {
			t.Fatalf("%q is written as %q, which is refused: %v", s, c, err)
		}
		if got, want := again.Check(version) == nil, c.Check(version) == nil; got != want {
			t.Errorf("%q and %q differ about %q", s, c, version)
		}
	})
}

func FuzzCompare(f *testing.F) {
	f.Add("1.4.2", "1:1.4~rc1-2^git")
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, scheme := range Schemes() {
			there, err := scheme.Compare(a, b)
			if err != nil {
				continue
			}
			back, err := scheme.Compare(b, a)
			if err != nil || back != -there {
				t.Errorf("%s: Compare(%q, %q) = %d but the other way round %d, %v", scheme, a, b, there, back, err)
			}
		}
	})
}
