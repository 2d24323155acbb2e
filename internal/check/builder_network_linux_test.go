package check

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Offline, what asks the network is answered from the builder's when that is
// written, and other commands still see none.
func TestBuilderNetwork(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("shop\n")) }))
	defer server.Close()
	address := strings.TrimPrefix(server.URL, "http://")
	for _, family := range families {
		t.Run(family, func(t *testing.T) {
			root := newFamilyRoot(t, family)
			before := root.digest(t)
			fetch := "if command -v curl >/dev/null; then curl -s -m 5 URL; else wget -q -O - URL; fi"
			results, report := runText(t, Target{Shell: root.offline(0), Mounted: true}, strings.NewReplacer("URL", server.URL+"/", "ADDRESS", address).Replace(`
http "URL" {
  status   = 200
  contains = ["shop"]
  network  = "builder"
}
addr "ADDRESS" { network = "builder" }
dns "localhost" {
  addresses = ["127.0.0.1"]
  network   = "builder"
}
command "`+fetch+`" {
  stdout  = "shop"
  network = "builder"
}
command "true; `+fetch+`" { stdout = "shop" }
`))
			for id, r := range results {
				want := Passed
				if strings.HasPrefix(id, "command:true;") {
					want = Failed
				}
				if r.Outcome != want {
					t.Errorf("%s: %s (%s), want %s", id, r.Outcome, r.Message(), want)
				}
				if want == Passed && !strings.HasSuffix(r.Expected, "from the builder's network") {
					t.Errorf("%s does not say where it asks: %s", id, r.Expected)
				}
			}
			if len(results) != 6 || len(report.Warnings) > 0 {
				t.Errorf("%d results, warnings %q", len(results), report.Warnings)
			}
			if root.digest(t) != before {
				t.Error("the checks have changed the root")
			}
		})
	}
}

// The builder's network is asked for by its name, in no other way, and not of a
// booted system.
func TestBuilderNetworkIsAsked(t *testing.T) {
	for text, want := range map[string]string{
		`addr "db:1" {}`:                   "the network is the build host's",
		`addr "db:1" { network = "host" }`: `"host" is no network; write "builder"`,
		"addr \"db:1\" {\n network = \"builder\"\n requires = \"boot\"\n}":                                "has no effect with requires",
		"command \"x\" {\n exit_status = 0\n network = \"builder\"\n}\ncommand \"x\" { exit_status = 0 }": "contradict each other",
	} {
		_, problems := compileText(t, Offline, text)
		if len(problems) != 1 || !strings.Contains(problems[0], want) {
			t.Errorf("%s: problems %q, want %q", text, problems, want)
		}
	}
	if plan, problems := compileText(t, Offline, `addr "db:1" { network = "<unknown>" }`); len(problems) > 0 || !plan.Partial {
		t.Errorf("a network that is not known yet: %q", problems)
	}
}
