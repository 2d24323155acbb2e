package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/imagebakery/packer-plugin-bakery/internal/localcloud"
	"github.com/imagebakery/packer-plugin-bakery/registry"
	"github.com/imagebakery/packer-plugin-bakery/registry/sqlite"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"bakery": main})
}

// TestScripts runs the command lines in testdata. Scripts have two commands of
// their own: "stock" fills the registry, "import" puts an image with the id in
// $AMI into the local cloud, "status" wants a command's exit status, "mkroot"
// makes a root file system, "heresuite" writes a suite about a folder of this machine,
// "plantkey" a file with a secret, "json" wants a command to succeed and to write one
// JSON document and nothing else.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			env.Setenv("BAKERY_HOME", filepath.Join(env.WorkDir, "home"))
			env.Setenv("BAKERY_ACTOR", "tester")
			env.Setenv("BAKERY_CLOUD", "local")
			return nil
		},
		Condition: func(cond string) (bool, error) { return cond == "root" && os.Geteuid() == 0, nil },
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"stock": stock, "import": importImage, "status": status, "mkroot": makeRoot, "json": wantJSON,
			"heresuite": writeHereSuite, "plantkey": plantKey,
		},
	})
}

// wantJSON runs a command with --output json.
func wantJSON(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(ts.Exec(args[0], append(args[1:], "--output", "json")...))
	if out := ts.ReadFile("stdout"); !json.Valid([]byte(out)) {
		ts.Fatalf("%q writes no JSON document:\n%s", args, out)
	}
	if errs := ts.ReadFile("stderr"); errs != "" {
		ts.Fatalf("%q writes to stderr:\n%s", args, errs)
	}
}

// stock registers a foundation, two bases and a shop, at fixed times and under
// fixed ids.
func stock(ts *testscript.TestScript, _ bool, _ []string) {
	ctx := context.Background()
	store, err := sqlite.Open(ctx, filepath.Join(ts.Getenv("BAKERY_HOME"), "registry.db"))
	ts.Check(err)
	defer store.Close()
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	reg := registry.New(store, registry.As("stocker"), registry.WithClock(func() time.Time { return at }))
	pass := func(suite string) registry.TestResult {
		return registry.TestResult{
			Suite: suite, Mode: "offline", Outcome: registry.Passed, Counts: registry.Counts{Passed: 4}, Tool: "bakery-spec 0.1.0",
		}
	}
	fail := registry.TestResult{
		Suite: "base.spec.hcl", Mode: "offline", Outcome: registry.Failed, Counts: registry.Counts{Passed: 3, Failed: 1},
		Problems: []registry.Problem{{Check: "file:/etc/timezone:content", Outcome: registry.Failed, Message: "want UTC\ngot CET"}},
	}
	for _, one := range []struct {
		id, application, version, layer, parent string
		results                                 []registry.TestResult
		packages                                []string // name and version
	}{
		{
			"01FOUNDATION", "debian", "12.8", "foundation", "ami-vendor", []registry.TestResult{pass("os.spec.hcl")},
			[]string{"libc6 2.36-9", "openssl 3.0.11-1", "telnetd 0.17-1"},
		},
		{
			"01BASE1", "base", "1.4.0", "base", "ami-01FOUNDATION", []registry.TestResult{pass("base.spec.hcl"), pass("cis.spec.hcl")},
			[]string{"libc6 2.36-9", "openssl 3.0.14-1~deb12u2", "curl 7.88.1-10"},
		},
		{"01BASE2", "base", "1.5.0", "base", "ami-01FOUNDATION", []registry.TestResult{fail}, nil},
		{"01SHOP", "shop", "7", "application", "ami-01BASE1", nil, nil},
	} {
		at = at.Add(time.Minute)
		ref := func(id string) registry.Ref { return registry.Ref{Cloud: "local", Region: "us-east-1", ID: id} }
		list := registry.PackageList{Distro: "debian", Release: "12"}
		for _, p := range one.packages {
			name, version, _ := strings.Cut(p, " ")
			list.Packages = append(list.Packages, registry.Package{Type: registry.PackageDeb, Name: name, Version: version, Arch: "amd64"})
		}
		digest := ""
		if len(list.Packages) > 0 {
			digest, err = reg.RecordPackages(ctx, list)
			ts.Check(err)
		}
		_, _, err := reg.Register(ctx, registry.Image{
			ID: one.id, Packages: digest, Application: one.application, Version: one.version, Layer: one.layer,
			Release: "bookworm", Arch: "x86_64", ParentImage: ref(one.parent),
			Artifacts: []registry.Artifact{{Ref: ref("ami-" + one.id), Snapshots: []string{"snap-" + one.id}}},
		}, one.results...)
		ts.Check(err)
	}
	_, err = reg.Promote(ctx, "01BASE1", "stable", 0, "")
	ts.Check(err)
}

// importImage makes an image of a folder, under a name and with its id in a
// variable: "debian-12" and AMI, unless they are given.
func importImage(ts *testscript.TestScript, _ bool, args []string) {
	name, variable := "debian-12", "AMI"
	if len(args) == 3 {
		name, variable = args[1], args[2]
	}
	ctx := context.Background()
	cloud, err := localcloud.Open(ctx, ts.Getenv("BAKERY_HOME"))
	ts.Check(err)
	defer cloud.Close()
	img, err := cloud.Import(ctx, localcloud.ImportInput{
		Source: ts.MkAbs(args[0]), Name: name, Architecture: "x86_64",
	})
	ts.Check(err)
	ts.Setenv(variable, img.ID)
}
