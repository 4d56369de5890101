package child

import (
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Children that this program started otherwise.
func TestOthersUntouched(t *testing.T) {
	outsider := func(attr *syscall.SysProcAttr, script string) *exec.Cmd {
		cmd := exec.Command("/bin/sh", "-c", script)
		cmd.SysProcAttr = attr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			// Its shell reaps them and ends: they must not come back to us, whom the
			// other tests ask for children.
			for _, d := range trees.fs.below(cmd.Process.Pid) {
				unix.Kill(d.pid, unix.SIGKILL)
			}
			cmd.Wait()
		})
		return cmd
	}
	before := outsider(nil, "sleep 600; exit 9")
	bare, err := syscall.ForkExec("/bin/sleep", []string{"sleep", "600"}, &syscall.ProcAttr{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { syscall.Kill(bare, syscall.SIGKILL); syscall.Wait4(bare, nil, 0, nil) }()

	p, out := sh(t, daemon+`daemon "sleep 600"; wait; echo ready; sleep 600`)
	expect(t, out, "ready")
	after := outsider(nil, "sleep 600 & sleep 600; wait; exit 9")
	own := outsider(&syscall.SysProcAttr{Setsid: true}, "sleep 600; exit 9")
	short := outsider(&syscall.SysProcAttr{Setpgid: true}, "exit 9")
	eventually(t, "a zombie", func() bool { return state(short.Process.Pid) == 'Z' })
	p.Stop()
	time.Sleep(50 * time.Millisecond)
	p.Kill()
	within(t, "Done in spite of other children", p.Done())
	if err := short.Wait(); short.ProcessState.ExitCode() != 9 {
		t.Error("the status of another child is lost:", err)
	}
	for name, pid := range map[string]int{"before": before.Process.Pid, "bare": bare, "after": after.Process.Pid, "own session": own.Process.Pid} {
		if s := state(pid); s == '-' || s == 'Z' {
			t.Errorf("%s: killed (%c)", name, s)
		}
	}
}

// os/exec at work all the time, on every side of Start, Kill and Done.
func TestOthersConcurrently(t *testing.T) {
	stop := make(chan struct{})
	var wg sync.WaitGroup
	defer func() { close(stop); wg.Wait() }()
	for i := range 4 {
		wg.Go(func() {
			for !closed(stop) {
				cmd := exec.Command("/bin/sh", "-c", "exit 9")
				cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: i%2 == 0}
				if _ = cmd.Run(); cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != 9 {
					t.Error(cmd.ProcessState)
				}
			}
		})
	}
	for range 10 {
		p, out := sh(t, daemon+`daemon "trap \"\" TERM; echo ready; sleep 600"; wait; sleep 600`)
		expect(t, out, "ready")
		p.Stop()
		t.Log("dead after", killing(t, p))
		if left := tagged(t); len(left) > 0 {
			t.Fatal("alive after Done:", left)
		}
	}
}

// Neither a child started nor a tree started after the main process had ended may
// hide the end of what it left.
func TestOthersStartedLate(t *testing.T) {
	for _, late := range []func() func(){
		func() func() {
			cmd := exec.Command("/bin/sleep", "600")
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			return func() { cmd.Process.Kill(); cmd.Wait() }
		},
		func() func() {
			p, out := sh(t, `echo ready; while :; do (setsid sleep 0.01 &); sleep 0.01; done`)
			expect(t, out, "ready")
			return p.Kill
		},
	} {
		p, out := sh(t, daemon+`daemon "echo ready; sleep 0.3"; wait`)
		expect(t, out, "ready")
		within(t, "Exited", p.Exited())
		time.Sleep(20 * time.Millisecond)
		end := late()
		if closed(p.Done()) {
			t.Error("Done with a daemon alive")
		}
		within(t, "Done", p.Done())
		end()
	}
}

// Two trees in one process: the end of one is not the end of the other.
func TestTwoTrees(t *testing.T) {
	script := daemon + `daemon "trap \"\" TERM; echo ready; sleep 600" ; trap "exit 0" TERM; while :; do sleep 0.05; done`
	a, outA := sh(t, script)
	b, outB := sh(t, `echo ready; sleep 600`)
	expect(t, outA, "ready")
	expect(t, outB, "ready")
	a.Stop()
	within(t, "Exited", a.Exited())
	time.Sleep(100 * time.Millisecond)
	if closed(a.Done()) {
		t.Fatal("Done with a daemon alive")
	}
	a.Kill()
	within(t, "Done of the first", a.Done())
	if closed(b.Exited()) {
		t.Fatal("the other tree ended too:", b.Status())
	}
	b.Kill()
	within(t, "Done of the second", b.Done())
	eventually(t, "without a tree and a guard it is no subreaper", func() bool {
		var on int32
		return unix.Prctl(unix.PR_GET_CHILD_SUBREAPER, uintptr(unsafe.Pointer(&on)), 0, 0, 0) == nil && on == 0
	})
}

func TestManyTrees(t *testing.T) {
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			p, err := Start(Command{Path: "/bin/sh", Args: []string{"sh", "-c", "setsid sh -c 'sleep 600 &'; sleep 600"},
				Env: append(os.Environ(), tag(t))})
			if err != nil {
				t.Error(err)
				return
			}
			time.Sleep(20 * time.Millisecond)
			p.Kill()
			select {
			case <-p.Done():
			case <-time.After(patience):
				t.Error("not Done; left:", p.Left())
			}
		})
	}
	wg.Wait()
	if left := tagged(t); len(left) > 0 {
		t.Error("alive:", left)
	}
}
