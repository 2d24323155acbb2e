package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// TestPipelineTemplatesAreValid validates what of the pipeline only AWS can run.
func TestPipelineTemplatesAreValid(t *testing.T) {
	w := newWorld(t)
	own, _ := filepath.Glob(filepath.Join(os.Getenv("PACKER_PLUGIN_PATH"), "github.com/imagebakery/bakery/packer-plugin-bakery_*[0-9]"))
	if len(own) == 0 {
		t.Fatal("the plugin is not installed: run make testacc")
	}
	w.env = append(w.env, "PACKER_PLUGIN_PATH="+t.TempDir())
	w.must(t, ".", w.packer, "plugins", "install", "--path", need(t, "BAKERY_TEST_AMAZON_PLUGIN"), "github.com/hashicorp/amazon")
	w.must(t, ".", w.packer, "plugins", "install", "--path", own[len(own)-1], "github.com/imagebakery/bakery")
	pipeline := exampleDir(t, "pipeline")
	w.must(t, ".", w.packer, "init", filepath.Join(pipeline, "launch.pkr.hcl"))
	w.must(t, ".", w.packer, "validate", "-var", "image=ami-0123456789abcdef0", "-var", "junit=booted.xml",
		"-var", "suite="+filepath.Join(exampleDir(t, "application"), "shop.spec.hcl"), filepath.Join(pipeline, "launch.pkr.hcl"))
	w.must(t, ".", w.packer, "validate", filepath.Join(exampleDir(t, "migrating"), "before"))
}

// TestExamplesAreValidForAWS validates each example as it is baked on AWS.
func TestExamplesAreValidForAWS(t *testing.T) {
	w := newWorld(t)
	for _, story := range []string{"foundation", "base", "application", "aminate", "golden", "regions"} {
		t.Run(story, func(t *testing.T) {
			dir := t.TempDir()
			args := []string{"validate", "-var", "cloud=aws"}
			switch story {
			case "application":
				args = append(args, "-var", "package="+empty(t, dir, "shop.deb"))
			case "aminate": // an .rpm onto a base of Red Hat's family
				args = append(args, "-var", "package="+empty(t, dir, "shop.rpm"),
					"-var", "application=shop", "-var", "version=1.4.2-1.el9", "-var", "base=el9")
			}
			w.must(t, dir, w.packer, append(args, exampleDir(t, story))...)
		})
	}
}

func empty(t *testing.T, dir, name string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// checkout returns a folder in which the examples are where a job finds them.
func checkout(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Symlink(filepath.Dir(exampleDir(t, "pipeline")), filepath.Join(dir, "example")); err != nil {
		t.Fatal(err)
	}
	return dir
}

var (
	jenkinsShell = regexp.MustCompile(`\bsh '([^']*)'`)
	jenkinsText  = regexp.MustCompile(`(?m)'[^']*'|"[^"]*"|//.*$`)
)

// jenkinsSteps returns the shell commands of a declarative pipeline in the order
// of the file.
func jenkinsSteps(t *testing.T, path string) []string {
	t.Helper()
	var steps []string
	for _, match := range jenkinsShell.FindAllStringSubmatch(read(t, path), -1) {
		steps = append(steps, match[1])
	}
	return steps
}

// workflowSteps returns the shell commands of a workflow of GitHub Actions.
func workflowSteps(t *testing.T, path string) []string {
	t.Helper()
	var workflow struct {
		Jobs map[string]struct {
			Steps []struct {
				Run string `yaml:"run"`
			} `yaml:"steps"`
		} `yaml:"jobs"`
	}
	if err := yaml.Unmarshal([]byte(read(t, path)), &workflow); err != nil {
		t.Fatal(err)
	}
	var steps []string
	for _, job := range workflow.Jobs {
		for _, step := range job.Steps {
			if step.Run != "" {
				steps = append(steps, step.Run)
			}
		}
	}
	return steps
}

// TestPipelinesAreComplete compares the pipelines of the examples: TestExamples
// runs the steps of the first.
func TestPipelinesAreComplete(t *testing.T) {
	const pipeline = "example/pipeline/pipeline.sh "
	want := []string{
		pipeline + `bake "$PACKAGE" "$VERSION"`, pipeline + "validate", pipeline + "record", pipeline + `promote "$CHANNEL"`,
	}
	jenkins := jenkinsSteps(t, "../example/pipeline/Jenkinsfile")
	if diff := cmp.Diff(want, jenkins); diff != "" {
		t.Errorf("steps of the Jenkinsfile (-want +got):\n%s", diff)
	}
	want[3] = pipeline + "promote stable"
	if diff := cmp.Diff(want, workflowSteps(t, "../example/pipeline/github-actions.yml")); diff != "" {
		t.Errorf("steps of the workflow (-want +got):\n%s", diff)
	}
	rebuild := workflowSteps(t, "../example/scheduled-rebuild/github-actions.yml")
	unit := regexp.MustCompile(`(?m)^ExecStart=/usr/local/lib/bakery/(\S+)`).FindAllStringSubmatch(
		read(t, "../example/scheduled-rebuild/bakery-rebuild.service"), -1)
	if len(rebuild) != len(unit) {
		t.Fatalf("the workflow has the steps %q, the unit %q", rebuild, unit)
	}
	for i, step := range rebuild {
		if command, _, _ := strings.Cut(step, " "); filepath.Base(command) != unit[i][1] {
			t.Errorf("step %d of the workflow is %q, of the unit %q", i, step, unit[i][1])
		}
	}
}

// TestJenkinsfile holds the shape of a declarative pipeline: blocks that close,
// and sections where they belong. Jenkins itself is not asked.
func TestJenkinsfile(t *testing.T) {
	text := jenkinsText.ReplaceAllString(read(t, "../example/pipeline/Jenkinsfile"), "''")
	var open, sections []string
	for _, token := range regexp.MustCompile(`(\w+)?(?:\([^)]*\))?\s*\{|\}`).FindAllStringSubmatch(text, -1) {
		if token[0] == "}" {
			if len(open) == 0 {
				t.Fatal("a block is closed that was not opened")
			}
			open = open[:len(open)-1]
			continue
		}
		open = append(open, token[1])
		if path := strings.Join(open, "."); !slices.Contains(sections, path) {
			sections = append(sections, path)
		}
	}
	if len(open) > 0 {
		t.Errorf("blocks are not closed: %v", open)
	}
	want := []string{
		"pipeline", "pipeline.agent", "pipeline.parameters", "pipeline.environment", "pipeline.options", "pipeline.stages",
		"pipeline.stages.stage", "pipeline.stages.stage.steps", "pipeline.stages.stage.post", "pipeline.stages.stage.post.always",
		"pipeline.post", "pipeline.post.always",
	}
	if diff := cmp.Diff(want, sections); diff != "" {
		t.Errorf("sections (-want +got):\n%s", diff)
	}
}

// TestAminateReadsPackages holds what aminate.sh takes from packages of both
// kinds. Instead of packer there is a program that shows its arguments.
func TestAminateReadsPackages(t *testing.T) {
	bin, dir := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "packer"), []byte("#!/bin/sh\necho \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	deb := filepath.Join(dir, "shop.deb")
	output(t, filepath.Join(exampleDir(t, "application"), "build-deb.sh"), "1.4.2", deb)
	spec := filepath.Join(dir, "shop.spec")
	if err := os.WriteFile(spec, []byte("Name: shop\nVersion: 1.4.2\nRelease: 3.el9\nSummary: a shop\nLicense: MPL\nBuildArch: noarch\n%description\nA shop.\n%files\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	output(t, "rpmbuild", "-bb", "--quiet", "--define", "_topdir "+dir, "--define", "_dbpath "+filepath.Join(dir, "db"), spec)
	for path, version := range map[string]string{deb: "1.4.2", filepath.Join(dir, "RPMS/noarch/shop-1.4.2-3.el9.noarch.rpm"): "1.4.2-3.el9"} {
		got := output(t, "env", "PATH="+bin+":"+os.Getenv("PATH"), filepath.Join(exampleDir(t, "aminate"), "aminate.sh"), path, "-var", "base=el9")
		want := "build -var package=" + path + " -var application=shop -var version=" + version + " -var base=el9 " + exampleDir(t, "aminate") + "\n"
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("arguments of packer (-want +got):\n%s", diff)
		}
	}
}

// output runs a program of the host and returns what it writes.
func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("needs %s: %v", name, err)
	}
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}
