package check

import (
	"maps"
	"testing"
)

func TestTimer(t *testing.T) {
	unit := "/usr/lib/systemd/system/backup.timer"
	daily := map[string]string{unit: "[Unit]\nDescription=x\n[Timer]\nOnCalendar=*-*-* 3:00:00\n# OnCalendar=weekly\nOnBootSec = 15min\nUnit=bk.service\n"}
	and := func(file, text string) map[string]string {
		files := maps.Clone(daily)
		files[file] = text
		return files
	}
	const at3 = `timer "backup" { elapses = ["*-*-* 3:00:00"] }`
	testDecisions(t, map[string]decision{
		"elapses":          {check: at3, files: daily, want: Passed},
		"on boot":          {check: `timer "backup.timer" { elapses = ["OnBootSec=15min"] }`, files: daily, want: Passed},
		"other times":      {check: `timer "backup" { elapses = ["weekly"] }`, files: daily, want: Failed, actual: "*-*-* 3:00:00, OnBootSec=15min"},
		"no such timer":    {check: at3, want: Failed, actual: "no such unit"},
		"unreadable":       {check: at3, files: map[string]string{unit: "?"}, want: Errored},
		"drop-in":          {check: `timer "backup" { elapses = ["weekly"] }`, files: and("/etc/systemd/system/backup.timer.d/x.conf", "[Timer]\nOnCalendar=weekly\n"), want: Passed},
		"reset":            {check: at3, files: and("/etc/systemd/system/backup.timer.d/x.conf", "[Timer]\nOnCalendar=\nOnCalendar=weekly\n"), want: Failed, actual: "weekly"},
		"bad drop-in":      {check: at3, files: and("/etc/systemd/system/backup.timer.d/x.conf", "?"), want: Errored},
		"etc hides usr":    {check: at3, files: and("/etc/systemd/system/backup.timer", "[Timer]\nOnCalendar=hourly\n"), want: Failed, actual: "hourly"},
		"unit":             {check: `timer "backup" { unit = "bk" }`, files: daily, want: Passed},
		"other unit":       {check: `timer "backup" { unit = "backup" }`, files: daily, want: Failed, actual: "bk.service"},
		"unit by its name": {check: `timer "backup" { unit = "backup" }`, files: map[string]string{unit: "[Timer]\nOnCalendar=daily\n"}, want: Passed},
		"continued line":   {check: at3, files: map[string]string{unit: "[Timer]\nOnCalendar=*-*-* \\\n; a comment\n 3:00:00\n"}, want: Passed},
	})
}

func FuzzUnit(f *testing.F) {
	f.Add("[Timer]\nOnCalendar=daily\\\n x\n=\n")
	f.Fuzz(func(t *testing.T, text string) {
		values := map[string][]string{}
		addUnitSettings(values, text)
		timerTimes(values)
	})
}
