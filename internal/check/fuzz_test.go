package check

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// FuzzDecide gives an image's whole answer to all kinds of checks, whatever it
// is: each check is decided or is an error, and none of them panics.
func FuzzDecide(f *testing.F) {
	var texts strings.Builder
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		texts.WriteString(strings.NewReplacer("SHA", strings.Repeat("0", 64), "VERSION", ">= 1").Replace(matrix[kind].holds) + "\n")
	}
	suite, errs := ParseSuite("all.spec.hcl", []byte(texts.String()))
	if len(errs) > 0 {
		f.Fatal(errs)
	}
	plan, errs := Compile([]Suite{suite}, Booted, time.Now())
	if len(errs) > 0 {
		f.Fatal(errs)
	}
	n := plan.needs(Booted)
	s := newScript(testNonce, n, Booted)
	// @@ opens a frame, so that the fuzzer can make more of them.
	for _, answer := range []string{
		"begin 0\n", "os-release read\nID=debian\n", "packages dpkg read\nPackage: shop\nStatus: install ok installed\nVersion: 1\n",
		"packages rpm read\nshop\tnoarch\t1:1-1\t(none)\n", "packages apk read\nP:shop\nV:1\n", "passwd read\nroot:x:0:0::/:/bin/sh\n",
		"shadow read\nshop:locked\n", "units systemd read\nshop.service enabled enabled\n", "running systemd\nactive\n", "machine-id read\n",
		"entries 0 true\neee\n", "stat 0\n81a4:0:0:1\n", "content 0\nx\n@@content-end 0 read\n", "contents 0\n==> x <==\n@@contents-end 0\n", "configs 0 read\n@@config 0 x\nname\n@@config-text 0 read\n* * * * * x\n",
		"processes read\n@@process 1\nName:\thttpd\nState:\tS\nUid:\t0\t0\n@@process-args\nhttpd\x00-p\n",
		"hygiene private-keys\n/etc/key\n@@hygiene-end private-keys read\n", "hygiene-end ssh-host-keys denied\n",
		"candidates\n/etc/a\x0012 100\n@@candidates-end read\n@@owned dpkg\n/x.md5sums:00  bin/x\n@@owned dpkg-times\n7 /x.md5sums\n",
		"out 0\nHTTP/1.1 200 OK\r\n\r\nx\n@@ran 0 0\n", "covered 0 0\ny\n", "caps 0\nx\n", "xattr 0 0\nx\n@@xattr-end 0 0 read\n",
	} {
		f.Add([]byte("@@" + answer))
	}
	f.Fuzz(func(t *testing.T, stream []byte) { decideAnswer(t, plan, n, s, stream) })
}

// decideAnswer takes what an image answers to a script, in which @@ begins a frame,
// and wants a verdict of every assertion of the first suite.
func decideAnswer(t *testing.T, plan *Plan, n *needs, s *script, answer []byte) {
	t.Helper()
	r := newFrameReader(testNonce)
	if _, err := r.Write(bytes.ReplaceAll(answer, []byte("@@"), []byte("\n"+testNonce+" "))); err != nil {
		t.Fatal(err)
	}
	facts := newFacts(Booted)
	for _, fr := range r.close() {
		facts.take(fr, n, s.batches)
	}
	facts.uncover(n)
	for _, a := range plan.Suites[0].Assertions {
		if v := a.decide(facts); v.outcome != Passed && v.outcome != Failed && v.outcome != Errored {
			t.Errorf("%s: outcome %q", a.ID(), v.outcome)
		}
	}
}

func FuzzLearned(f *testing.F) {
	f.Add("Package: a\nAuto-Installed: 1\n\nPackage: b\n")
	f.Add("Package: a\nSection: libs\nPriority: required\nDepends: b (>= 1), c:any | d\n")
	f.Fuzz(func(_ *testing.T, text string) {
		autoInstalled(text)
		basePackages(text)
		archOf([]byte(text))
	})
}
