package check

import (
	"maps"
	"testing"
)

func TestRepository(t *testing.T) {
	const debian, name = "https://deb.example.org/debian", `repository "https://deb.example.org/debian/" `
	in := func(file, text string) map[string]string { return map[string]string{file: text} }
	list := in("/etc/apt/sources.list", "# deb "+debian+" sid main\ndeb [arch=amd64 signed-by=/k.gpg] "+debian+" bookworm main contrib # x\ndeb-src "+debian+" sid main\n")
	sources := in("/etc/apt/sources.list.d/debian.sources", "# x\nTypes: deb deb-src\nURIs: "+debian+"\n  https://mirror.example.org/debian\nSuites: bookworm bookworm-updates\nComponents: main\nSigned-By: /k.gpg\n\nTypes: deb\nURIs: https://off.example.org/\nSuites: x\nComponents: y\nEnabled: no\nTrusted: yes\n")
	repo := in("/etc/yum.repos.d/base.repo", "[baseos]\nname=Base\nmirrorlist=https://m.example.org/?r=$releasever\ngpgcheck=1\ngpgkey=file:///k1,\n file:///k2\n[extras]\nbaseurl = https://x.example.org/\nenabled=0\ngpgcheck=0\n[plain]\nbaseurl=https://p.example.org/\n")
	apk := in("/etc/apk/repositories", "#http://x/\n@edge https://dl.example.org/edge/main\nhttps://dl.example.org/v3.20/main\n")
	with := func(files map[string]string, file, text string) map[string]string {
		all := in(file, text)
		maps.Copy(all, files)
		return all
	}
	testDecisions(t, map[string]decision{
		"apt":                {check: name + "{}", files: list, want: Passed, actual: "/etc/apt/sources.list:2"},
		"suites":             {check: name + `{ suites = ["bookworm"] }`, files: list, want: Passed},
		"commented out":      {check: name + `{ suites = ["sid"] }`, files: list, want: Failed, actual: "bookworm"},
		"components":         {check: name + `{ components = ["main", "contrib"] }`, files: list, want: Passed},
		"no component":       {check: name + `{ components = ["non-free"] }`, files: list, want: Failed},
		"key":                {check: name + `{ key = "/k.gpg" }`, files: list, want: Passed},
		"other key":          {check: name + `{ key = "/l.gpg" }`, files: list, want: Failed, actual: "/k.gpg"},
		"signed":             {check: name + `{ signed = true }`, files: list, want: Passed},
		"trusted":            {check: name + `{ signed = true }`, files: in("/etc/apt/sources.list.d/x.list", "deb [trusted=yes] "+debian+" x y\n"), want: Failed, actual: "trusted=yes"},
		"deb822":             {check: name + "{}", files: sources, want: Passed, actual: "debian.sources:2"},
		"deb822, second":     {check: `repository "https://mirror.example.org/debian" { suites = ["bookworm-updates"] }`, files: sources, want: Passed},
		"deb822, key":        {check: name + `{ key = "/k.gpg" }`, files: sources, want: Passed},
		"deb822, off":        {check: `repository "https://off.example.org" { enabled = false }`, files: sources, want: Passed},
		"deb822, off, on":    {check: `repository "https://off.example.org" {}`, files: sources, want: Failed, actual: "false ("},
		"deb822, trusted":    {check: `repository "https://off.example.org" { signed = true }`, files: sources, want: Failed},
		"suites of disabled": {check: `repository "https://off.example.org" { suites = ["x"] }`, files: sources, want: Failed, actual: "none that is enabled"},
		"yum":                {check: `repository "baseos" {}`, files: repo, want: Passed, actual: "base.repo:1"},
		"yum by address":     {check: `repository "https://x.example.org" { enabled = false }`, files: repo, want: Passed},
		"yum, off":           {check: `repository "extras" {}`, files: repo, want: Failed},
		"yum, signed":        {check: `repository "baseos" { signed = true }`, files: repo, want: Passed},
		"yum, unsigned":      {check: `repository "extras" { signed = true }`, files: repo, want: Failed, actual: "gpgcheck=0"},
		"yum by default":     {check: `repository "plain" { signed = true }`, files: repo, want: Failed, actual: "off by default"},
		"yum by main":        {check: `repository "plain" { signed = true }`, files: with(repo, "/etc/dnf/dnf.conf", "[main]\ngpgcheck=True\n"), want: Passed},
		"yum, keys":          {check: `repository "baseos" { key = "file:///k2" }`, files: repo, want: Passed},
		"apk":                {check: `repository "https://dl.example.org/v3.20/main" {}`, files: apk, want: Passed},
		"apk, tagged":        {check: `repository "https://dl.example.org/edge/main" { signed = true }`, files: apk, want: Passed},
		"apk, none":          {check: `repository "http://x" {}`, files: apk, want: Failed, actual: "no such repository"},
		"absent":             {check: `repository "http://x" { exists = false }`, files: apk, want: Passed},
		"absent, there":      {check: `repository "extras" { exists = false }`, files: repo, want: Failed},
		"unreadable":         {check: `repository "http://x" { exists = false }`, files: in("/etc/apt/sources.list", "?"), want: Errored},
	})
}

func FuzzRepositories(f *testing.F) {
	f.Add("deb [ arch=amd64 trusted=yes ] http://x y z\n")
	f.Add("Types: deb\nURIs: x\n y\nSigned-By:\n -----BEGIN\n\n")
	f.Add("[main]\n[a]\nbaseurl=x\n y\n =")
	f.Fuzz(func(t *testing.T, text string) {
		for _, found := range [][]repository{
			parseAptList(text, "/x"), parseAptSources(text, "/x"), parseYumRepo(text, "/x", true), parseApkRepositories(text),
		} {
			for _, r := range found {
				r.is("https://x")
			}
		}
	})
}
