package secrets

import "bytes"

// The expressions of the rules take seconds for a megabyte, and each rule has
// words without which it cannot match. So only the lines around such words are
// searched, piece by piece, and in each piece only for what its own words mean.

var (
	newline    = []byte("\n")
	keyBegins  = []byte("-----begin")
	keyEnd     = []byte("-----end")
	kubernetes = []byte("kind:")
)

const (
	// before and after are how far a line is followed. Longer ones are program
	// text or data, and are cut.
	before, after = 256, 2048
	// manifest is how far apart the kind of a secret of Kubernetes and its data
	// may stand, on either side.
	manifest = 512
	// keyLimit bounds a private key, which has many lines.
	keyLimit = 32 << 10
)

// window is a piece of a text.
type window struct{ start, end int }

// windows are the pieces of a text that a rule can match, in order and without
// overlap.
func (s *Scanner) windows(content []byte) []window {
	lower := lowered(content)
	var list []window
	known := -1 // the end of the line of the latest hit
	s.words.Walk(lower, func(last, length, _ int64) bool {
		at := int(last-length) + 1
		begins := bytes.HasPrefix(lower[at:], keyBegins)
		if int(last) < known && !begins {
			return true
		}
		var w window
		w, known = around(lower, at, int(last)+1)
		if begins {
			w.end = max(w.end, endOfKey(lower, at))
		}
		if n := len(list); n > 0 && w.start < list[n-1].end {
			list[n-1].end = max(list[n-1].end, w.end)
			return true
		}
		list = append(list, w)
		return true
	})
	return list
}

// around is the line of a word and the next one, and where the first of them ends
// as far as it is followed.
func around(text []byte, start, end int) (window, int) {
	w := window{start: lineStart(text, start)}
	line := lineEnd(text, end)
	w.end = line
	if line < len(text) && text[line] == '\n' {
		w.end = lineEnd(text, line+1)
	}
	if bytes.Contains(text[w.start:line], kubernetes) {
		w.start = lineStart(text, max(0, w.start-manifest))
		w.end = lineEnd(text, min(len(text), w.end+manifest))
	}
	return w, line
}

// lineStart is where the line of a place begins, as far as it is followed.
func lineStart(text []byte, at int) int {
	low := max(0, at-before)
	return low + bytes.LastIndexByte(text[low:at], '\n') + 1
}

// lineEnd is where the line of a place ends, as far as it is followed.
func lineEnd(text []byte, at int) int {
	high := min(len(text), at+after)
	if i := bytes.IndexByte(text[at:high], '\n'); i >= 0 {
		return at + i
	}
	return high
}

// endOfKey is where a private key ends that begins at a place.
func endOfKey(text []byte, at int) int {
	rest := text[at+len(keyBegins) : min(len(text), at+keyLimit)]
	from := bytes.Index(rest, keyEnd)
	if from < 0 {
		return at
	}
	return lineEnd(text, at+len(keyBegins)+from)
}

// lowered is a text with ASCII letters in lower case: others would change its
// length.
func lowered(text []byte) []byte {
	lower := make([]byte, len(text))
	for i, c := range text {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		lower[i] = c
	}
	return lower
}
