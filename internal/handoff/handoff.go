// Package handoff is what the components of one bake tell each other. They run
// in processes of their own, so nothing else connects them:
//
//   - the builder's facts travel in the artifact, under [StateKey];
//   - the results of bakery-spec travel in files of the Packer run, which
//     bakery-lineage takes when it registers the image.
package handoff

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"
	"github.com/oklog/ulid/v2"

	"github.com/imagebakery/packer-plugin-bakery/internal/home"
)

const (
	// StateKey is the artifact state under which the builder puts a [Bake].
	StateKey = "bakery.bake"

	// BakeIDKey is the build variable (`build.BakeID`) that holds [Bake.ID].
	BakeIDKey = "BakeID"

	// RunEnv is the variable that Packer sets to the id of its run in every
	// plugin process.
	RunEnv = "PACKER_RUN_UUID"
)

// staleAfter is the age at which results that nobody took are dropped: their
// build ended without bakery-lineage.
const staleAfter = 7 * 24 * time.Hour

// Bake is what the builder knows of the bake that it has finished.
type Bake struct {
	ID           string            `mapstructure:"id"`            // ULID of the bake
	Cloud        string            `mapstructure:"cloud"`         // aws or local
	Region       string            `mapstructure:"region"`        // where it was baked
	Account      string            `mapstructure:"account"`       // owner of the image
	SourceImage  string            `mapstructure:"source_image"`  // image id of the ancestor; empty when from scratch
	SourceName   string            `mapstructure:"source_name"`   // its name
	ImageName    string            `mapstructure:"image_name"`    //
	Architecture string            `mapstructure:"architecture"`  // x86_64, arm64, …
	BootMode     string            `mapstructure:"boot_mode"`     // empty when the image leaves it to the instance type
	Virtual      string            `mapstructure:"virtual"`       // virtualization type: hvm
	Key          string            `mapstructure:"key"`           // bake key; empty when unknown
	Lease        int64             `mapstructure:"lease"`         // token of the lease of Key that the bake holds; 0 for none
	Registry     string            `mapstructure:"registry"`      // where that lease is
	Reused       string            `mapstructure:"reused"`        // id in Registry of the image, when it existed before
	Tags         map[string]string `mapstructure:"tags"`          // tags of the image
	Images       []Image           `mapstructure:"images"`        // one for each region
	Steps        []Step            `mapstructure:"steps"`         // in the order they ran
	StartedUnix  int64             `mapstructure:"started_unix"`  // seconds since 1970
	FinishedUnix int64             `mapstructure:"finished_unix"` //
}

// Image is the image of a bake in one region.
type Image struct {
	Region    string   `mapstructure:"region"`
	ID        string   `mapstructure:"id"`
	Snapshots []string `mapstructure:"snapshots"`
}

// Step is one step of a bake and how long it took.
type Step struct {
	Name    string  `mapstructure:"name"`
	Seconds float64 `mapstructure:"seconds"`
}

// State returns b as the plain maps and lists that survive Packer's plugin wire.
func (b Bake) State() map[string]any {
	images := make([]any, len(b.Images))
	for i, img := range b.Images {
		images[i] = map[string]any{"region": img.Region, "id": img.ID, "snapshots": img.Snapshots}
	}
	steps := make([]any, len(b.Steps))
	for i, step := range b.Steps {
		steps[i] = map[string]any{"name": step.Name, "seconds": step.Seconds}
	}
	return map[string]any{
		"id": b.ID, "cloud": b.Cloud, "region": b.Region, "account": b.Account,
		"source_image": b.SourceImage, "source_name": b.SourceName, "image_name": b.ImageName,
		"architecture": b.Architecture, "boot_mode": b.BootMode, "virtual": b.Virtual,
		"key": b.Key, "lease": b.Lease, "registry": b.Registry, "reused": b.Reused, "tags": b.Tags, "images": images, "steps": steps,
		"started_unix": b.StartedUnix, "finished_unix": b.FinishedUnix,
	}
}

// DecodeBake reads what an artifact has under [StateKey], in whatever shape
// Packer's wire left it. ok is false when state is nil: the artifact is of
// another builder.
func DecodeBake(state any) (b Bake, ok bool, err error) {
	if state == nil {
		return Bake{}, false, nil
	}
	dec, err := mapstructure.NewDecoder(&mapstructure.DecoderConfig{Result: &b, WeaklyTypedInput: true})
	if err != nil {
		return Bake{}, false, fmt.Errorf("decode %s: %w", StateKey, err)
	}
	if err := dec.Decode(state); err != nil {
		return Bake{}, false, fmt.Errorf("decode %s: %w", StateKey, err)
	}
	return b, true, nil
}

// Result is the outcome of one suite, as bakery-spec hands it over.
type Result struct {
	BakeID      string    `json:"bake_id,omitempty"` // of the bake that it tested; empty under other builders
	Suite       string    `json:"suite"`
	SuiteDigest string    `json:"suite_digest"` // sha256 of what the suite demands, in hex
	Mode        string    `json:"mode"`         // offline or booted
	Outcome     string    `json:"outcome"`      // passed, failed or error
	Tool        string    `json:"tool"`         // name and version of what ran it
	Started     time.Time `json:"started"`
	Seconds     float64   `json:"seconds"`
	Checks      []Check   `json:"checks"`
}

// Check is the outcome of one assertion.
type Check struct {
	ID      string `json:"id"`                // subject and property: file:/etc/timezone:mode
	Outcome string `json:"outcome"`           // passed, failed, error, deferred, waived
	Message string `json:"message,omitempty"` // expected against actual, when it did not pass
}

// Build names one build of a Packer run.
type Build struct {
	Run  string // Packer's run id, from [RunEnv]
	Name string // packer_build_name
}

// ThisBuild returns the build of this process that Packer calls name.
func ThisBuild(name string) Build { return Build{Run: os.Getenv(RunEnv), Name: name} }

func (b Build) dir() (string, error) {
	for what, part := range map[string]string{RunEnv: b.Run, "packer_build_name": b.Name} {
		if part == "" || part == "." || part == ".." || strings.ContainsAny(part, "/\x00") {
			return "", fmt.Errorf("%s is %q; run inside `packer build`", what, part)
		}
	}
	return home.Path("runs", b.Run, b.Name)
}

// Put hands over r for whoever registers the image of b.
func (b Build) Put(r Result) error {
	// The name orders results by time, so that Results returns them as they ran.
	if err := b.hand(ulid.Make().String()+".json", r); err != nil {
		return fmt.Errorf("hand over test results of %s: %w", r.Suite, err)
	}
	return nil
}

// hand writes a record for b into a file with the given name.
func (b Build) hand(name string, record any) error {
	dir, err := b.dir()
	if err != nil {
		return err
	}
	prune(filepath.Dir(filepath.Dir(dir)), time.Now().Add(-staleAfter))
	data, err := json.Marshal(record)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, name)
	err = put(path, data)
	for again := 0; wentAway(err) && again < putAgain; again++ {
		// Another bake of the build was done and has removed the empty folder.
		err = put(path, data)
	}
	return err
}

// putAgain is how often a hand-over is tried again when its folder goes away
// underneath it. Each of the bakes that share the folder removes it once.
const putAgain = 100

// wentAway reports whether err is that of a folder that was removed meanwhile.
// MkdirAll says "file exists" of one that was there for its mkdir and gone for
// its look.
func wentAway(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist) }

// put writes a file that appears whole or not at all.
func put(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	partial := path + ".part"
	if err := os.WriteFile(partial, data, 0o600); err != nil {
		return err
	}
	return os.Rename(partial, path)
}

// Results returns what was handed over for b and for the bake with the given
// id, oldest first. Results that name no bake belong to every bake of b. They
// stay until [Build.Done].
func (b Build) Results(bakeID string) ([]Result, error) {
	files, err := b.files(bakeID)
	if err != nil {
		return nil, fmt.Errorf("read test results: %w", err)
	}
	var results []Result
	for _, file := range files {
		results = append(results, file.result)
	}
	return results, nil
}

// Done removes what [Build.Results] and [Build.Packages] return for the bake
// with the given id. It leaves what is of other bakes: Packer gives all builds of
// one source block the same name and runs them at once. It is no error when
// there is nothing.
func (b Build) Done(bakeID string) error {
	files, err := b.files(bakeID)
	if err != nil {
		return fmt.Errorf("remove test results: %w", err)
	}
	paths, err := b.packageFiles(bakeID, func(Packages) {})
	if err != nil {
		return fmt.Errorf("remove the installed packages: %w", err)
	}
	for _, file := range files {
		paths = append(paths, file.path)
	}
	for _, path := range paths {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove what was handed over: %w", err)
		}
	}
	dir, err := b.dir()
	if err != nil {
		return err
	}
	// Other bakes of the build, or other builds of the run, may still have
	// results there.
	if os.Remove(dir) == nil {
		_ = os.Remove(filepath.Dir(dir))
	}
	return nil
}

// file is a result where it was handed over.
type file struct {
	path   string
	result Result
}

// files returns the results for b and the bake with the given id, oldest first.
func (b Build) files(bakeID string) ([]file, error) {
	dir, err := b.dir()
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var files []file
	for _, entry := range entries {
		if filepath.Ext(entry.Name()) != ".json" {
			continue
		}
		path := filepath.Join(dir, entry.Name())
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // of another bake, which is done
		}
		if err != nil {
			return nil, err
		}
		var r Result
		if err := json.Unmarshal(data, &r); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if r.BakeID == "" || bakeID == "" || r.BakeID == bakeID {
			files = append(files, file{path, r})
		}
	}
	return files, nil
}

// prune drops the runs that were last touched before the given time. It does
// its best: what it cannot remove is tried again at the next hand-over.
func prune(runs string, before time.Time) {
	entries, err := os.ReadDir(runs)
	if err != nil {
		return
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err == nil && info.ModTime().Before(before) {
			_ = os.RemoveAll(filepath.Join(runs, entry.Name()))
		}
	}
}
