package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// patience is how long something may take before people want to be told that it
// is under way.
const patience = time.Second

// working shows on a terminal that something is under way, and for how long,
// until done is called. What is not a terminal is told nothing.
func working(cmd *cobra.Command, what string) (done func()) {
	out := cmd.ErrOrStderr()
	if !isTerminal(out) {
		return func() {}
	}
	return show(out, what, patience)
}

// show writes what is under way each time that every has passed, in one line,
// and clears that line when done is called.
func show(out io.Writer, what string, every time.Duration) (done func()) {
	ended := make(chan struct{})
	var shown sync.WaitGroup
	shown.Go(func() {
		begin, tick := time.Now(), time.NewTicker(every)
		defer tick.Stop()
		for said := false; ; said = true {
			select {
			case <-tick.C:
				_, _ = fmt.Fprintf(out, "\r%s... %s", what, time.Since(begin).Round(time.Second))
			case <-ended:
				if said {
					_, _ = fmt.Fprint(out, "\r\x1b[K")
				}
				return
			}
		}
	})
	return sync.OnceFunc(func() { close(ended); shown.Wait() })
}

// isTerminal reports whether people read what is written to w.
func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}
