// Package pace decides when to look whether something is done: at first ever
// less often, and then, because it remembers how long things of a kind have
// taken on this host, when they are likely to be done. That finds out sooner,
// and with fewer looks, each of which is a call that AWS counts.
//
// What is remembered is a hint. A file that is missing, damaged or not writable
// costs looks, nothing else.
package pace

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

// remembered is how many waits of a kind are kept.
const remembered = 5

// Memory remembers, in a file that any number of processes may share, how long
// waits took. A nil Memory remembers nothing.
type Memory struct{ file string }

// Open returns the memory in a file, which need not exist.
func Open(file string) *Memory { return &Memory{file: file} }

// took is how long a wait took, in seconds since it began: what was waited for
// was not there at NotBy and there at By. NotBy may be from an earlier wait;
// then Untested counts the waits since.
type took struct {
	NotBy    float64 `json:"not_by"`
	By       float64 `json:"by"`
	Untested int     `json:"untested,omitempty"`
}

// recall returns the latest waits of a kind, the newest last.
func (m *Memory) recall(kind string) []took {
	if m == nil {
		return nil
	}
	all, err := m.read()
	if err != nil {
		log.Printf("[DEBUG] pace: %v", err)
	}
	return all[kind]
}

func (m *Memory) read() (map[string][]took, error) {
	text, err := os.ReadFile(m.file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return parse(text)
}

// parse reads a file of waits. What cannot be true is an error.
func parse(text []byte) (map[string][]took, error) {
	var all map[string][]took
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("read how long waits took: %w", err)
	}
	for kind, list := range all {
		for _, t := range list {
			if t.NotBy < 0 || t.By < t.NotBy || t.By > longest.Seconds() || t.Untested < 0 {
				return nil, fmt.Errorf("read how long waits took: %q took %v to %v s", kind, t.NotBy, t.By)
			}
		}
	}
	return all, nil
}

// longest is the longest wait that is remembered.
const longest = 24 * time.Hour

// lockTimeout bounds how long a wait that is over is held up by others that
// write theirs.
const lockTimeout = 2 * time.Second

// remember adds a wait.
func (m *Memory) remember(ctx context.Context, kind string, t took) {
	if m == nil {
		return
	}
	if err := m.add(ctx, kind, t); err != nil {
		log.Printf("[DEBUG] pace: %v", err)
	}
}

func (m *Memory) add(ctx context.Context, kind string, t took) error {
	if err := os.MkdirAll(filepath.Dir(m.file), 0o755); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, lockTimeout)
	defer cancel()
	lock := flock.New(m.file + ".lock")
	if _, err := lock.TryLockContext(ctx, 5*time.Millisecond); err != nil {
		return fmt.Errorf("lock %s: %w", m.file, err)
	}
	defer func() { _ = lock.Unlock() }()
	all, err := m.read()
	if err != nil {
		log.Printf("[DEBUG] pace: begin anew: %v", err)
	}
	if all == nil {
		all = map[string][]took{}
	}
	list := append(all[kind], t)
	all[kind] = list[max(0, len(list)-remembered):]
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	// Readers take no lock: they see the old file or the new one.
	next := m.file + ".new"
	if err := os.WriteFile(next, append(text, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(next, m.file)
}
