package sandbox

import (
	"bytes"
	"encoding/binary"
	"encoding/gob"
	"fmt"
	"io"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	// maxFrame bounds what a damaged length can make the receiver allocate. The
	// longest honest frame is a command line, which the kernel limits to 6 MiB.
	maxFrame = 64 << 20
	// maxFiles is the most files that travel with one frame.
	maxFiles = 8
)

// request is what the supervisor is asked for; one field is set.
type request struct {
	Setup     *setup
	Run       *launch
	Kill      uint64 // the ID of a command, to be killed with all it started
	Interrupt bool   // kill every guest process
}

// reply is what the supervisor answers; one field is set.
type reply struct {
	Ready   *ready // the answer to a setup, with a file: the root as guests see it
	Log     string
	Started *started
	Ended   *ended
}

// setup is the first request: it says how to furnish the sandbox.
type setup struct {
	Root    string // absolute, without links
	Mounts  []Mount
	Devices []string
}

// ready tells that guests may come, or why not.
type ready struct {
	Error string // empty when all is well
	Made  []made // what had to be made in the image to mount on
}

// launch asks for a command; its files are stdin, stdout and stderr.
type launch struct {
	ID   uint64
	Argv []string
	Env  []string
	Dir  string
}

// started tells that a command runs, or why not.
type started struct {
	ID    uint64
	Error string
}

// ended tells how a command ended.
type ended struct {
	ID     uint64
	Status int // exit status, or 128 and the number of the signal
}

// wire carries frames between a sandbox and its supervisor: a length, a
// gob-encoded value of that length, and open files along with the length. Gob
// keeps text as the bytes that it is, also where it is not UTF-8.
type wire struct {
	conn    *net.UnixConn
	sending sync.Mutex
}

func newWire(f *os.File) (*wire, error) {
	defer f.Close()
	conn, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	stream, ok := conn.(*net.UnixConn)
	if !ok {
		_ = conn.Close()
		return nil, fmt.Errorf("%s is a %s connection, not a unix socket", f.Name(), conn.LocalAddr().Network())
	}
	return &wire{conn: stream}, nil
}

// send passes value and copies of files on.
func (w *wire) send(value any, files ...*os.File) error {
	var body bytes.Buffer
	if err := gob.NewEncoder(&body).Encode(value); err != nil {
		return err
	}
	var header [4]byte
	binary.BigEndian.PutUint32(header[:], uint32(body.Len()))
	var rights []byte
	if len(files) > 0 {
		fds := make([]int, len(files))
		for i, f := range files {
			fds[i] = int(f.Fd())
		}
		rights = unix.UnixRights(fds...)
	}
	w.sending.Lock()
	defer w.sending.Unlock()
	if _, _, err := w.conn.WriteMsgUnix(header[:], rights, nil); err != nil {
		return err
	}
	_, err := w.conn.Write(body.Bytes())
	return err
}

// receive waits for a frame, decodes it into value and returns the files that
// came along. The error is io.EOF when the other side has gone.
func (w *wire) receive(value any) ([]*os.File, error) {
	var header [4]byte
	oob := make([]byte, unix.CmsgSpace(4*maxFiles))
	n, oobn, _, _, err := w.conn.ReadMsgUnix(header[:], oob)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, io.EOF
	}
	files, err := receivedFiles(oob[:oobn])
	if err != nil {
		return nil, err
	}
	if err := w.receiveBody(header[:], n, value); err != nil {
		closeAll(files)
		return nil, err
	}
	return files, nil
}

func (w *wire) receiveBody(header []byte, have int, value any) error {
	if _, err := io.ReadFull(w.conn, header[have:]); err != nil {
		return err
	}
	size := binary.BigEndian.Uint32(header)
	if size > maxFrame {
		return fmt.Errorf("a frame of %d bytes is longer than any that is sent", size)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(w.conn, body); err != nil {
		return err
	}
	return gob.NewDecoder(bytes.NewReader(body)).Decode(value)
}

func receivedFiles(oob []byte) ([]*os.File, error) {
	if len(oob) == 0 {
		return nil, nil
	}
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	var files []*os.File
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			closeAll(files)
			return nil, err
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "received file"))
		}
	}
	return files, nil
}

func (w *wire) Close() error { return w.conn.Close() }

// closeAll closes files that nothing was written to by this process.
func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}
