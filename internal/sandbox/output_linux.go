package sandbox

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// output copies what a command writes to one stream.
type output struct {
	from *os.File
	to   io.Writer
	done chan struct{} // closed when nothing more will be written
	err  error         // of the writer; read after done

	mu    sync.Mutex
	last  time.Time // of the newest output
	isCut bool
}

func newOutput(from *os.File, to io.Writer) *output {
	return &output{from: from, to: to, done: make(chan struct{}), last: time.Now()}
}

// copy hands over until the stream ends, or until settle or cut say so. What
// comes later is read and dropped, so that a daemon that writes to the stream
// of the command that left it neither blocks nor dies of it.
func (o *output) copy() {
	o.handOver()
	close(o.done)
	_ = o.from.SetReadDeadline(time.Time{})
	_, _ = io.Copy(io.Discard, o.from)
	o.from.Close()
}

func (o *output) handOver() {
	buf := make([]byte, 32<<10)
	for {
		n, err := o.from.Read(buf)
		if n > 0 && !o.write(buf[:n]) {
			return
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			o.drain(buf)
			return
		}
		if err != nil {
			return
		}
	}
}

// write hands over one piece and reports whether to go on.
func (o *output) write(p []byte) bool {
	o.mu.Lock()
	cut := o.isCut
	o.last = time.Now()
	o.mu.Unlock()
	if cut {
		return false
	}
	if o.err == nil {
		// A writer that fails is told no more, but the command may go on.
		if _, err := o.to.Write(p); err != nil {
			o.err = fmt.Errorf("write the output of a command: %w", err)
		}
	}
	return true
}

// drain hands over what lies in the pipe: all that the ended command wrote is
// there, however slow the writer is. It reads no more than a pipe can hold, for
// a daemon may be filling it.
func (o *output) drain(buf []byte) {
	const mostInPipe = 1 << 20 // fs.pipe-max-size
	if o.from.SetReadDeadline(time.Time{}) != nil {
		return
	}
	conn, err := o.from.SyscallConn()
	if err != nil {
		return
	}
	for got := 0; got < mostInPipe; {
		var n int
		var readErr error
		err := conn.Read(func(fd uintptr) bool {
			n, readErr = unix.Read(int(fd), buf)
			return true // do not wait for more
		})
		if err != nil || readErr != nil || n == 0 || !o.write(buf[:n]) {
			return
		}
		got += n
	}
}

// settle gives what still holds the stream a moment, now that the command has
// ended: the last lines of `exec > >(tee log)` come then. The stream is taken
// to be at its end when it has been silent for a while, or after some time.
func (o *output) settle() {
	const (
		silence = 150 * time.Millisecond
		limit   = 2 * time.Second
	)
	begin := time.Now()
	for {
		select {
		case <-o.done:
			return
		case <-time.After(silence / 3):
		}
		o.mu.Lock()
		quiet := time.Since(o.last) >= silence
		o.mu.Unlock()
		age := time.Since(begin)
		if quiet && age >= silence || age >= limit {
			_ = o.from.SetReadDeadline(time.Now())
			return
		}
	}
}

// cut ends the stream at once.
func (o *output) cut() {
	o.mu.Lock()
	o.isCut = true
	o.mu.Unlock()
	_ = o.from.SetReadDeadline(time.Now())
}
