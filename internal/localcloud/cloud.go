package localcloud

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/imagebakery/packer-plugin-bakery/internal/home"
)

// DefaultRegion is where the host's instance runs unless WithRegion says
// otherwise.
const DefaultRegion = "us-east-1"

// Environment variables that OptionsFromEnv reads.
const (
	EnvLatency = "BAKERY_LOCAL_LATENCY" // as WithLatency
	EnvFaults  = "BAKERY_LOCAL_FAULTS"  // as WithFaults, separated by blanks
)

// Cloud is an open local cloud. It may be used by many goroutines.
type Cloud struct {
	store   *store
	files   files
	host    host
	region  string // of the host
	zone    string // of the host
	boot    string // names the present boot of the machine
	latency latency
	faults  faults
	tokens  metadataTokens
	behind  background
	access  *accessLog
	now     func() time.Time
	logf    func(format string, args ...any)
}

// Option changes how a cloud behaves for the process that opens it; nothing of
// it is stored.
type Option func(*Cloud) error

// WithRegion sets the region in which the host's instance runs.
func WithRegion(region string) Option {
	return func(c *Cloud) error {
		if _, ok := regions[region]; !ok {
			return fmt.Errorf("region %q is none of AWS's", region)
		}
		c.region, c.zone = region, region+zoneLetters[:1]
		return nil
	}
}

// WithLatency makes the cloud as slow as a model says: "none", or "aws" for
// delays like those of the real service.
func WithLatency(model string) Option {
	return func(c *Cloud) (err error) {
		c.latency, err = latencyNamed(model)
		return err
	}
}

// WithFaults makes chosen calls go wrong. A rule is
// ACTION=KIND[:ARGUMENT][:COUNT[@FIRST]], such as
//
//	RegisterImage=error:InternalError:2   the first two answer InternalError
//	CreateVolume=throttle:1@3             the third is throttled
//	AttachVolume=late:5s                  each is answered 5 s late
//	CreateSnapshot=lose:1                 the first is done, its answer is lost
//	*=throttle:10                         any ten calls are throttled
func WithFaults(rules ...string) Option {
	return func(c *Cloud) error {
		for _, rule := range rules {
			f, err := parseFault(rule)
			if err != nil {
				return err
			}
			c.faults.rules = append(c.faults.rules, f)
		}
		return nil
	}
}

// OptionsFromEnv returns the options that the environment asks for.
func OptionsFromEnv() []Option {
	var opts []Option
	if model := os.Getenv(EnvLatency); model != "" {
		opts = append(opts, WithLatency(model))
	}
	return append(opts, WithFaults(strings.Fields(os.Getenv(EnvFaults))...))
}

// Open opens the local cloud that is kept in the folder "local" under dir, and
// makes it when it is not there. dir "" is the suite's own folder. What killed
// processes have left is removed on the way.
func Open(ctx context.Context, dir string, opts ...Option) (*Cloud, error) {
	if dir == "" {
		var err error
		if dir, err = home.Dir(); err != nil {
			return nil, err
		}
	}
	if err := checkHost(); err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open the local cloud: %w", err)
	}
	c := &Cloud{
		files: files{filepath.Join(dir, "local")}, host: thisHost(), latency: latencies["none"], now: time.Now,
		logf: func(format string, args ...any) { log.Printf("[DEBUG] local cloud: "+format, args...) },
	}
	for _, opt := range append([]Option{WithRegion(DefaultRegion)}, opts...) {
		if err := opt(c); err != nil {
			return nil, fmt.Errorf("open the local cloud: %w", err)
		}
	}
	if err := c.open(ctx); err != nil {
		return nil, fmt.Errorf("open the local cloud in %s: %w", dir, err)
	}
	return c, nil
}

func (c *Cloud) open(ctx context.Context) error {
	if err := c.files.create(); err != nil {
		return err
	}
	// Loop devices are known by the real path of their file.
	real, err := filepath.EvalSymlinks(c.files.dir)
	if err != nil {
		return err
	}
	c.files.dir = real
	if c.boot, err = bootID(); err != nil {
		return err
	}
	unlock, err := lockFile(ctx, c.files.dir)
	if err != nil {
		return err
	}
	defer unlock()
	if c.store, err = openStore(ctx, filepath.Join(c.files.dir, "cloud.db")); err != nil {
		return err
	}
	if err := c.Reclaim(ctx); err != nil {
		return errors.Join(err, c.Close())
	}
	return nil
}

// Close waits for data that is on its way to the disk, and for files that are
// being removed, and closes the store. Volumes stay attached.
func (c *Cloud) Close() error {
	c.behind.wait()
	return c.store.Close()
}

// Reclaim removes what processes that were killed have left: unfinished files,
// files and loop devices of volumes that nobody knows, attachments that were
// begun and not finished. Other processes may be at work meanwhile.
func (c *Cloud) Reclaim(ctx context.Context) error {
	if err := c.reclaimFiles(ctx); err != nil {
		return fmt.Errorf("remove what killed processes left: %w", err)
	}
	return c.settleVolumes(ctx, "", nil)
}

// reclaimFiles compares files with rows in a write transaction: files get
// their names in one, so none is on its way meanwhile.
func (c *Cloud) reclaimFiles(ctx context.Context) error {
	if err := c.reclaimWorkspaces(ctx); err != nil {
		return err
	}
	return c.store.write(ctx, func(t *tx) error {
		volumes, err := list[volume](t, kindVolume, "")
		if err != nil {
			return err
		}
		snapshots, err := list[snapshot](t, kindSnapshot, "")
		if err != nil {
			return err
		}
		known := map[string]bool{}
		for _, v := range volumes {
			if !v.Deleted.IsZero() {
				if v.deleted(c.now()) {
					if err := t.drop(v.ID); err != nil {
						return err
					}
				}
				continue // its file has no use either way
			}
			known[v.ID] = true
			if !v.Synced && v.Lost == "" && v.Boot == c.boot {
				c.syncLater(ctx, v.Region, kindVolume, v.ID)
			}
		}
		for _, s := range snapshots {
			known[s.ID] = true
			if !s.Synced && s.Lost == "" {
				c.syncLater(ctx, s.Region, kindSnapshot, s.ID)
			}
		}
		isKnown := func(id string) bool { return known[id] }
		if err := removeStrayNodes(c.files.volume(""), isKnown); err != nil {
			return err
		}
		for _, dir := range []string{c.files.volume(""), c.files.snapshot("")} {
			if err := c.discardStrays(dir, isKnown); err != nil {
				return err
			}
		}
		return nil
	})
}

// discard removes a data file that no row knows any more; one that is not
// there is fine. To give back the blocks of a large file takes a while, for
// which nobody waits but Close.
func (c *Cloud) discard(path string) error {
	grave, err := c.files.bury(path)
	if err != nil || grave == "" {
		return err
	}
	c.behind.start(grave, func() {
		if err := ignoreNotExist(os.Remove(grave)); err != nil {
			c.logf("remove %s: %v", grave, err) // Reclaim tries again
		}
	})
	return nil
}

func (c *Cloud) discardStrays(dir string, known func(id string) bool) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if known(entry.Name()) {
			continue
		}
		if err := c.discard(filepath.Join(dir, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}

// reclaimWorkspaces removes those whose process is dead, and discarded files.
func (c *Cloud) reclaimWorkspaces(ctx context.Context) error {
	entries, err := os.ReadDir(c.files.work())
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		dir := filepath.Join(c.files.work(), entry.Name())
		unlock, err := tryLockFile(dir)
		if errors.Is(err, errLocked) || errors.Is(err, errNoFile) {
			continue
		}
		if err != nil {
			return err
		}
		err = os.RemoveAll(dir)
		unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// background is work that goes on beside the answers, one piece for each key.
type background struct {
	mu      sync.Mutex
	running map[string]bool
	group   sync.WaitGroup
}

func (b *background) start(key string, work func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.running[key] {
		return
	}
	if b.running == nil {
		b.running = map[string]bool{}
	}
	b.running[key] = true
	b.group.Go(func() {
		work()
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.running, key)
	})
}

func (b *background) wait() { b.group.Wait() }

func ignoreNotExist(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func ignoreNoRows(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	return err
}
