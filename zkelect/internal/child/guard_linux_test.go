package child

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// willName is what a guard of these tests becomes at last.
const willName = "child-test-will"

// willHelper writes into the file that the will names, with what it was left.
func willHelper() int {
	data, err := io.ReadAll(os.NewFile(3, "will"))
	if err != nil {
		return 1
	}
	var open []string
	for _, fd := range trees.fs.names("self/fd") {
		to, _ := os.Readlink("/proc/self/fd/" + fd)
		if fd == "0" || fd == "1" || fd == "2" || strings.HasPrefix(to, "pipe:") {
			open = append(open, fd+"="+to)
		}
	}
	dir, _ := os.Getwd()
	text := fmt.Sprintln(len(os.Args), dir, open)
	if os.WriteFile(string(data)+".new", []byte(text), 0o600) != nil || os.Rename(string(data)+".new", string(data)) != nil {
		return 1
	}
	return 0
}

// The lease of these tests: renewed every 50 ms for as long as the owner runs, so on a
// busy machine a renewal may have been due for a while when the owner is stopped.
const (
	ownStop = 600 * time.Millisecond
	ownKill = 900 * time.Millisecond
	ownEnd  = 1200 * time.Millisecond
	grace   = 150 * time.Millisecond
)

// ownHelper owns a guard: ISOLATION WILL CMD…. It prints the pids of the guard and
// of the command, and how the command ended.
func ownHelper(args []string) int {
	os.Unsetenv(helperVar)
	var level Isolation
	for i, name := range isolations {
		if name == args[0] {
			level = i
		}
	}
	g, err := NewGuard(GuardOptions{Isolate: level, Grace: grace})
	if err == nil {
		err = g.Await(nil)
	}
	if err != nil {
		fmt.Println("failed", err)
		return 1
	}
	if err := g.Will(willName, []byte(args[1]), nil); err != nil {
		fmt.Println("failed", err)
		return 1
	}
	lease := func() {
		now := bootTime()
		g.Lease(now+ownStop, now+ownKill, now+ownEnd, now+ownEnd)
	}
	lease()
	p, err := g.Start(Command{Path: args[2], Args: args[2:]})
	if err != nil {
		fmt.Println("failed", err)
		return 1
	}
	fmt.Println("guard", g.Pid(), "main", p.Pid())
	killed := false
	for {
		select {
		case <-p.Done():
			fmt.Println("done", p.Status(), "orphaned", p.Orphaned(), "lapsed", closed(p.Lapsed()))
			g.Close()
			return 0
		case <-p.Lapsed():
			if !killed {
				killed = true
				time.AfterFunc(ownKill-ownStop, p.Kill)
			}
			time.Sleep(time.Millisecond)
		case <-time.After(50 * time.Millisecond):
			lease()
		}
	}
}

// owned is a command under a guard of another process.
type owned struct {
	t           *testing.T
	owner       *exec.Cmd
	out         *bufio.Reader
	guard, main int
	pids        []int // all of its processes, as they announced themselves
	will        string
}

// own starts a script that prints "pid N" for each of its processes and then
// "ready".
func own(t *testing.T, level Isolation, script string) *owned {
	t.Helper()
	dir := t.TempDir()
	o := &owned{t: t, will: filepath.Join(dir, "will")}
	o.owner = helper(t, "own", level.String(), o.will, "/bin/sh", "-c", script)
	pipe, err := o.owner.StdoutPipe()
	if err == nil {
		err = o.owner.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, pid := range append(o.pids, o.guard, o.main, o.owner.Process.Pid) {
			if pid > 0 {
				_ = unix.Kill(pid, unix.SIGKILL)
			}
		}
		_ = o.owner.Wait()
	})
	o.out = bufio.NewReader(pipe)
	// Two programs write there, so the two lines come in any order.
	for said, ready := "", false; said == "" || !ready; {
		line := expect(t, o.out, "")
		ready = ready || line == "ready"
		if strings.HasPrefix(line, "guard") {
			said = line
			if _, err := fmt.Sscanf(line, "guard %d main %d", &o.guard, &o.main); err != nil {
				t.Fatal(line)
			}
		} else if line != "ready" {
			t.Fatalf("%q", line)
		}
	}
	for _, d := range trees.fs.scan(o.guard) {
		o.pids = append(o.pids, d.pid)
	}
	return o
}

// dead waits until all of the tree are, and tells how long that took.
func (o *owned) dead(since time.Time) time.Duration {
	o.t.Helper()
	eventually(o.t, "the tree is dead", func() bool {
		for _, pid := range o.pids {
			if s := state(pid); s != '-' && s != 'Z' {
				return false
			}
		}
		return true
	})
	return time.Since(since)
}

// executed waits for the will, which must have no descriptor of the tree's.
func (o *owned) executed() {
	o.t.Helper()
	eventually(o.t, "the will is executed", func() bool { _, err := os.Stat(o.will); return err == nil })
	text, _ := os.ReadFile(o.will)
	if got, want := string(text), "1 / [0=/dev/null 1=/dev/null 2=/dev/null]\n"; got != want {
		o.t.Errorf("the will was executed with %q, want %q", got, want)
	}
}

func (o *owned) notExecuted() {
	o.t.Helper()
	time.Sleep(50 * time.Millisecond)
	if _, err := os.Stat(o.will); err == nil {
		o.t.Error("the will was executed")
	}
}

// deaf is a tree that ignores TERM, part of it in sessions of its own.
const deaf = `trap "" TERM; setsid sh -c "sh -c 'sleep 601' & sleep 602" & sleep 603 & sleep 0.1; echo ready; sleep 604`

func levels(t *testing.T, f func(*testing.T, Isolation)) {
	for _, level := range []Isolation{IsolateNone, IsolateCgroup, IsolatePIDNS} {
		t.Run(level.String(), func(t *testing.T) {
			t.Parallel()
			if level != IsolateNone && os.Getuid() != 0 {
				leftOut(t, "makes a control group or a namespace")
				return
			}
			f(t, level)
		})
	}
}

// The owner dies: stop signal, grace, KILL, then the will.
func TestOwnerKilled(t *testing.T) {
	levels(t, func(t *testing.T, level Isolation) {
		o := own(t, level, deaf)
		began := time.Now()
		o.owner.Process.Kill()
		if took := o.dead(began); took < grace {
			t.Errorf("dead after %v, before the grace was over", took)
		} else if took > ownEnd+patience/10 {
			t.Errorf("dead after %v only", took)
		} else {
			t.Logf("dead after %v, %v of them grace", took, grace)
		}
		o.executed()
	})
}

// One that obeys costs no grace.
func TestOwnerKilledTreeObeys(t *testing.T) {
	levels(t, func(t *testing.T, level Isolation) {
		o := own(t, level, `echo ready; sleep 601`)
		began := time.Now()
		o.owner.Process.Kill()
		t.Logf("dead after %v", o.dead(began))
		o.executed()
	})
}

// The owner stands still: stop signal and KILL as the lease has them. When it goes
// on it learns of it.
func TestOwnerStopped(t *testing.T) {
	levels(t, func(t *testing.T, level Isolation) {
		o := own(t, level, deaf)
		began := time.Now()
		o.owner.Process.Signal(syscall.SIGSTOP)
		took := o.dead(began)
		if took < ownStop {
			t.Errorf("dead after %v, before the lease was over", took)
		}
		t.Logf("dead after %v of a lease of %v", took, ownEnd)
		o.owner.Process.Signal(syscall.SIGCONT)
		expect(t, o.out, "done signal: killed orphaned false lapsed true")
		o.notExecuted()
	})
}

// An owner that never goes on is killed by the kernel, and the guard executes the
// will: else a session that lives on would hold the queue.
func TestOwnerStoppedForGood(t *testing.T) {
	o := own(t, IsolateNone, deaf)
	o.owner.Process.Signal(syscall.SIGSTOP)
	eventually(t, "the owner is killed", func() bool { return state(o.owner.Process.Pid) == 'Z' })
	o.dead(time.Now())
	o.executed()
}

func TestGuardKilled(t *testing.T) {
	levels(t, func(t *testing.T, level Isolation) {
		o := own(t, level, deaf)
		began := time.Now()
		_ = unix.Kill(o.guard, unix.SIGKILL)
		t.Logf("dead after %v", o.dead(began))
		expect(t, o.out, "done signal: killed orphaned true lapsed false")
		o.notExecuted()
	})
}

func TestGuardStopped(t *testing.T) {
	levels(t, func(t *testing.T, level Isolation) {
		o := own(t, level, deaf)
		began := time.Now()
		_ = unix.Kill(o.guard, unix.SIGSTOP)
		took := o.dead(began)
		t.Logf("dead after %v of a lease of %v", took, ownEnd)
		if took < ownStop {
			t.Errorf("dead after %v, while the lease went on", took)
		}
		expect(t, o.out, "done signal: killed orphaned true")
	})
}

// Both stand still: the kernel kills them, and the main process with the guard. Of
// daemons only a namespace knows then.
func TestBothStopped(t *testing.T) {
	levels(t, func(t *testing.T, level Isolation) {
		script := deaf
		if level != IsolatePIDNS {
			script = `trap "" TERM; echo ready; while :; do sleep 0.1; done`
		}
		o := own(t, level, script)
		if level != IsolatePIDNS {
			o.pids = []int{o.main}
		}
		began := time.Now()
		o.owner.Process.Signal(syscall.SIGSTOP)
		_ = unix.Kill(o.guard, unix.SIGSTOP)
		t.Logf("dead after %v of a lease of %v", o.dead(began), ownEnd)
	})
}

// A stopped guard does not keep its owner from killing.
func TestKillWithStoppedGuard(t *testing.T) {
	levels(t, func(t *testing.T, level Isolation) {
		g, p := guarded(t, level, "trap '' TERM; sleep 601 & sleep 602")
		_ = unix.Kill(g.Pid(), unix.SIGSTOP)
		eventually(t, "the guard stands still", func() bool { return state(g.Pid()) == 'T' })
		began := time.Now()
		p.Kill()
		within(t, "Done", p.Done())
		t.Logf("dead after %v", time.Since(began))
		within(t, "Over", g.Over())
	})
}

func guarded(t *testing.T, level Isolation, script string) (*Guard, *Process) {
	t.Helper()
	g, err := NewGuard(GuardOptions{Isolate: level, Grace: grace})
	if err == nil {
		err = g.Await(nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	p, err := g.Start(Command{Path: "/bin/sh", Args: []string{"sh", "-c", script}, Env: append(os.Environ(), tag(t))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Kill()
		within(t, "Done", p.Done())
		g.Close()
		within(t, "Over", g.Over())
	})
	return g, p
}

// One guard runs several commands, one after another; nothing of it is left.
func TestGuardRunsSeveral(t *testing.T) {
	levels(t, func(t *testing.T, level Isolation) {
		g, p := guarded(t, level, "exit 3")
		for range 3 {
			within(t, "Done", p.Done())
			if p.Status().Code != 3 {
				t.Error(p.Status())
			}
			var err error
			if p, err = g.Start(Command{Path: "/bin/sh", Args: []string{"sh", "-c", "exit 3"}}); err != nil {
				t.Fatal(err)
			}
		}
		within(t, "Done", p.Done())
		if _, err := g.Start(Command{Path: "/nowhere/to/be/found"}); err == nil || !strings.Contains(err.Error(), "not found") {
			t.Error(err)
		}
	})
}

// What arrives at a guard is from its own program; all the same it must not fall
// over it.
func FuzzMessage(f *testing.F) {
	f.Add(message{sayStart, []string{"/bin/sh", "", "15", "", "2", "sh", "-c", "A=b"}}.encode())
	f.Add([]byte{0, 0, 0, 1, 's'})
	f.Add([]byte{0, 0, 0, 3, 's', 255, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := readMessage(strings.NewReader(string(b)))
		if err != nil {
			return
		}
		again, err := readMessage(strings.NewReader(string(m.encode())))
		if err != nil || fmt.Sprint(again) != fmt.Sprint(m) {
			t.Errorf("%v, then %v %v", m, again, err)
		}
	})
}

// A guard that is stopped before anything was started does not hang its owner.
func TestIdleGuardStopped(t *testing.T) {
	t.Parallel()
	stopped := func() *Guard {
		g, err := NewGuard(GuardOptions{})
		if err == nil {
			err = g.Await(nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		_ = unix.Kill(g.Pid(), unix.SIGSTOP)
		return g
	}
	g := stopped()
	began := time.Now()
	if err := g.Will(willName, []byte("x"), nil); !errors.Is(err, ErrGuard) {
		t.Error(err)
	}
	if took := time.Since(began); took < answering || took > answering+patience/10 {
		t.Errorf("given up after %v", took)
	}
	within(t, "Over", g.Over())

	g = stopped()
	now := bootTime()
	g.Lease(now+time.Hour, now+time.Hour, now+time.Hour, now+time.Hour)
	if _, err := g.Start(Command{Path: "/bin/true"}); !errors.Is(err, ErrGuard) {
		t.Error(err)
	}
	within(t, "Over", g.Over())
}

// A guard that is not needed is gone at once, even while it stands still, and its
// control group with it.
func TestGuardClosed(t *testing.T) {
	t.Parallel()
	for _, stopped := range []bool{false, true} {
		g, err := NewGuard(GuardOptions{})
		if err == nil {
			err = g.Will(willName, []byte("x"), nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		if stopped {
			_ = unix.Kill(g.Pid(), unix.SIGSTOP)
		}
		began := time.Now()
		g.Close()
		g.Wait()
		if g.cgroup != nil {
			if _, err := os.Stat(g.cgroup.dir); !errors.Is(err, os.ErrNotExist) {
				t.Error(g.cgroup.dir, "is left:", err)
			}
		}
		within(t, "Over", g.Over())
		if took := time.Since(began); took > answering {
			t.Errorf("gone after %v", took)
		}
	}
}
