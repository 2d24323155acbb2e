// Package journal remembers what a bake has created, so that a failure or a
// crash can be undone, newest first.
//
// Each bake has one journal, a file of JSON lines that it holds locked for as
// long as it runs. The first line says whose it is; every further line records
// a resource, or that one is no longer there. A line is on disk before Record
// returns, so that a resource which the bake knew of is never lost, even to
// SIGKILL or power loss. A journal that nobody holds locked belongs to a bake
// that died: [Orphans] takes it over.
//
// What lies between a creating call and its Record is covered by the resource
// itself: everything in a cloud carries the bake's id as a tag.
package journal

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"
)

// Kind says what an entry is about.
type Kind string

// The kinds of resources that a bake creates.
const (
	Volume     Kind = "volume"     // ID: volume id
	Attachment Kind = "attachment" // ID: volume id
	Mount      Kind = "mount"      // ID: path on the host
	Snapshot   Kind = "snapshot"   // ID: snapshot id
	Image      Kind = "image"      // ID: image id
	Replaced   Kind = "replaced"   // ID: id of an image of others' making that the bake takes the name of; Data: how to make it again
)

// Header says whose journal it is.
type Header struct {
	Bake    string          `json:"bake"`    // id of the bake, also the value of its owner tag
	Started time.Time       `json:"started"` //
	Region  string          `json:"region"`  // where the bake works
	Regions []string        `json:"regions"` // all where it makes something; without Region in older journals
	Access  json.RawMessage `json:"access"`  // how to reach the cloud, without secrets
}

// Entry is one resource.
type Entry struct {
	Seq    int    `json:"seq"`
	Kind   Kind   `json:"kind"`
	ID     string `json:"id"`
	Region string `json:"region,omitempty"`

	// Temporary images and snapshots are to be removed even when the bake ends
	// well; others are its result then.
	Temporary bool `json:"temporary,omitempty"`

	Data json.RawMessage `json:"data,omitempty"` // what more undoing takes, by kind
}

// line is what stands in the file: exactly one of its fields.
type line struct {
	Header *Header `json:"header,omitempty"`
	Made   *Entry  `json:"made,omitempty"`
	Gone   int     `json:"gone,omitempty"` // Seq of the entry
	Kept   bool    `json:"kept,omitempty"`
	Good   bool    `json:"good,omitempty"` // see Commit
	Then   []Entry `json:"then,omitempty"` // with Good: what is to be removed from then on
}

// suffix is the ending of a journal's name.
const suffix = ".jsonl"

// ErrLocked is returned when another process holds the journal.
var ErrLocked = errors.New("the journal belongs to a running bake")

// Journal is the open journal of one bake. It is safe for concurrent use.
type Journal struct {
	Header Header

	mu sync.Mutex // guards what follows

	path    string
	file    *os.File
	lock    *flock.Flock
	entries []Entry
	next    int
	kept    bool
	good    bool
}

// Create starts the journal of a bake in dir.
func Create(dir string, header Header) (*Journal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("start the journal of bake %s: %w", header.Bake, err)
	}
	// Locked and headed before it gets its name, so that nobody takes over a
	// journal that has just begun. The lock goes with the file, not its name.
	path := filepath.Join(dir, header.Bake+suffix)
	j := &Journal{Header: header, path: path + ".new", lock: flock.New(path + ".new"), next: 1}
	err := j.takeLock()
	if err == nil {
		err = j.open()
	}
	if err == nil {
		err = j.append(line{Header: &header})
	}
	if err == nil {
		err = os.Rename(j.path, path)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the journal of bake %s: %w", header.Bake, err), j.Done())
	}
	j.path = path
	return j, nil
}

// Orphans takes over the journals in dir whose bakes have died. The caller
// closes each. Journals that were kept on purpose are left out unless kept is
// true. A journal that cannot be read is reported in the error; the others are
// returned all the same.
func Orphans(dir string, kept bool) ([]*Journal, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for journals: %w", err)
	}
	var found []*Journal
	var errs []error
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), suffix) {
			continue
		}
		j, err := takeOver(filepath.Join(dir, entry.Name()))
		switch {
		case errors.Is(err, ErrLocked), errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			errs = append(errs, err)
		case j.kept && !kept:
			errs = append(errs, j.Close())
		default:
			found = append(found, j)
		}
	}
	return found, errors.Join(errs...)
}

func takeOver(path string) (*Journal, error) {
	// Without O_CREATE: a bake that ends well just now has removed its file.
	j := &Journal{path: path, lock: flock.New(path, flock.SetFlag(os.O_RDWR)), next: 1}
	err := j.takeLock()
	if err == nil {
		err = j.read()
	}
	if err == nil {
		err = j.open()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("journal %s: %w", path, err), j.Close())
	}
	return j, nil
}

func (j *Journal) open() (err error) {
	j.file, err = os.OpenFile(j.path, os.O_WRONLY|os.O_APPEND, 0o600)
	return err
}

func (j *Journal) takeLock() error {
	got, err := j.lock.TryLock()
	if err != nil {
		return err
	}
	if !got {
		return ErrLocked
	}
	return nil
}

// read replays the file. A last line without its end was being written when the
// bake died, and its resource is found by its tag.
func (j *Journal) read() error {
	data, err := os.ReadFile(j.path)
	if err != nil {
		return err
	}
	if end := bytes.LastIndexByte(data, '\n'); end+1 < len(data) {
		if err := os.Truncate(j.path, int64(end+1)); err != nil {
			return err
		}
		data = data[:end+1]
	}
	lines := bufio.NewReader(bytes.NewReader(data))
	for n := 1; ; n++ {
		text, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var l line
		if err := json.Unmarshal(text, &l); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		switch {
		case l.Header != nil:
			j.Header = *l.Header
		case l.Made != nil:
			j.entries = append(j.entries, *l.Made)
			j.next = max(j.next, l.Made.Seq+1)
		case l.Kept:
			j.kept = true
		case l.Good:
			j.commit(l.Then)
		case l.Gone != 0:
			j.drop(l.Gone)
		}
	}
}

// Record notes that the bake has created a resource, and returns it with its
// number. It is on disk when Record returns.
func (j *Journal) Record(entry Entry) (Entry, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	entry.Seq = j.next
	if err := j.append(line{Made: &entry}); err != nil {
		return Entry{}, err
	}
	j.next++
	j.entries = append(j.entries, entry)
	return entry, nil
}

// Gone notes that a resource is no longer there.
func (j *Journal) Gone(entry Entry) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.append(line{Gone: entry.Seq}); err != nil {
		return err
	}
	j.drop(entry.Seq)
	return nil
}

// Commit notes that the bake has ended well: its images and snapshots are its
// result, those that it replaces are given up, and in the same moment what then
// lists becomes what there is to remove.
func (j *Journal) Commit(then ...Entry) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for i := range then {
		then[i].Seq = j.next + i
	}
	if err := j.append(line{Good: true, Then: then}); err != nil {
		return err
	}
	j.commit(then)
	return nil
}

// Committed reports whether the bake has ended well. What carries its tag then
// is its result.
func (j *Journal) Committed() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.good
}

// Keep marks the journal as one that somebody wants to look at: only who asks
// for kept journals takes it over.
func (j *Journal) Keep() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.kept = true
	return j.append(line{Kept: true})
}

// Entries returns what is there to undo, newest first.
func (j *Journal) Entries() []Entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	list := slices.Clone(j.entries)
	slices.Reverse(list)
	return list
}

// Done removes the journal: the bake ended well, or all of it was undone.
func (j *Journal) Done() error {
	// Removed while it is locked, so that nobody takes over a finished bake.
	err := os.Remove(j.path)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, j.Close())
}

// Close gives up the lock and leaves the file: what it lists is still there.
func (j *Journal) Close() error {
	var err error
	if j.file != nil {
		err = j.file.Close()
	}
	return errors.Join(err, j.lock.Unlock())
}

func (j *Journal) append(l line) error {
	data, err := json.Marshal(l)
	if err == nil {
		_, err = j.file.Write(append(data, '\n'))
	}
	if err == nil {
		err = j.file.Sync()
	}
	if err != nil {
		return fmt.Errorf("write the journal of bake %s: %w", j.Header.Bake, err)
	}
	return nil
}

func (j *Journal) commit(then []Entry) {
	j.good = true
	j.entries = slices.DeleteFunc(j.entries, func(e Entry) bool {
		return e.Kind == Replaced || (e.Kind == Image || e.Kind == Snapshot) && !e.Temporary
	})
	j.entries = append(j.entries, then...)
	j.next += len(then)
}

func (j *Journal) drop(seq int) {
	j.entries = slices.DeleteFunc(j.entries, func(e Entry) bool { return e.Seq == seq })
}
