package sandbox

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Builds also run in chroots, whose root is no mount that could be swapped.
func TestStartInsideAChroot(t *testing.T) {
	root := newRoot(t)
	before := digest(t, root)
	jail := t.TempDir()
	inside := filepath.Join(jail, "image")
	self, err := os.Executable()
	must(t, err)
	// All mounts of the jail are in a namespace of its own, and go with it.
	script := `set -e
cd "$1"
for dir in usr lib lib64 bin sbin etc proc sys dev; do
	if [ -e /$dir ]; then mkdir -p $dir; mount --rbind /$dir $dir; fi
done
mkdir -p image self tmp other
mount --bind "$2" image
mount --bind "$(dirname "$3")" self
mount -t tmpfs other other
exec env ` + victimRoot + `=/image ` + victimScript + `="$4" chroot . /self/"$(basename "$3")"`
	guest := `cat /etc/hostname; cut -d' ' -f2 /proc/mounts; ls /proc/1/root/; [ / -ef /proc/1/root ] || echo chroot`
	out, err := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", jail, root, self, guest).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	want := "kitchen / /proc /sys /dev /dev/pts /dev/shm /run /proc/sys/fs/binfmt_misc image proc chroot"
	if got := strings.Join(lines, " "); got != want {
		t.Errorf("a guest saw %q, want %q", got, want)
	}
	if _, err := os.Stat(inside); err != nil {
		t.Error(err)
	}
	unchanged(t, root, before)
}

// On most hosts systemd makes all mounts shared, and what is mounted in one
// namespace shows in others.
func TestMountsDoNotSpreadOnAHostWithSharedMounts(t *testing.T) {
	root := newRoot(t)
	self, err := os.Executable()
	must(t, err)
	script := `set -e
mount --make-rshared /
mount --bind "$1" "$1"
cat /proc/self/mountinfo > "$1/mnt/before"
env ` + victimRoot + `="$1" ` + victimScript + `="$3" "$2" &
until [ -e "$1/mnt/up" ]; do :; done
cat /proc/self/mountinfo > "$1/mnt/during"
ls "$1/proc" "$1/sys" "$1/bin/busybox"
touch "$1/mnt/go"
wait $!
cat /proc/self/mountinfo > "$1/mnt/after"`
	guest := `touch /mnt/up; until [ -e /mnt/go ]; do :; done`
	// A namespace of the test's own, so that nothing is shared with the host.
	out, err := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", root, self, guest).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if want := root + "/bin/busybox\n\n" + root + "/proc:\n\n" + root + "/sys:\n"; string(out) != want {
		t.Errorf("the host saw %q, want %q", out, want)
	}
	before := read(t, root, "mnt/before")
	for _, when := range []string{"during", "after"} {
		if diff := cmp.Diff(before, read(t, root, "mnt", when)); diff != "" {
			t.Errorf("mounts %s (-before +%s):\n%s", when, when, diff)
		}
	}
}

func TestSupervisorByHand(t *testing.T) {
	for _, stdin := range []string{"/dev/null", "/dev/zero"} {
		f, err := os.Open(stdin)
		must(t, err)
		cmd := &exec.Cmd{Path: "/proc/self/exe", Args: []string{supervisorName}, ExtraFiles: []*os.File{f}}
		out, err := cmd.CombinedOutput()
		f.Close()
		if err == nil || !strings.Contains(string(out), "not by hand") {
			t.Errorf("%v: %s", err, out)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	for _, seed := range []string{
		"42 (sh) S 1 42 42 0 -1 4194560", "7 (a) b (c) R 2 3 4 0", "7 (x) Z 2 3 4 0", "", "7 sh S 1 2 3", "7 (sh) S x y z",
		"8 (evil) S 1 1 1 \n) R 5 6 7 0",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, stat []byte) {
		p, alive := parseStat(7, stat)
		if alive && p.pid != 7 {
			t.Errorf("%q is of process %d", stat, p.pid)
		}
		// The name of a process is its own choice; it must not make others
		// of its numbers.
		name := strings.ReplaceAll(string(stat), "\x00", "")
		if got, alive := parseStat(9, []byte("9 ("+name+") S 11 12 13 0 -1")); !alive || got != (process{9, 11, 13}) {
			t.Errorf("the name %q makes it %+v, %v", name, got, alive)
		}
	})
}

func TestFamilyOf(t *testing.T) {
	all := []process{
		{10, 1, 10},  // the leader
		{11, 10, 10}, // its child
		{14, 13, 12}, // listed before its ancestors
		{12, 10, 12}, // a child in a session of its own
		{13, 12, 12}, //
		{15, 1, 10},  // an orphan of the session
		{20, 1, 20},  // somebody else
		{21, 20, 20},
	}
	got := map[int]bool{}
	for _, pid := range familyOf(10, all) {
		got[pid] = true
	}
	for _, pid := range []int{11, 12, 13, 14, 15} {
		if !got[pid] {
			t.Errorf("%d is missing", pid)
		}
		delete(got, pid)
	}
	if len(got) > 0 {
		t.Errorf("%v do not belong", got)
	}
}
