package check

import (
	"bytes"
	"strings"
	"sync"
	"time"
)

// The script prints frames: a line that starts with the nonce of the run, which
// nobody in the image can guess, followed by the frame's tag and arguments; and
// then bytes, as they are, up to the line break before the next such line.
//
//	\n<nonce> <tag> <argument>...\n<bytes>

// frame is one piece of what the script printed.
type frame struct {
	tag  string
	args []string
	body []byte
	cut  bool      // the body was longer than its limit; body is its beginning
	at   time.Time // when its first line arrived
}

// arg returns the i-th argument, and "" when there is none.
func (f frame) arg(i int) string {
	if i < len(f.args) {
		return f.args[i]
	}
	return ""
}

const (
	// contentLimit is how much of one file is matched.
	contentLimit = 16 << 20
	// outputLimit is how much of a command's stdout or stderr is kept.
	outputLimit = 1 << 20
	// stateLimit is how much any other source of state may print.
	stateLimit = 64 << 20
	// headLimit bounds the line that opens a frame.
	headLimit = 1024
	// chatterLimit bounds what is kept of bytes outside of frames.
	chatterLimit = 4096
)

func bodyLimit(tag string) int {
	switch tag {
	case "content":
		return contentLimit + 1
	case "out", "err":
		return outputLimit
	}
	return stateLimit
}

// frameReader cuts a stream into frames as it arrives. It never holds more than
// the limits of the frames' bodies.
type frameReader struct {
	mu      sync.Mutex
	mark    []byte // "\n<nonce> "
	frames  []frame
	pending []byte // not yet known to be free of a mark
	chatter []byte
	crlf    bool // line ends were translated on the way
	onCRLF  func()
	now     func() time.Time
}

func newFrameReader(nonce string) *frameReader {
	return &frameReader{mark: []byte("\n" + nonce + " "), now: time.Now}
}

// Write takes more of the stream.
func (r *frameReader) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pending = append(r.pending, p...)
	for {
		i := bytes.Index(r.pending, r.mark)
		if i < 0 {
			// All but a possible beginning of a mark belongs to the current body.
			if keep := len(r.mark) - 1; len(r.pending) > keep {
				cut := len(r.pending) - keep
				r.body(r.pending[:cut])
				r.pending = append(r.pending[:0], r.pending[cut:]...)
			}
			return len(p), nil
		}
		head := r.pending[i+len(r.mark):]
		end := bytes.IndexByte(head[:min(len(head), headLimit)], '\n')
		next := end + 1
		if end < 0 {
			if len(head) < headLimit {
				return len(p), nil
			}
			end, next = headLimit, headLimit
		}
		r.body(r.pending[:i])
		r.open(head[:end])
		r.pending = append(r.pending[:0], head[next:]...)
	}
}

func (r *frameReader) open(head []byte) {
	text := string(head)
	if strings.HasSuffix(text, "\r") {
		r.crlf = true
		if r.onCRLF != nil {
			r.onCRLF()
		}
	}
	fields := strings.Fields(text)
	f := frame{at: r.now()}
	if len(fields) > 0 {
		f.tag, f.args = fields[0], fields[1:]
	}
	r.frames = append(r.frames, f)
}

func (r *frameReader) body(p []byte) {
	if len(r.frames) == 0 {
		r.chatter = append(r.chatter, p[:min(len(p), chatterLimit-len(r.chatter))]...)
		return
	}
	f := &r.frames[len(r.frames)-1]
	room := bodyLimit(f.tag) - len(f.body)
	if room < len(p) {
		f.cut = true
		p = p[:room]
	}
	f.body = append(f.body, p...)
}

// latest returns the frame that was opened last, without its body.
func (r *frameReader) latest() frame {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.frames) == 0 {
		return frame{}
	}
	f := r.frames[len(r.frames)-1]
	f.body = nil
	return f
}

// close ends the stream and returns its frames.
func (r *frameReader) close() []frame {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i := bytes.Index(r.pending, r.mark); i >= 0 {
		// The stream ended inside the line that opens a frame.
		r.pending = r.pending[:i]
	}
	r.body(r.pending)
	r.pending = nil
	return r.frames
}
