package e2e

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/imagebakery/packer-plugin-bakery/version"
)

// TestRelease makes a release for this system as the release workflow does,
// without signing and publishing it, and installs the plugin in the two ways
// that people do.
func TestRelease(t *testing.T) {
	w := newWorld(t)
	if os.Getenv("BAKERY_TEST_GORELEASER") == "" {
		t.Skip("needs goreleaser: make goreleaser builds it, once, in some minutes")
	}
	goreleaser := need(t, "BAKERY_TEST_GORELEASER")
	w.must(t, "..", goreleaser, "check")
	api := w.apiVersion(t)
	dist := t.TempDir()
	w.env = append(w.env, "API_VERSION="+api)
	w.goreleaser(t, goreleaser, "release", "--snapshot", "--clean", "--skip=sign", "--config", forThisSystem(t, dist),
		// One after the other: the second finds compiled what both need.
		"--parallelism=1")

	system := runtime.GOOS + "_" + runtime.GOARCH
	plugin := "packer-plugin-bakery_v" + version.Version + "_" + api + "_" + system
	command := "bakery_v" + version.Version + "_" + system + ".tar.gz"
	sums := "packer-plugin-bakery_v" + version.Version + "_SHA256SUMS"
	binary := filepath.Join(t.TempDir(), plugin)

	t.Run("checksums", func(t *testing.T) {
		listed := readSums(t, filepath.Join(dist, sums))
		for _, name := range []string{plugin + ".zip", command} {
			content, err := os.ReadFile(filepath.Join(dist, name))
			if err != nil {
				t.Fatal(err)
			}
			if sum := sha256.Sum256(content); listed[name] != hex.EncodeToString(sum[:]) {
				t.Errorf("%s has checksum %x, %s says %q", name, sum, sums, listed[name])
			}
		}
		if len(listed) != 2 {
			t.Errorf("%s lists %v, want the plugin and the command", sums, listed)
		}
	})

	t.Run("the zip has the plugin and nothing else", func(t *testing.T) {
		archive, err := zip.OpenReader(filepath.Join(dist, plugin+".zip"))
		if err != nil {
			t.Fatal(err)
		}
		defer archive.Close()
		if len(archive.File) != 1 || archive.File[0].Name != plugin {
			t.Fatalf("its members are %+v, want %s", archive.File, plugin)
		}
		unpack(t, archive.File[0], binary)
	})

	t.Run("the command says its version", func(t *testing.T) {
		dir := t.TempDir()
		w.must(t, dir, "tar", "-xzf", filepath.Join(dist, command))
		for _, file := range []string{"LICENSE", "README.md", "CHANGELOG.md"} {
			if _, err := os.Stat(filepath.Join(dir, file)); err != nil {
				t.Error(err)
			}
		}
		if out := w.must(t, dir, filepath.Join(dir, "bakery"), "--version"); strings.TrimSpace(out) != "bakery version "+version.Version {
			t.Errorf("bakery --version = %q, want %s and no prerelease", out, version.Version)
		}
	})

	t.Run("plugin-check", func(t *testing.T) {
		// It wants a name, not a path.
		check := strings.TrimSpace(w.must(t, "..", "go", "tool", "-n", "packer-sdc"))
		w.must(t, filepath.Dir(binary), check, "plugin-check", plugin)
	})

	template := t.TempDir()
	if err := os.WriteFile(filepath.Join(template, "t.pkr.hcl"), []byte(`
packer {
  required_plugins {
    bakery = {
      source  = "github.com/imagebakery/bakery"
      version = ">= `+version.Version+`"
    }
  }
}
source "bakery-chroot" "it" {
  cloud      = "local"
  source_ami = "ami-0123456789abcdef0"
  ami_name   = "released"
}
build {
  sources = ["source.bakery-chroot.it"]
}
`), 0o600); err != nil {
		t.Fatal(err)
	}

	t.Run("packer plugins install --path", func(t *testing.T) {
		w := w.offline(t)
		w.must(t, template, w.packer, "plugins", "install", "--path", binary, "github.com/imagebakery/bakery")
		w.must(t, template, w.packer, "init", ".")
		w.must(t, template, w.packer, "validate", ".")
	})

	t.Run("packer init", func(t *testing.T) {
		w := w.offline(t)
		w.env = append(w.env, serveRelease(t, dist, "v"+version.Version)...)
		if out := w.must(t, template, w.packer, "init", "."); !strings.Contains(out, "v"+version.Version) {
			t.Error("it does not say what it has installed")
		}
		w.must(t, template, w.packer, "validate", ".")
	})

	t.Run("packer init, and the zip is another", func(t *testing.T) {
		w := w.offline(t)
		damaged := t.TempDir()
		if err := os.CopyFS(damaged, os.DirFS(dist)); err != nil {
			t.Fatal(err)
		}
		file, err := os.OpenFile(filepath.Join(damaged, plugin+".zip"), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteString("more"); err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
		w.env = append(w.env, serveRelease(t, damaged, "v"+version.Version)...)
		if r := w.run(t, template, w.packer, "init", "."); r.code == 0 || !strings.Contains(strings.ToLower(r.out), "checksum") {
			t.Errorf("exit status %d, want a failure that names the checksum", r.code)
		}
	})
}

// goreleaser runs it, with what it starts in a process group that ends with it: it
// compiles everything anew where that has not been done, for minutes.
func (w *world) goreleaser(t *testing.T, program string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 25*time.Minute)
	defer cancel()
	cmd := w.command(ctx, "..", program, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	out, err := cmd.CombinedOutput()
	t.Logf("goreleaser %s: %v\n%s", strings.Join(args, " "), err, out)
	if err != nil {
		t.FailNow()
	}
}

// forThisSystem returns a configuration of goreleaser that builds for this
// system only, and into dist: all of them take many minutes.
func forThisSystem(t *testing.T, dist string) string {
	t.Helper()
	text, err := os.ReadFile("../.goreleaser.yml")
	if err != nil {
		t.Fatal(err)
	}
	var config map[string]any
	if err := yaml.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	system := runtime.GOOS + "_" + runtime.GOARCH
	config["dist"] = dist
	// A clone may have neither tags nor a remote to ask for them.
	config["snapshot"] = map[string]any{"version_template": version.Version}
	builds, _ := config["builds"].([]any)
	if len(builds) != 2 {
		t.Fatalf("%d builds, want the plugin and the command", len(builds))
	}
	for _, b := range builds {
		build, _ := b.(map[string]any)
		targets, _ := build["targets"].([]any)
		for _, want := range []string{"linux_amd64", "linux_arm64", "darwin_amd64", "darwin_arm64", "windows_amd64", "windows_arm64"} {
			if !slices.Contains(targets, any(want)) {
				t.Errorf("%v is not built for %s", build["id"], want)
			}
		}
		build["targets"] = []string{system}
	}
	if text, err = yaml.Marshal(config); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "goreleaser.yml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// apiVersion asks the plugin that is installed for the version of Packer's
// protocol, x5.0.
func (w *world) apiVersion(t *testing.T) string {
	t.Helper()
	installed, _ := filepath.Glob(filepath.Join(os.Getenv("PACKER_PLUGIN_PATH"), "github.com/imagebakery/bakery/packer-plugin-bakery_*_"+runtime.GOARCH))
	if len(installed) == 0 {
		t.Fatal("the plugin is not installed: run make testacc")
	}
	var about struct {
		APIVersion string `json:"api_version"`
	}
	if err := json.Unmarshal([]byte(w.must(t, ".", installed[len(installed)-1], "describe")), &about); err != nil {
		t.Fatal(err)
	}
	return about.APIVersion
}

// offline is w with no plugin installed, and no way to fetch one.
func (w *world) offline(t *testing.T) *world {
	t.Helper()
	other := *w
	other.env = append(slices.Clone(w.env), "PACKER_PLUGIN_PATH="+t.TempDir(), "HTTPS_PROXY=http://127.0.0.1:1", "NO_PROXY=")
	return &other
}

func readSums(t *testing.T, path string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sums := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^([0-9a-f]{64})  (\S+)$`).FindAllStringSubmatch(string(text), -1) {
		sums[m[2]] = m[1]
	}
	return sums
}

func unpack(t *testing.T, member *zip.File, path string) {
	t.Helper()
	from, err := member.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	content, err := io.ReadAll(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o700); err != nil {
		t.Fatal(err)
	}
}
