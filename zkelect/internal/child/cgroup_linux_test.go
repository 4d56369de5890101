package child

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

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
