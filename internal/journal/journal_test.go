package journal

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDeadBakeIsTakenOver(t *testing.T) {
	dir := t.TempDir()
	j := create(t, dir, "dead")
	vol := record(t, j, Volume, "vol-1")
	record(t, j, Mount, "/mnt/x")
	snap := record(t, j, Snapshot, "snap-1")
	if err := j.Gone(snap); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}

	found, err := Orphans(dir, false)
	if err != nil || len(found) != 1 {
		t.Fatalf("Orphans = %d journals, error %v; want 1", len(found), err)
	}
	over := found[0]
	if diff := cmp.Diff([]Entry{{Seq: 2, Kind: Mount, ID: "/mnt/x"}, vol}, over.Entries()); diff != "" {
		t.Errorf("entries, newest first (-want +got):\n%s", diff)
	}
	if over.Header.Bake != "dead" {
		t.Errorf("header = %+v", over.Header)
	}
	if err := over.Done(); err != nil {
		t.Fatal(err)
	}
	if found, err := Orphans(dir, false); len(found) != 0 || err != nil {
		t.Errorf("after Done: %d journals, error %v", len(found), err)
	}
}

func TestRunningBakeIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	j := create(t, dir, "running")
	defer j.Done()
	if found, err := Orphans(dir, true); len(found) != 0 || err != nil {
		t.Errorf("while it runs: %d journals, error %v; want none", len(found), err)
	}
}

func TestTornLastLine(t *testing.T) {
	dir := t.TempDir()
	j := create(t, dir, "torn")
	record(t, j, Volume, "vol-1")
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "torn.jsonl")
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString(`{"made":{"seq":2,"ki`); err != nil {
		t.Fatal(err)
	}
	file.Close()

	found, err := Orphans(dir, false)
	if err != nil || len(found) != 1 {
		t.Fatalf("Orphans = %d, %v", len(found), err)
	}
	record(t, found[0], Snapshot, "snap-9")
	found[0].Close()
	again, err := Orphans(dir, false)
	if err != nil || len(again) != 1 || len(again[0].Entries()) != 2 {
		t.Fatalf("after writing behind a torn line: %v, %v", again, err)
	}
	again[0].Done()
}

func TestGarbageIsReported(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "bad.jsonl"), []byte("not json\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	good := create(t, dir, "good")
	good.Close()
	found, err := Orphans(dir, false)
	if len(found) != 1 || err == nil || !strings.Contains(err.Error(), "bad.jsonl: line 1") {
		t.Errorf("Orphans = %d journals, error %v; want the good one and an error about bad.jsonl", len(found), err)
	}
	for _, j := range found {
		j.Done()
	}
}

func TestKeptJournalWaitsToBeAskedFor(t *testing.T) {
	dir := t.TempDir()
	j := create(t, dir, "kept")
	if err := j.Keep(); err != nil {
		t.Fatal(err)
	}
	j.Close()
	if found, err := Orphans(dir, false); len(found) != 0 || err != nil {
		t.Errorf("unasked: %d journals, error %v", len(found), err)
	}
	found, err := Orphans(dir, true)
	if len(found) != 1 || err != nil {
		t.Fatalf("asked: %d journals, error %v", len(found), err)
	}
	found[0].Done()
}

func TestCommittedImageIsNotUndone(t *testing.T) {
	dir := t.TempDir()
	j := create(t, dir, "good")
	vol := record(t, j, Volume, "vol-1")
	record(t, j, Snapshot, "snap-1")
	record(t, j, Image, "ami-1")
	if err := j.Commit(); err != nil {
		t.Fatal(err)
	}
	j.Close()
	found, err := Orphans(dir, false)
	if err != nil || len(found) != 1 {
		t.Fatalf("Orphans = %d, %v", len(found), err)
	}
	if diff := cmp.Diff([]Entry{vol}, found[0].Entries()); diff != "" || !found[0].Committed() {
		t.Errorf("committed %v, entries (-want +got):\n%s", found[0].Committed(), diff)
	}
	found[0].Done()
}

func TestCommitTurnsWhatIsToBeRemovedAround(t *testing.T) {
	dir := t.TempDir()
	j := create(t, dir, "replacing")
	replaced := Entry{Kind: Replaced, ID: "ami-old", Region: "eu-west-1", Data: json.RawMessage(`{"name":"x"}`)}
	temporary := Entry{Kind: Image, ID: "ami-tmp", Region: "eu-west-1", Temporary: true}
	for _, e := range []*Entry{&replaced, &temporary, {Kind: Image, ID: "ami-new"}} {
		var err error
		if *e, err = j.Record(*e); err != nil {
			t.Fatal(err)
		}
	}
	if len(j.Entries()) != 3 {
		t.Errorf("before the commit: %v, want all three", j.Entries())
	}
	if err := j.Commit(Entry{Kind: Snapshot, ID: "snap-old", Temporary: true}); err != nil {
		t.Fatal(err)
	}
	want := []Entry{{Seq: 4, Kind: Snapshot, ID: "snap-old", Temporary: true}, temporary}
	if diff := cmp.Diff(want, j.Entries()); diff != "" {
		t.Errorf("after the commit (-want +got):\n%s", diff)
	}
	if err := j.Gone(want[1]); err != nil {
		t.Fatal(err)
	}
	j.Close()
	found, err := Orphans(dir, false)
	if err != nil || len(found) != 1 {
		t.Fatalf("Orphans = %d, %v", len(found), err)
	}
	if diff := cmp.Diff(want[:1], found[0].Entries()); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
	if next := record(t, found[0], Volume, "vol-1"); next.Seq != 5 {
		t.Errorf("the next entry has number %d, want 5", next.Seq)
	}
	found[0].Done()
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"header":{"bake":"x"}}` + "\n" + `{"made":{"seq":1,"kind":"volume","id":"v"}}` + "\n"))
	f.Add([]byte("{}\n{"))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "f.jsonl")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if j, err := takeOver(path); err == nil {
			j.Entries()
			j.Close()
		}
	})
}

func create(t *testing.T, dir, bake string) *Journal {
	t.Helper()
	j, err := Create(dir, Header{Bake: bake})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func record(t *testing.T, j *Journal, kind Kind, id string) Entry {
	t.Helper()
	e, err := j.Record(Entry{Kind: kind, ID: id})
	if err != nil {
		t.Fatal(err)
	}
	return e
}
