package main

import (
	"bytes"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// told is a writer that says when it was written to.
type told struct {
	mu    sync.Mutex
	text  strings.Builder
	wrote chan struct{}
}

func (w *told) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, err := w.text.Write(p)
	select {
	case w.wrote <- struct{}{}:
	default:
	}
	return n, err
}

func TestShowSaysThatSomethingIsUnderWay(t *testing.T) {
	out := &told{wrote: make(chan struct{}, 1)}
	done := show(out, "Importing disk.raw", time.Millisecond)
	select {
	case <-out.wrote:
	case <-time.After(time.Minute):
		t.Fatal("nothing was said")
	}
	done()
	done()
	said := out.text.String()
	if want := regexp.MustCompile(`^(\rImporting disk\.raw\.\.\. \d+m?s)+\r\x1b\[K$`); !want.MatchString(said) {
		t.Errorf("said %q, want what is under way, and a cleared line at the end", said)
	}
}

func TestShowOfSomethingQuickSaysNothing(t *testing.T) {
	out := &told{wrote: make(chan struct{}, 1)}
	show(out, "Importing disk.raw", time.Hour)()
	if said := out.text.String(); said != "" {
		t.Errorf("said %q", said)
	}
}

func TestWorkingTellsTerminalsOnly(t *testing.T) {
	var out bytes.Buffer
	cmd := &cobra.Command{}
	cmd.SetErr(&out)
	working(cmd, "Importing disk.raw")()
	if isTerminal(&out) || out.Len() > 0 {
		t.Errorf("a buffer is told %q", out.String())
	}
}
