// Package together lets processes of a host that want to know something of the
// same kind at the same time ask once for all of them. Each build of Packer is a
// process of its own, and each waits for volumes, snapshots and images; AWS
// counts calls by account.
//
// Whoever asks, asks for all who have come by then. Who comes while a question is
// under way is answered by the next. Where others have asked a moment ago,
// [Desk.HoldBack] makes questions fall together.
package together

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

const (
	// slot is what questions are held back to where there is company: moments
	// that are this far apart, the same for all processes of the host.
	slot = 250 * time.Millisecond

	// companyFor is how long somebody who has asked counts as company.
	companyFor = 10 * time.Second

	// patience is how long to wait for the question of another, which may hang,
	// before asking alone.
	patience = 2 * time.Second

	// abandoned is the age of a question whose asker has died.
	abandoned = time.Minute

	// most is how many are asked for at once. EC2 takes up to 200 values of a
	// filter ("List and filter using the CLI and API", EC2 user guide).
	most = 100
)

// Desk is a folder where questions to one API, about one kind of thing and with
// the same permissions, are collected. A nil Desk has no company.
type Desk struct{ dir string }

// Open returns the desk in a folder, which need not exist.
func Open(dir string) *Desk { return &Desk{dir: dir} }

// At returns the desk for a part of what is asked at d.
func (d *Desk) At(part string) *Desk {
	if d == nil {
		return nil
	}
	return &Desk{dir: filepath.Join(d.dir, part)}
}

// Ask returns what is known of id, at a moment after the call of Ask. ask asks
// for several, the first of which is id, and may leave out what there is not;
// found is false when it has left out id, and only id was asked for. It is called
// in this process or, when that comes to the same, in another one.
//
// What stands in the way of asking together is no error: then this process asks
// for itself.
func Ask[T any](ctx context.Context, d *Desk, id string, ask func(ctx context.Context, ids []string) (map[string]T, error)) (answer T, found bool, err error) {
	alone := func() (T, bool, error) {
		answers, err := ask(ctx, []string{id})
		answer, found := answers[id]
		return answer, found, err
	}
	if d == nil {
		return alone()
	}
	q, err := d.put(id)
	if err != nil {
		log.Printf("[DEBUG] ask alone: %v", err)
		return alone()
	}
	defer q.remove()
	unlock, err := d.turn(ctx)
	if ctx.Err() != nil {
		return answer, false, context.Cause(ctx)
	}
	if err != nil {
		log.Printf("[DEBUG] ask alone: %v", err)
		return alone()
	}
	defer unlock()
	// What another did not find may be what it is not allowed to see.
	if q.answered(&answer) {
		return answer, true, nil
	}
	others := d.unanswered(q)
	ids := []string{id}
	for _, o := range others {
		ids = append(ids, o.id)
	}
	answers, err := ask(ctx, ids)
	if err != nil {
		return answer, false, err
	}
	if _, found := answers[id]; !found && len(others) > 0 {
		return alone()
	}
	for _, o := range others {
		if answer, found := answers[o.id]; found {
			o.answer(answer)
		}
	}
	answer, found = answers[id]
	return answer, found, nil
}

// question is a file, empty until it is answered. Its name is the id and
// something that makes it unique. Only who has the turn reads and answers.
type question struct{ id, path string }

func (d *Desk) put(id string) (question, error) {
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return question{}, fmt.Errorf("put a question: %w", err)
	}
	f, err := os.CreateTemp(d.dir, id+".")
	if err != nil {
		return question{}, fmt.Errorf("put a question: %w", err)
	}
	return question{id, f.Name()}, f.Close()
}

func (q question) remove() { _ = os.Remove(q.path) }

// answered reads the answer, if there is one.
func (q question) answered(answer any) bool {
	text, err := os.ReadFile(q.path)
	return err == nil && len(text) > 0 && json.Unmarshal(text, answer) == nil
}

// answer writes it. Who gets none asks again.
func (q question) answer(answer any) {
	f, err := os.OpenFile(q.path, os.O_WRONLY, 0) // of one that is gone none is made
	if err != nil {
		return
	}
	err = json.NewEncoder(f).Encode(answer)
	if err := errors.Join(err, f.Close()); err != nil {
		log.Printf("[DEBUG] answer another process: %v", err)
	}
}

// unanswered are the questions of others, and removes those of the dead.
func (d *Desk) unanswered(mine question) []question {
	entries, err := os.ReadDir(d.dir)
	if err != nil {
		log.Printf("[DEBUG] ask for myself only: %v", err)
	}
	var list []question
	for _, e := range entries {
		id, _, isQuestion := strings.Cut(e.Name(), ".")
		q := question{id, filepath.Join(d.dir, e.Name())}
		info, err := e.Info()
		switch {
		case !isQuestion || id == "" || q.path == mine.path || err != nil || !info.Mode().IsRegular():
		case time.Since(info.ModTime()) > abandoned:
			q.remove()
		case info.Size() == 0 && len(list) < most-1:
			list = append(list, q)
		}
	}
	return list
}

// lockName has no dot, which all questions have.
const lockName = "lock"

// turn waits for the right to ask, and notes who has it.
func (d *Desk) turn(ctx context.Context) (unlock func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	path := filepath.Join(d.dir, lockName)
	lock := flock.New(path, flock.SetFlag(os.O_CREATE|os.O_RDWR), flock.SetPermissions(0o600))
	if _, err := lock.TryLockContext(ctx, 5*time.Millisecond); err != nil {
		return nil, fmt.Errorf("wait for the question of another process: %w", err)
	}
	if err := os.WriteFile(path, []byte(strconv.Itoa(os.Getpid())), 0o600); err != nil {
		log.Printf("[DEBUG] others will not hold back: %v", err)
	}
	return func() { _ = lock.Unlock() }, nil
}

// HoldBack waits, a quarter of a second at most, for the next moment at which all
// processes ask, if the last to ask was another process, and seconds ago. It
// returns an error only when ctx ends.
func (d *Desk) HoldBack(ctx context.Context) error {
	if d == nil || !d.company() {
		return nil
	}
	now := time.Now()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(now.Truncate(slot).Add(slot).Sub(now)):
		return nil
	}
}

// company reports whether the last to ask was another process, a moment ago.
func (d *Desk) company() bool {
	path := filepath.Join(d.dir, lockName)
	info, err := os.Stat(path)
	if err != nil || time.Since(info.ModTime()) > companyFor {
		return false
	}
	who, err := os.ReadFile(path)
	return err == nil && string(who) != strconv.Itoa(os.Getpid())
}
