package child

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// The usual place is the one that the table of mounts tells of, and a group that this
// process is not in is not its own, whatever it is named.
func TestOwnCgroupIsWhereItIsMounted(t *testing.T) {
	dir, err := ownCgroup()
	if err != nil {
		t.Fatal(err)
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	_, path, _ := strings.Cut("\n"+string(own), "\n0::")
	path, _, _ = strings.Cut(path, "\n")
	mounted, err := mountedCgroup(path)
	if err != nil || mounted != dir || !isOwnCgroup(dir) {
		t.Errorf("%s; by the mounts %s, %v", dir, mounted, err)
	}
	if os.Getuid() != 0 {
		leftOut(t, "makes a control group")
		return
	}
	other, err := os.MkdirTemp(dir, cgroupPrefix+"test-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(other)
	for _, dir := range []string{other, t.TempDir(), dir + "/none"} {
		if isOwnCgroup(dir) {
			t.Errorf("%s is taken for the own one", dir)
		}
	}
}

// What another zkelect holds stays, though it is empty and its owner is nobody that
// this process could see: it may be in another PID namespace.
func TestSweepLeavesWhatIsHeld(t *testing.T) {
	own := t.TempDir() // locks are the same in any file system
	dir := own + "/" + cgroupPrefix + "1.x"
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	g, err := openCgroup(dir)
	if err != nil {
		t.Fatal(err)
	}
	sweepCgroups(own)
	if _, err := os.Stat(dir); err != nil {
		t.Fatalf("swept while it was held: %v", err)
	}
	unix.Close(g.fd) // its owner was killed
	sweepCgroups(own)
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Fatalf("not swept: %v", err)
	}
}
