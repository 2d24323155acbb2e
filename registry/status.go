package registry

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Status is where an image stands, in one word. It is worked out when it is
// read and never stored.
type Status string

// The statuses, in the order in which they are decided: the first that holds
// is the status.
const (
	StatusRevoked    Status = "revoked"    // itself, or an image that it was baked from
	StatusRetired    Status = "retired"    // gone from its cloud
	StatusDeprecated Status = "deprecated" // replaced by something newer
	StatusPromoted   Status = "promoted"   // head of a channel
	StatusTested     Status = "tested"     // the newest result of every suite passed
	StatusRejected   Status = "rejected"   // the newest result of some suite did not
	StatusBuilt      Status = "built"      // no result is recorded: untested
)

// Statuses lists the statuses in the order in which they are decided.
func Statuses() []Status {
	return []Status{StatusRevoked, StatusRetired, StatusDeprecated, StatusPromoted,
		StatusTested, StatusRejected, StatusBuilt}
}

// State is everything that is worked out about an image at one moment.
type State struct {
	Status Status `json:"status"`
	Reason string `json:"reason"` // why, in a few words

	Tested   bool         `json:"tested"`   // results are recorded, and the newest of every suite passed
	Suites   []TestResult `json:"suites"`   // the newest result of each suite, by name
	Channels []string     `json:"channels"` // that it is the head of

	// Gone are the copies of the image that are not in their cloud any more.
	Gone []Ref `json:"gone,omitempty"`

	// The mark of each kind that counts now; nil when none does.
	Revoked    *Mark `json:"revoked,omitempty"` // of the image or of the nearest revoked ancestor
	Retired    *Mark `json:"retired,omitempty"`
	Deprecated *Mark `json:"deprecated,omitempty"`
	Held       *Mark `json:"held,omitempty"`

	// RevokeAt is when a scheduled revocation, of the image or of an
	// ancestor, begins to count; zero when none is scheduled.
	RevokeAt time.Time `json:"revoke_at,omitzero"`
}

// Usable reports whether nothing forbids to use the image: it is not revoked,
// retired, deprecated, or rejected by its tests.
func (s State) Usable() bool {
	return s.Revoked == nil && s.Retired == nil && s.Deprecated == nil && !s.Rejected()
}

// Rejected reports whether the newest result of some suite did not pass,
// whatever the status is.
func (s State) Rejected() bool { return len(s.Suites) > 0 && !s.Tested }

// Heads reports whether the image is the head of the channel of its line.
func (s State) Heads(channel string) bool { return slices.Contains(s.Channels, channel) }

// There returns the copy of the image in the given cloud, region and account
// that is not gone. An empty region or account is any.
func (v View) There(cloud, region, account string) (Artifact, bool) {
	for _, a := range v.Artifacts {
		if a.Cloud == cloud && (region == "" || a.Region == region) && (account == "" || a.Account == account) &&
			!slices.Contains(v.Gone, a.Ref) {
			return a, true
		}
	}
	return Artifact{}, false
}

// Checks returns how many checks of the newest results passed, and of how many.
func (s State) Checks() (passed, total int) {
	for _, r := range s.Suites {
		passed += r.Counts.Passed
		total += r.Counts.Total()
	}
	return passed, total
}

// score says how many checks passed, and why the others need not be mistakes.
func score(passed, total, skipped int) string {
	text := fmt.Sprintf("%d of %d checks passed", passed, total)
	if skipped > 0 {
		text += fmt.Sprintf(", %d skipped", skipped)
	}
	return text
}

// Skipped returns how many checks of the newest results were skipped: left to a
// booted run, or waived.
func (s State) Skipped() int {
	n := 0
	for _, r := range s.Suites {
		n += r.Counts.Skipped
	}
	return n
}

// recorded is an image with its facts.
type recorded struct {
	Image
	Facts
}

// derive works out the state of img at the given time. ancestors are those of
// img, nearest first.
func derive(img recorded, ancestors []recorded, now time.Time) State {
	state := State{
		Suites: newestResults(img.Results), Channels: []string{},
		Deprecated: effective(img.Marks, MarkDeprecated, now),
		Held:       effective(img.Marks, MarkHeld, now),
	}
	for _, channel := range img.Facts.Channels {
		if !demoted(img.Marks, channel.Name) {
			state.Channels = append(state.Channels, channel.Name)
		}
	}
	slices.Sort(state.Channels)
	state.Gone, state.Retired = retired(img, now)
	var failed []string
	for _, r := range state.Suites {
		if r.Outcome != Passed {
			failed = append(failed, fmt.Sprintf("suite %s ended as %s", r.Title(), r.Outcome))
		}
	}
	state.Tested = len(state.Suites) > 0 && len(failed) == 0

	var revoked Image
	for _, one := range append([]recorded{img}, ancestors...) {
		if state.Revoked == nil {
			if state.Revoked = effective(one.Marks, MarkRevoked, now); state.Revoked != nil {
				revoked = one.Image
			}
		}
		for _, m := range standing(one.Marks, MarkRevoked) {
			if !m.counts(now) && (state.RevokeAt.IsZero() || m.EffectiveAt.Before(state.RevokeAt)) {
				state.RevokeAt = m.EffectiveAt
			}
		}
	}

	switch {
	case state.Revoked != nil && revoked.ID != img.ID:
		state.Status = StatusRevoked
		state.Reason = fmt.Sprintf("its ancestor %s is revoked: %s", revoked, state.Revoked.Reason)
	case state.Revoked != nil:
		state.Status, state.Reason = StatusRevoked, state.Revoked.Reason
	case state.Retired != nil:
		state.Status, state.Reason = StatusRetired, cmp.Or(state.Retired.Reason, "gone from its cloud")
	case state.Deprecated != nil:
		state.Status, state.Reason = StatusDeprecated, cmp.Or(state.Deprecated.Reason, "replaced by a newer image")
	case len(state.Channels) > 0:
		state.Status, state.Reason = StatusPromoted, fmt.Sprintf("head of %v", state.Channels)
	case state.Tested:
		passed, total := state.Checks()
		state.Status, state.Reason = StatusTested, score(passed, total, state.Skipped())
	case len(failed) > 0:
		state.Status, state.Reason = StatusRejected, failed[0]
	default:
		state.Status, state.Reason = StatusBuilt, "no test result is recorded"
	}
	return state
}

// demoted reports whether every promotion to the channel was taken back. The
// channel still points to the image then, but the image heads it no more.
func demoted(marks []Mark, channel string) bool {
	of := func(m Mark) bool { return m.Channel == channel && m.Clears == "" }
	return slices.ContainsFunc(marks, of) && !slices.ContainsFunc(standing(marks, MarkPromoted), of)
}

// retired returns which copies of img are gone, and the mark that says that
// img is: one of the image, or that of its last copy.
func retired(img recorded, now time.Time) (gone []Ref, mark *Mark) {
	var whole []Mark
	for _, m := range standing(img.Marks, MarkRetired) {
		switch {
		case !m.counts(now):
		case m.Artifact == Ref{}:
			whole = append(whole, m)
		case !slices.Contains(gone, m.Artifact):
			gone, mark = append(gone, m.Artifact), &m
		}
	}
	for _, a := range img.Artifacts {
		if !slices.Contains(gone, a.Ref) {
			mark = nil
		}
	}
	if first := effective(whole, MarkRetired, now); first != nil {
		mark = first
	}
	return gone, mark
}

// newestResults returns the newest result of each suite, by suite. A result is
// newer when its run started later; of two at the same moment the greater id
// is.
func newestResults(results []TestResult) []TestResult {
	newest := map[suiteRun]TestResult{}
	for _, r := range results {
		key := suiteRun{r.Suite, r.Mode}
		if old, ok := newest[key]; !ok || cmp.Or(r.StartedAt.Compare(old.StartedAt), cmp.Compare(r.ID, old.ID)) > 0 {
			newest[key] = r
		}
	}
	list := make([]TestResult, 0, len(newest))
	for _, r := range newest {
		list = append(list, r)
	}
	slices.SortFunc(list, func(a, b TestResult) int {
		return cmp.Or(cmp.Compare(a.Suite, b.Suite), cmp.Compare(a.Mode, b.Mode))
	})
	return list
}

// standing returns the marks of one kind that no other has taken back, in
// order.
func standing(marks []Mark, kind MarkKind) []Mark {
	cleared := map[string]bool{}
	for _, m := range marks {
		if m.Clears != "" {
			cleared[m.Clears] = true
		}
	}
	var list []Mark
	for _, m := range marks {
		if m.Kind == kind && m.Clears == "" && !cleared[m.ID] {
			list = append(list, m)
		}
	}
	return list
}

// effective returns the mark of one kind that counts now and has for longest,
// or nil. So a later, scheduled mark cannot suspend one that counts already.
func effective(marks []Mark, kind MarkKind, now time.Time) *Mark {
	var found *Mark
	for _, m := range standing(marks, kind) {
		if m.counts(now) && (found == nil || m.EffectiveAt.Before(found.EffectiveAt)) {
			found = &m
		}
	}
	return found
}
