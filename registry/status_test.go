package registry

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func passed(suite string, at time.Duration) TestResult {
	return TestResult{ID: "p" + suite, Suite: suite, Outcome: Passed, Counts: Counts{Passed: 3}, StartedAt: now.Add(at)}
}

func failed(suite string, at time.Duration) TestResult {
	return TestResult{ID: "f" + suite, Suite: suite, Outcome: Failed, Counts: Counts{Passed: 2, Failed: 1}, StartedAt: now.Add(at)}
}

func marked(id string, kind MarkKind, at time.Duration) Mark {
	return Mark{ID: id, Kind: kind, EffectiveAt: now.Add(at), Reason: "reason " + id}
}

func cleared(id string, kind MarkKind) Mark {
	return Mark{ID: "c" + id, Kind: kind, EffectiveAt: now, Clears: id}
}

func TestStatus(t *testing.T) {
	const hour = time.Hour
	stable := Channel{Name: "stable"}
	for name, test := range map[string]struct {
		facts  Facts
		parent Facts
		want   Status
		reason string // part of it
	}{
		"nothing recorded is untested": {want: StatusBuilt, reason: "no test result"},
		"every suite passed": {
			facts: Facts{Results: []TestResult{passed("a", 0), passed("b", 0)}},
			want:  StatusTested, reason: "6 of 6 checks",
		},
		"one suite failed": {
			facts: Facts{Results: []TestResult{passed("a", 0), failed("b", 0)}},
			want:  StatusRejected, reason: "suite b ended as failed",
		},
		"one suite could not be decided": {
			facts: Facts{Results: []TestResult{passed("a", 0), {Suite: "b", Outcome: Errored}}},
			want:  StatusRejected, reason: "suite b ended as error",
		},
		"the newest result counts: passed": {
			facts: Facts{Results: []TestResult{passed("a", 0), failed("a", -hour)}},
			want:  StatusTested,
		},
		"the newest result counts: failed": {
			facts: Facts{Results: []TestResult{failed("a", 0), passed("a", -hour)}},
			want:  StatusRejected,
		},
		"at the same moment the later id counts": {
			facts: Facts{Results: []TestResult{passed("a", 0), failed("a", 0)}},
			want:  StatusTested,
		},
		"offline does not replace booted": {
			facts: Facts{Results: []TestResult{
				{ID: "1", Suite: "a", Mode: "booted", Outcome: Failed, StartedAt: now.Add(-hour)},
				{ID: "2", Suite: "a", Mode: "offline", Outcome: Passed, StartedAt: now},
			}},
			want: StatusRejected, reason: "suite a (booted)",
		},
		"tests of the parent are not the child's": {
			parent: Facts{Results: []TestResult{passed("a", 0)}},
			want:   StatusBuilt,
		},
		"promoted before tested": {
			facts: Facts{Results: []TestResult{passed("a", 0)}, Channels: []Channel{stable}},
			want:  StatusPromoted, reason: "stable",
		},
		"deprecated before promoted": {
			facts: Facts{Channels: []Channel{stable}, Marks: []Mark{marked("d", MarkDeprecated, -hour)}},
			want:  StatusDeprecated, reason: "reason d",
		},
		"retired before deprecated": {
			facts: Facts{Marks: []Mark{marked("d", MarkDeprecated, -hour), marked("r", MarkRetired, -hour)}},
			want:  StatusRetired, reason: "reason r",
		},
		"revoked before retired": {
			facts: Facts{Marks: []Mark{marked("r", MarkRetired, -hour), marked("v", MarkRevoked, -hour)}},
			want:  StatusRevoked, reason: "reason v",
		},
		"held is no status": {
			facts: Facts{Marks: []Mark{marked("h", MarkHeld, -hour)}},
			want:  StatusBuilt,
		},
		"a mark counts from its moment on": {
			facts: Facts{Marks: []Mark{marked("v", MarkRevoked, 0)}},
			want:  StatusRevoked,
		},
		"a scheduled mark does not count yet": {
			facts: Facts{Marks: []Mark{marked("v", MarkRevoked, hour)}},
			want:  StatusBuilt,
		},
		"a cleared mark does not count": {
			facts: Facts{Marks: []Mark{marked("v", MarkRevoked, -hour), cleared("v", MarkRevoked)}},
			want:  StatusBuilt,
		},
		"clearing one mark leaves the other": {
			facts: Facts{Marks: []Mark{marked("v", MarkRevoked, -hour), marked("w", MarkRevoked, -hour), cleared("v", MarkRevoked)}},
			want:  StatusRevoked, reason: "reason w",
		},
		"a later schedule does not suspend": {
			facts: Facts{Marks: []Mark{marked("v", MarkRevoked, -hour), marked("w", MarkRevoked, hour)}},
			want:  StatusRevoked, reason: "reason v",
		},
		"revocation reaches the child": {
			facts:  Facts{Results: []TestResult{passed("a", 0)}, Channels: []Channel{stable}},
			parent: Facts{Marks: []Mark{marked("v", MarkRevoked, -hour)}},
			want:   StatusRevoked, reason: "its ancestor base 1 (01P) is revoked: reason v",
		},
		"retirement does not": {
			parent: Facts{Marks: []Mark{marked("r", MarkRetired, -hour), marked("d", MarkDeprecated, -hour)}},
			want:   StatusBuilt,
		},
	} {
		t.Run(name, func(t *testing.T) {
			img := recorded{Image{ID: "01C", Application: "shop", Version: "2"}, test.facts}
			parent := recorded{Image{ID: "01P", Application: "base", Version: "1"}, test.parent}
			got := derive(img, []recorded{parent}, now)
			if got.Status != test.want || !strings.Contains(got.Reason, test.reason) {
				t.Errorf("status is %s (%s), want %s (…%s…)", got.Status, got.Reason, test.want, test.reason)
			}
		})
	}
}

func TestScheduledRevocation(t *testing.T) {
	at := func(d time.Duration) recorded {
		return recorded{Facts: Facts{Marks: []Mark{marked("v", MarkRevoked, d)}}}
	}
	for name, test := range map[string]struct {
		img, parent recorded
		want        time.Time
	}{
		"none":          {},
		"of itself":     {img: at(time.Hour), want: now.Add(time.Hour)},
		"of its parent": {parent: at(time.Hour), want: now.Add(time.Hour)},
		"the sooner":    {img: at(3 * time.Hour), parent: at(2 * time.Hour), want: now.Add(2 * time.Hour)},
		"cleared": {img: recorded{Facts: Facts{Marks: []Mark{
			marked("v", MarkRevoked, time.Hour), cleared("v", MarkRevoked),
		}}}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := derive(test.img, []recorded{test.parent}, now).RevokeAt; !got.Equal(test.want) {
				t.Errorf("RevokeAt is %v, want %v", got, test.want)
			}
		})
	}
}

func TestUsable(t *testing.T) {
	for name, test := range map[string]struct {
		facts Facts
		want  bool
	}{
		"untested":              {want: true},
		"tested":                {facts: Facts{Results: []TestResult{passed("a", 0)}}, want: true},
		"rejected":              {facts: Facts{Results: []TestResult{failed("a", 0)}}},
		"promoted and rejected": {facts: Facts{Results: []TestResult{failed("a", 0)}, Channels: []Channel{{Name: "stable"}}}},
		"deprecated":            {facts: Facts{Marks: []Mark{marked("d", MarkDeprecated, 0)}}},
		"retired":               {facts: Facts{Marks: []Mark{marked("d", MarkRetired, 0)}}},
		"revoked":               {facts: Facts{Marks: []Mark{marked("d", MarkRevoked, 0)}}},
		"held":                  {facts: Facts{Marks: []Mark{marked("d", MarkHeld, 0)}}, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := derive(recorded{Facts: test.facts}, nil, now).Usable(); got != test.want {
				t.Errorf("Usable() = %v, want %v", got, test.want)
			}
		})
	}
}

func TestChecksAreCountedOncePerSuite(t *testing.T) {
	state := derive(recorded{Facts: Facts{Results: []TestResult{
		failed("a", -time.Hour), passed("a", 0), passed("b", 0),
	}}}, nil, now)
	passed, total := state.Checks()
	if diff := cmp.Diff([]int{6, 6}, []int{passed, total}); diff != "" {
		t.Errorf("checks (-want +got):\n%s", diff)
	}
}
