package child

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// treeStates is the letter of each process of a tree, but for what has ended.
func treeStates(p *Process) (letters string, pids []int) {
	trees.mu.Lock()
	defer trees.mu.Unlock()
	for _, m := range trees.look(p, true).members {
		if m.state != 'Z' {
			letters += string(m.state)
			pids = append(pids, m.pid)
		}
	}
	return letters, pids
}

func stands(p *Process) bool {
	letters, _ := treeStates(p)
	return strings.Trim(letters, "TD") == "" // D: in vfork, whose child stands
}

// beating tells whether a file that a tree writes to still grows.
func beating(t *testing.T, file string) bool {
	t.Helper()
	size := func() int64 {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	before := size()
	time.Sleep(150 * time.Millisecond)
	return size() > before
}

// busy forks all the time, in its group and in a daemon outside of it.
func busy(t *testing.T) (*Process, string) {
	t.Helper()
	need(t, "setsid", "util-linux")
	file := filepath.Join(t.TempDir(), "beats")
	p, out := sh(t, daemon+`daemon "while :; do echo b >>`+file+`; sleep 0.005; done"; echo ready; while :; do /bin/true; done`)
	expect(t, out, "ready")
	eventually(t, "the daemon", func() bool { info, err := os.Stat(file); return err == nil && info.Size() > 0 })
	return p, file
}

func TestFreeze(t *testing.T) {
	p, file := busy(t)
	for range 3 {
		p.Freeze()
		p.Freeze()
		eventually(t, "all stand still", func() bool { return stands(p) })
		if beating(t, file) {
			t.Error("runs while frozen")
		}
		p.Thaw()
		p.Thaw()
		eventually(t, "it goes on", func() bool { return !stands(p) && beating(t, file) })
	}
	p.Thaw() // of what is not frozen
	for range 20 {
		p.Freeze()
		p.Thaw()
	}
	eventually(t, "it goes on", func() bool { return beating(t, file) })
}

// A stop wakes what is frozen, a kill ends it as it is.
func TestFreezeAndStop(t *testing.T) {
	p, out := sh(t, `trap "echo term; exit 3" TERM; echo ready; while :; do sleep 0.01; done`)
	expect(t, out, "ready")
	p.Freeze()
	eventually(t, "all stand still", func() bool { return stands(p) })
	p.Stop()
	p.Thaw()
	within(t, "Done", p.Done())
	if p.Status().Code != 3 {
		t.Error(p.Status())
	}
}

func TestFreezeAndKill(t *testing.T) {
	for _, stand := range []bool{true, false} {
		p, file := busy(t)
		p.Freeze()
		if stand {
			eventually(t, "all stand still", func() bool { return stands(p) })
		}
		p.Kill()
		within(t, "Done", p.Done())
		if beating(t, file) {
			t.Error("runs while dead")
		}
		p.Thaw()
		p.Freeze()
	}
	eventually(t, "nothing is kept of them", func() bool {
		frosts.Lock()
		defer frosts.Unlock()
		return len(frosts.of) == 0
	})
}

// What others have stopped before is not woken.
func TestFreezeLeavesStopped(t *testing.T) {
	p, out := sh(t, `sleep 600 & echo $!; sleep 600 & echo $!; wait`)
	asleep, awake := atoi(t, expect(t, out, "")), atoi(t, expect(t, out, ""))
	if err := syscall.Kill(asleep, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is stopped", func() bool { return state(asleep) == 'T' })
	p.Freeze()
	eventually(t, "all stand still", func() bool { return stands(p) })
	p.Thaw()
	eventually(t, "it goes on", func() bool { return state(awake) == 'S' && state(p.Pid()) == 'S' })
	if state(asleep) != 'T' {
		t.Errorf("woken: %c", state(asleep))
	}
}
