package check

// needs is the state of an image that a plan has to read.
type needs struct {
	paths    []*pathNeed // in the order in which they were asked for
	links    []*pathNeed // those of which a link's own status is asked for
	byPath   map[string]*pathNeed
	accounts bool     // passwd, group, nsswitch.conf
	names    []string // users and groups that a booted system may know from elsewhere
	shadow   bool     // which passwords are set
	packages bool
	units    []string // services whose enablement is asked for
	allUnits bool     // that of all others too
	running  []string // services that are asked whether they run
	commands []*commandNeed

	mode       Mode
	configDirs []configNeed
	processes  []string // names of processes that are looked for
	hygiene    []hygieneRule
	secrets    *secretsNeed // nil when none are looked for

	covered []Covered
	asked   []*pathNeed // paths without those that only covered files need
	salt    string      // before the paths of files that are read together
}

// pathNeed is what has to be read of one path. Whether there is something at
// the path is always read.
type pathNeed struct {
	path    string
	stat    bool
	target  bool
	content bool
	caps    bool
	xattrs  []string
	digests []string
}

// commandNeed is a command that has to be run.
type commandNeed struct {
	text    string
	seconds int
	builder bool   // offline it has the builder's network
	label   string // what progress calls it; its text when empty
}

// needs is what the assertions of p that are decided in mode have to read.
func (p *Plan) needs(mode Mode) *needs { return p.needsOf(mode, all) }

func all(*Assertion) bool { return true }

// needsOf is needs for the assertions that are wanted.
func (p *Plan) needsOf(mode Mode, wanted func(*Assertion) bool) *needs {
	n := &needs{byPath: map[string]*pathNeed{}, mode: mode}
	for _, s := range p.Suites {
		for _, a := range s.Assertions {
			if a.waits(mode) || !wanted(a) {
				continue
			}
			for _, ask := range a.asks {
				ask(n)
			}
		}
	}
	return n
}

// waits tells whether an assertion is left to the booted run.
func (a *Assertion) waits(mode Mode) bool { return a.deferred && mode != Booted }

func (n *needs) path(p string) *pathNeed {
	if need, ok := n.byPath[p]; ok {
		return need
	}
	need := &pathNeed{path: p}
	n.paths = append(n.paths, need)
	n.byPath[p] = need
	return need
}
