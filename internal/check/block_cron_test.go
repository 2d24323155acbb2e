package check

import "testing"

func TestCron(t *testing.T) {
	const backup = `cron "/usr/bin/backup --all" {}`
	crontab := map[string]string{
		"/etc/crontab": "SHELL=/bin/sh\n# m h dom\n17 * * * *\troot  cd / && run-parts --report /etc/cron.hourly\n0 3 * * * backup /usr/bin/backup   --all\n",
	}
	in := func(file, text string) map[string]string { return map[string]string{file: text} }
	testDecisions(t, map[string]decision{
		"there":              {check: backup, files: crontab, want: Passed},
		"not there":          {check: `cron "/usr/bin/backup" {}`, files: crontab, want: Failed, actual: "no such job"},
		"commented out":      {check: backup, files: in("/etc/crontab", "#0 3 * * * root /usr/bin/backup --all\n"), want: Failed},
		"no crontabs":        {check: backup, want: Failed},
		"unreadable":         {check: backup, files: in("/var/spool/cron/crontabs/root", "?"), want: Errored, actual: "may not be read"},
		"absent":             {check: `cron "/usr/bin/backup" { exists = false }`, files: crontab, want: Passed},
		"absent, there":      {check: `cron "/usr/bin/backup --all" { exists = false }`, files: crontab, want: Failed},
		"absent, unread":     {check: `cron "/usr/bin/backup" { exists = false }`, files: in("/etc/cron.d/x", "?"), want: Errored},
		"schedule":           {check: `cron "/usr/bin/backup --all" { schedule = "0 3 * * *" }`, files: crontab, want: Passed, actual: "/etc/crontab:4"},
		"other schedule":     {check: `cron "/usr/bin/backup --all" { schedule = "@daily" }`, files: crontab, want: Failed, actual: "0 3 * * * as backup"},
		"name of a schedule": {check: `cron "x" { schedule = "0 0 * * *" }`, files: in("/etc/cron.d/x", "@midnight root x\n"), want: Passed},
		"user":               {check: `cron "/usr/bin/backup --all" { user = "backup" }`, files: crontab, want: Passed},
		"other user":         {check: `cron "/usr/bin/backup --all" { user = "root" }`, files: crontab, want: Failed},
		"of a user":          {check: `cron "x y" { user = "alice" }`, files: in("/var/spool/cron/crontabs/alice", "MAILTO=a\n*/5 * * * * x  y\n"), want: Passed},
		"of Red Hat's user":  {check: `cron "x y" { user = "alice" }`, files: in("/var/spool/cron/alice", "*/5 * * * * x y\n"), want: Passed},
		"of Alpine's user":   {check: `cron "run-parts /etc/periodic/daily" { user = "root" }`, files: in("/etc/crontabs/root", "0\t2\t*\t*\t*\trun-parts /etc/periodic/daily\n"), want: Passed},
		"script":             {check: `cron "/etc/cron.daily/logrotate" { schedule = "@daily" }`, files: in("/etc/cron.daily/logrotate", "#!x"), want: Passed},
		"of no program":      {check: `cron "/etc/cron.daily/logrotate" {}`, files: in("/etc/cron.daily/logrotate", "plain"), want: Failed, actual: "it cannot be executed"},
		"name of a file":     {check: `cron "x" {}`, files: in("/etc/cron.d/x.sh", "@daily root x\n"), want: Failed, actual: "cron does not read files of that name"},
	})
}

// Schedule and user must be those of one job, not of two.
func TestCronOfOneJob(t *testing.T) {
	const table = "0 1 * * * root x\n0 2 * * * alice x\n"
	plan := mustCompile(t, Offline, "cron \"x\" {\n schedule = \"0 1 * * *\"\n user = \"alice\"\n}")
	f := imageFacts(t, Offline, plan, map[string]string{"/etc/crontab": table})
	for _, a := range plan.Suites[0].Assertions {
		if v := a.decide(f); v.outcome != Failed {
			t.Errorf("%s: %s (%s), want failed", a.ID(), v.outcome, v.actual)
		}
	}
}

func FuzzCrontab(f *testing.F) {
	f.Add("SHELL=/bin/sh\n17 * * * * root cd /\n@daily x y\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, user := range []string{"", "root"} {
			for _, e := range parseCrontab(text, "/x", user) {
				if e.command == "" || e.schedule == "" || e.user == "" {
					t.Errorf("%+v", e)
				}
				sameSchedule(e.schedule, "@daily")
			}
		}
	})
}
