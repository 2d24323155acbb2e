package chroot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/hashicorp/packer-plugin-sdk/multistep"
	"github.com/hashicorp/packer-plugin-sdk/multistep/commonsteps"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
	"github.com/hashicorp/packer-plugin-sdk/packerbuilderdata"
	"github.com/oklog/ulid/v2"

	"github.com/imagebakery/packer-plugin-bakery/internal/cloud"
	"github.com/imagebakery/packer-plugin-bakery/internal/handoff"
	"github.com/imagebakery/packer-plugin-bakery/internal/home"
	"github.com/imagebakery/packer-plugin-bakery/internal/journal"
	"github.com/imagebakery/packer-plugin-bakery/internal/reap"
	"github.com/imagebakery/packer-plugin-bakery/internal/sandbox"
	"github.com/imagebakery/packer-plugin-bakery/internal/volume"
)

// cleanupTimeout bounds the undoing of a failed bake. The context of the build
// has ended by then, and a cloud that does not answer must not hold Packer.
const cleanupTimeout = 15 * time.Minute

// bake is one run of the builder: what its steps know and have made.
type bake struct {
	id      string
	config  *Config
	ui      packersdk.Ui
	state   multistep.StateBag
	started time.Time
	took    []handoff.Step

	client   *cloud.Client
	journals string // folder of journals; empty: that of the suite
	journal  *journal.Journal
	host     cloud.Host
	account  string

	source     cloud.Image      // zero when from scratch
	sourceSnap cloud.Snapshot   // of the source's root device
	image      cloud.ImageSpec  // what will be registered
	volume     resource         //
	attachment resource         //
	mount      resource         //
	attachedAs string           // device name of the attachment, as EC2 knows it
	device     string           // block device of the volume
	mounted    *volume.Mounted  //
	guests     *sandbox.Sandbox //
	packages   string           // what the image has installed, encoded; empty when not known

	volumeTags   map[string]string
	snapshotTags map[string]string
	targets      []*target   // where the image shall be; set by check
	snapshot     string      // id of the snapshot of the volume
	registered   cloud.Image // from that snapshot

	beatEvery time.Duration // between signs of life; 0: as often as usual
	stopHeart func()        // ends the signs of life; set with the journal

	equal equal       // images that are the same as this bake's
	stop  func(error) // ends the bake with a reason
}

// resource is something that the bake made and has to remove, at its end or
// when it fails. The zero value is nothing.
type resource struct {
	id    string
	entry journal.Entry
}

func newBake(config *Config, ui packersdk.Ui) *bake {
	return &bake{id: ulid.Make().String(), config: config, ui: ui, started: time.Now()}
}

// steps are the bake, in order. Each undoes its own work, in reverse order, at
// the end of the bake or when a later step fails.
func (b *bake) steps() []multistep.Step {
	steps := []multistep.Step{
		b.step("check", "Checking what can be known before anything is created...", b.check, nil),
		b.step("create volume", "Creating the volume...", b.createVolume, b.deleteVolume),
		b.step("attach volume", "Attaching the volume...", b.attachVolume, b.detachVolume),
		b.step("mount", "Mounting the root...", b.mountRoot, b.unmountRoot),
		b.step("start sandbox", "Starting the sandbox...", b.startSandbox, b.stopSandbox),
		b.timed("provision", new(commonsteps.StepProvision)),
		b.step("close sandbox", "Closing the sandbox and unmounting...", b.seal, nil),
	}
	if b.config.SkipCreateAMI {
		return steps
	}
	if b.config.Reuse {
		steps = append(steps, b.step("check inputs", "Checking that the inputs of the bake key are what they were...", b.checkInputs, nil))
	}
	// What these make is in the journal, which finish undoes when the bake fails.
	steps = append(steps,
		b.step("snapshot", "Creating the snapshot...", b.createSnapshot, nil),
		b.step("register", "Registering the image...", b.register, nil),
	)
	if len(b.config.Regions) > 0 || b.config.EncryptBoot.True() {
		steps = append(steps, b.step("copy", "Copying the image...", b.copyImages, nil))
	}
	if b.config.ForceDeregister {
		steps = append(steps, b.step("replace", "Replacing the image that has the name...", b.replaceAll, nil))
	}
	if b.config.shares() {
		steps = append(steps, b.step("share", "Setting permissions and marks...", b.share, nil))
	}
	if b.config.Protection.Enabled {
		steps = append(steps, b.step("protect", "Protecting the image...", b.protect, nil))
	}
	return append(steps, b.step("commit", "Noting that the image is good...", b.commit, nil))
}

// connect opens the cloud and the journal, and removes what bakes of this host
// left behind that died.
func (b *bake) connect(ctx context.Context) error {
	var err error
	if b.client, err = b.config.Client(ctx, b.reportWait); err != nil {
		return err
	}
	dir := b.journals
	if dir == "" {
		if dir, err = home.Path("journal"); err != nil {
			return err
		}
	}
	undone, err := reap.Orphans(ctx, dir, false, b.config.Connect, func(kind journal.Kind, id string) {
		b.ui.Say(fmt.Sprintf("Removed %s %s of a bake that died", kind, id))
	})
	if err != nil {
		// Another bake's leftovers are no reason to fail this one.
		b.ui.Error(fmt.Sprintf("Bakes that died have left something behind: %v; see `bakery reap`", err))
	}
	if undone > 0 {
		b.ui.Say(fmt.Sprintf("Cleaned up after %d bake(s) that died", undone))
	}
	how, err := json.Marshal(b.config.Config.WithoutSecrets()) //nolint:gosec // without, as it says
	if err != nil {
		return fmt.Errorf("start the journal: %w", err)
	}
	b.journal, err = journal.Create(dir, journal.Header{
		Bake: b.id, Started: b.started, Region: b.client.Region(), Access: how,
		Regions: b.config.copyRegions(b.client.Region()),
	})
	if err == nil {
		b.startHeart(ctx)
	}
	return err
}

// made records a resource in the journal.
func (b *bake) made(r *resource, kind journal.Kind, id string) error {
	entry, err := b.journal.Record(journal.Entry{Kind: kind, ID: id})
	*r = resource{id: id, entry: entry}
	return err
}

// remove undoes r unless it is nothing.
func (b *bake) remove(ctx context.Context, r *resource) error {
	if r.id == "" {
		return nil
	}
	if err := reap.Undo(ctx, b.client, b.journal, r.entry); err != nil {
		return err
	}
	*r = resource{}
	return nil
}

// committed reports whether the image is good.
func (b *bake) committed() bool { return b.journal != nil && b.journal.Committed() }

// finish ends the bake after its steps have undone what they had to. It returns
// what is left behind.
func (b *bake) finish(failure error) error {
	defer func() {
		if b.client != nil {
			_ = b.client.Close()
		}
	}()
	letting, done := context.WithTimeout(context.Background(), cleanupTimeout)
	defer done()
	if err := b.leaveEqual(letting, failure != nil); err != nil {
		// Others wait until the lease runs out, no more.
		b.ui.Error(err.Error())
	}
	if failure == nil {
		b.summary()
	} else if build := handoff.ThisBuild(b.config.PackerBuildName); build.Run != "" {
		// Test results of an image that there will not be.
		if err := build.Done(b.id); err != nil {
			b.ui.Error(err.Error())
		}
	}
	if b.journal == nil {
		return nil
	}
	b.stopHeart()
	ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
	defer cancel()
	if failure != nil && b.config.PackerOnError == "abort" {
		if err := b.mark(ctx, reap.Kept); err != nil {
			b.ui.Error(fmt.Sprintf("Other hosts may take what is kept for left behind: %v", err))
		}
		b.ui.Error(fmt.Sprintf("Left as it is, because of -on-error=abort: %s. `bakery reap --kept` removes it.", b.left()))
		return errors.Join(b.journal.Keep(), b.journal.Close())
	}
	return reap.All(ctx, b.client, b.journal, func(kind journal.Kind, id string) {
		if kind == journal.Replaced {
			b.ui.Say(fmt.Sprintf("Registered the image that was to be replaced again, as %s", id))
			return
		}
		b.ui.Say(fmt.Sprintf("Removed %s %s", kind, id))
	})
}

// left lists what the journal holds, for people.
func (b *bake) left() string {
	var list []string
	for _, e := range b.journal.Entries() {
		list = append(list, fmt.Sprintf("%s %s", e.Kind, e.ID))
	}
	if len(list) == 0 {
		return "nothing"
	}
	return strings.Join(list, ", ")
}

func (b *bake) reportWait(what, state string, waited time.Duration) {
	b.ui.Say(fmt.Sprintf("Waiting for %s: %s after %v", what, state, waited.Round(time.Second)))
}

// put makes values usable as build variables.
func (b *bake) put(values map[string]string) {
	data := packerbuilderdata.GeneratedData{State: b.state}
	for key, value := range values {
		data.Put(key, value)
	}
}

// ownTags adds the tag that says whose the resource is.
func (b *bake) ownTags(tags map[string]string) map[string]string {
	all := maps.Clone(tags)
	if all == nil {
		all = map[string]string{}
	}
	all[reap.OwnerTag] = b.id
	return all
}
