package check

import "testing"

// What a running system reaches cannot be told without the programs that ask:
// never a pass, and never a failure either.
func TestNetworkWithoutTools(t *testing.T) {
	root := bareRoot(t)
	results, _ := runBooted(t, inRoot(root), `
addr "127.0.0.1:1" { reachable = false }
dns "none.invalid" { resolvable = false }
dns "localhost" { addresses = ["127.0.0.1"] }
http "http://127.0.0.1:1/" { not_contains = ["x"] }
process "none" { running = false }
interface "none0" { exists = false }
port "1" { listening = false }
kernel_module "none" { loaded = false }
`)
	for id, r := range results {
		if r.Outcome != Errored {
			t.Errorf("%s: %s (%s), want error", id, r.Outcome, r.Message())
		}
	}
	if len(results) != 8 {
		t.Errorf("%d results, want 8", len(results))
	}
}

// runBooted runs the text of a suite where the system is said to be booted.
func runBooted(t *testing.T, shell Shell, text string) (map[string]Result, *Report) {
	t.Helper()
	return runText(t, Target{Shell: shell, Mode: Booted}, text)
}
