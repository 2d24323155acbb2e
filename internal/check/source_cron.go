package check

import (
	"regexp"
	"strings"
)

// cronEntry is a line of a crontab, or a script that run-parts runs.
type cronEntry struct {
	schedule string // five fields, folded, or @daily and its like
	user     string
	command  string // folded
	at       string
	ignored  string // why cron does not read it; empty when it does
}

const etcCrontab = "/etc/crontab"

// cronFolder is a folder of cron's.
type cronFolder struct {
	dir  string
	kind string // table: crontabs with users; user: crontabs named after users; else the schedule of the scripts in it
}

// cronFolders are those of Debian, Red Hat and Alpine.
var cronFolders = []cronFolder{
	{"/etc/cron.d", "table"},
	{"/var/spool/cron/crontabs", "user"},
	{"/var/spool/cron", "user"},
	{"/etc/crontabs", "user"},
	{"/etc/cron.hourly", "@hourly"},
	{"/etc/cron.daily", "@daily"},
	{"/etc/cron.weekly", "@weekly"},
	{"/etc/cron.monthly", "@monthly"},
	{"/etc/periodic/15min", "*/15 * * * *"},
	{"/etc/periodic/hourly", "@hourly"},
	{"/etc/periodic/daily", "@daily"},
	{"/etc/periodic/weekly", "@weekly"},
	{"/etc/periodic/monthly", "@monthly"},
}

func readsCron(a *Assertion) {
	readsText(etcCrontab)(a)
	reads(func(n *needs) {
		for _, folder := range cronFolders {
			n.folder(folder.dir, "*")
		}
	})(a)
}

// cronEntries are the jobs of the image's crontabs. A crontab that may not be
// read gives an outcome.
func (f *facts) cronEntries() ([]cronEntry, verdict) {
	text, _, v := f.text(etcCrontab)
	if v.outcome != "" {
		return nil, v
	}
	entries := parseCrontab(text, etcCrontab, "")
	for _, folder := range cronFolders {
		files, v := f.folderFiles(folder.dir, "*")
		if v.outcome != "" {
			return nil, v
		}
		for _, file := range files {
			var found []cronEntry
			switch folder.kind {
			case "table":
				found = parseCrontab(file.text, file.path, "")
			case "user":
				found = parseCrontab(file.text, file.path, file.name)
			default:
				found = []cronEntry{{schedule: folder.kind, user: "root", command: file.path, at: file.path}}
				if !file.runs {
					found[0].ignored = "it cannot be executed"
				}
			}
			if folder.kind != "user" && !f.cronReads(file.name) {
				for i := range found {
					found[i].ignored = "cron does not read files of that name"
				}
			}
			entries = append(entries, found...)
		}
	}
	return entries, verdict{}
}

// debianCronName is what Debian's cron and run-parts want of the name of a file:
// cron(8), run-parts(8).
var debianCronName = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// cronReads tells whether cron reads a file of the given name in /etc/cron.d or
// one of the folders of scripts.
func (f *facts) cronReads(name string) bool {
	if f.family() == "debian" {
		return debianCronName.MatchString(name)
	}
	// cronie leaves out what package managers and editors leave behind.
	for _, ending := range []string{"~", ".rpmsave", ".rpmorig", ".rpmnew", ".swp"} {
		if strings.HasSuffix(name, ending) {
			return false
		}
	}
	return !strings.HasPrefix(name, ".")
}

// parseCrontab reads crontab(5). Without a user, each line names its own.
func parseCrontab(text, file, user string) []cronEntry {
	var entries []cronEntry
	number := 0
	for line := range strings.Lines(text) {
		number++
		words := strings.Fields(line)
		if len(words) == 0 || words[0][0] == '#' {
			continue
		}
		fields := 5
		if words[0][0] == '@' {
			fields = 1
		} else if cronSetting.MatchString(line) {
			continue
		}
		e := cronEntry{user: user, at: lineOf(file, number)}
		need := fields + 1
		if user == "" {
			need++
		}
		if len(words) < need {
			continue
		}
		e.schedule = strings.Join(words[:fields], " ")
		if user == "" {
			e.user = words[fields]
		}
		// cronie and others take a - before a job that is not to be logged.
		e.schedule = strings.TrimPrefix(e.schedule, "-")
		e.command = strings.Join(words[need-1:], " ")
		entries = append(entries, e)
	}
	return entries
}

// cronSetting is a line that sets a variable.
var cronSetting = regexp.MustCompile(`^\s*("[^"]*"|'[^']*'|[A-Za-z_][A-Za-z0-9_]*)\s*=`)

// cronWords are the schedules that have names: crontab(5).
var cronWords = map[string]string{
	"@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
	"@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}

// sameSchedule compares schedules as they are written, with the names of
// schedules for what they stand for.
func sameSchedule(a, b string) bool {
	return plainSchedule(a) == plainSchedule(b)
}

func plainSchedule(text string) string {
	text = strings.ToLower(foldSpace(text))
	if fields, ok := cronWords[text]; ok {
		return fields
	}
	return text
}

// family is that of the image's distribution by its packages: debian, redhat,
// alpine, or empty.
func (f *facts) family() string {
	ids := " " + f.os["ID"] + " " + f.os["ID_LIKE"] + " "
	for system, family := range map[string]string{"dpkg": "debian", "rpm": "redhat", "apk": "alpine"} {
		for _, id := range familyOf[system] {
			if strings.Contains(ids, " "+id+" ") {
				return family
			}
		}
	}
	return ""
}
