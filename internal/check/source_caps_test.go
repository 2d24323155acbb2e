package check

import (
	"strings"
	"testing"
)

func TestCanonicalCaps(t *testing.T) {
	for text, want := range map[string]string{
		"cap_net_raw=ep":             "cap_net_raw=ep",
		"cap_net_raw+pe":             "cap_net_raw=ep",
		"cap_net_raw,cap_chown=p":    "cap_chown,cap_net_raw=p",
		"cap_chown=i cap_net_raw+ep": "cap_net_raw=ep cap_chown=i",
		"=ep":                        "all=ep",
		"all=ep":                     "all=ep",
		"cap_chown=ep cap_chown-e":   "cap_chown=p",
		"cap_chown=":                 noCaps,
		"":                           noCaps,
	} {
		if got, err := canonicalCaps(text); got != want || err != nil {
			t.Errorf("%q is %q, %v, want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"net_raw=ep", "cap_net_raw", "cap_net_raw=x", "cap_a,=p", "CAP_NET_RAW=ep"} {
		if got, err := canonicalCaps(text); err == nil {
			t.Errorf("%q is %q", text, got)
		}
	}
}

func TestCapabilitiesDecided(t *testing.T) {
	for name, tc := range map[string]struct {
		node   node
		want   Outcome
		actual string
	}{
		"same":        {node{capsPath: "/x", caps: "/x cap_net_raw=ep\n", capsRead: stateRead}, Passed, "cap_net_raw=ep"},
		"as of old":   {node{capsPath: "/x", caps: "/x = cap_net_raw+ep\n", capsRead: stateRead}, Passed, "cap_net_raw=ep"},
		"by a link":   {node{capsPath: "/a b", caps: "/a b cap_net_raw=ep\n", capsRead: stateRead}, Passed, ""},
		"more":        {node{capsPath: "/x", caps: "/x cap_chown,cap_net_raw=ep\n", capsRead: stateRead}, Failed, "cap_chown"},
		"none":        {node{capsPath: "/x", capsRead: stateRead}, Failed, "none"},
		"no tool":     {node{capsRead: stateAbsent}, Errored, "no getcap"},
		"broken":      {node{capsPath: "/x", capsRead: stateBroken}, Errored, ""},
		"never said":  {node{}, Errored, ""},
		"other words": {node{capsPath: "/x", caps: "usage: getcap", capsRead: stateRead}, Errored, "usage"},
	} {
		t.Run(name, func(t *testing.T) {
			plan := mustCompile(t, Offline, `file "/x" { capabilities = "cap_net_raw+ep" }`)
			f := newFacts(Offline)
			tc.node.presence, tc.node.statted, tc.node.mode = present, true, 0o100755
			f.nodes["/x"] = &tc.node
			if v := plan.Suites[0].Assertions[0].decide(f); v.outcome != tc.want || !strings.Contains(v.actual, tc.actual) {
				t.Errorf("%+v, want %s (%s)", v, tc.want, tc.actual)
			}
		})
	}
}

func TestCapabilitiesRefused(t *testing.T) {
	for _, value := range []string{"net_raw", "cap_chown=", " "} {
		_, problems := compileText(t, Offline, `file "/x" { capabilities = `+quoteHCL(value)+` }`)
		if len(problems) != 1 || !strings.Contains(problems[0], "capabilities") {
			t.Errorf("%q: %q", value, problems)
		}
	}
}

func FuzzCanonicalCaps(f *testing.F) {
	f.Add("cap_chown,cap_net_raw+ep =i")
	f.Fuzz(func(t *testing.T, text string) {
		first, err := canonicalCaps(text)
		if err != nil || first == noCaps {
			return
		}
		if again, err := canonicalCaps(first); err != nil || again != first {
			t.Errorf("%q is %q, which is %q: %v", text, first, again, err)
		}
	})
}
