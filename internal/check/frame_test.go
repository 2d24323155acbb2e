package check

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const testNonce = "bakery-00000000000000000000000000000000"

// readAll cuts a stream that arrives in pieces of n bytes.
func readAll(stream string, n int) []frame {
	r := newFrameReader(testNonce)
	for rest := []byte(stream); len(rest) > 0; {
		piece := rest[:min(n, len(rest))]
		rest = rest[len(piece):]
		_, _ = r.Write(piece)
	}
	return r.close()
}

func texts(frames []frame) []string {
	var list []string
	for _, f := range frames {
		list = append(list, strings.Join(append([]string{f.tag}, f.args...), " ")+"|"+string(f.body))
	}
	return list
}

func TestFrames(t *testing.T) {
	stream := "motd\n" + strings.Join([]string{
		"", testNonce + " begin 0", "", testNonce + " passwd read", "root:x:0:0::/root:/bin/sh", "",
		testNonce + " content 3", "\n\x00binary, then something like a mark:", "bakery-1 done", "x" + testNonce + " done",
		testNonce + "done", testNonce + " done", "",
	}, "\n")
	want := []string{
		"begin 0|",
		"passwd read|root:x:0:0::/root:/bin/sh\n",
		"content 3|\n\x00binary, then something like a mark:\nbakery-1 done\nx" + testNonce + " done\n" + testNonce + "done",
		"done|",
	}
	for _, n := range []int{1, 2, 7, 41, 1 << 20} {
		if diff := cmp.Diff(want, texts(readAll(stream, n))); diff != "" {
			t.Errorf("in pieces of %d (-want +got):\n%s", n, diff)
		}
	}
}

func TestFrameBodiesAreBounded(t *testing.T) {
	r := newFrameReader(testNonce)
	piece := bytes.Repeat([]byte("y\n"), 64<<10)
	_, _ = r.Write([]byte("\n" + testNonce + " out 0\n"))
	for range 100 {
		_, _ = r.Write(piece)
		if len(r.pending) > len(r.mark)+headLimit {
			t.Fatalf("%d bytes are pending", len(r.pending))
		}
	}
	_, _ = r.Write([]byte("\n" + testNonce + " ran 0 0\n"))
	frames := r.close()
	if len(frames) != 2 || !frames[0].cut || len(frames[0].body) != outputLimit || frames[1].tag != "ran" {
		t.Errorf("%d frames; the first is cut: %v, with %d bytes", len(frames), frames[0].cut, len(frames[0].body))
	}
}

func TestTranslatedLineEndsAreNoticed(t *testing.T) {
	r := newFrameReader(testNonce)
	_, _ = r.Write([]byte("\r\n" + testNonce + " begin 0\r\n"))
	r.close()
	if !r.crlf {
		t.Error("CRLF was not noticed")
	}
}

func TestCutOffHead(t *testing.T) {
	got := texts(readAll("\n"+testNonce+" out 0\nabc\n"+testNonce+" ra", 5))
	if diff := cmp.Diff([]string{"out 0|abc"}, got); diff != "" {
		t.Errorf("frames (-want +got):\n%s", diff)
	}
}

// FuzzFrames holds that frames do not depend on how the stream is cut, and that
// bytes without the nonce stay within one frame.
func FuzzFrames(f *testing.F) {
	f.Add("\n"+testNonce+" a b\nbody\n"+testNonce+" c\n", 3)
	f.Add("no frame", 1)
	f.Add("\n"+testNonce+" \n\n"+testNonce+" x", 2)
	f.Add(strings.Repeat("\n", 50)+testNonce, 40)
	f.Fuzz(func(t *testing.T, stream string, n int) {
		whole := texts(readAll(stream, max(1, len(stream))))
		if diff := cmp.Diff(whole, texts(readAll(stream, 1+abs(n)%100))); diff != "" {
			t.Errorf("frames depend on the pieces (-whole +pieces):\n%s", diff)
		}
		if !strings.Contains(stream, testNonce) {
			wrapped := readAll("\n"+testNonce+" content 0\n"+stream+"\n"+testNonce+" done\n", 13)
			if len(wrapped) != 2 || string(wrapped[0].body) != stream {
				t.Errorf("content %q became %q", stream, texts(wrapped))
			}
		}
	})
}

func abs(n int) int {
	if n < 0 {
		return -(n + 1)
	}
	return n
}
