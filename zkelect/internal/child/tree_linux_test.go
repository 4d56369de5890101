package child

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// daemon is a shell function: a process that forks twice into a session of its
// own, as daemons do, and prints its number. What it runs is $1.
const daemon = `daemon() { setsid sh -c "sh -c '$1' & echo \$!" & }; `

func TestStopAndGrace(t *testing.T) {
	p, out := sh(t, `trap "" TERM; echo ready; while :; do sleep 0.05; done`)
	expect(t, out, "ready")
	p.Stop()
	p.Stop()
	time.Sleep(150 * time.Millisecond)
	if closed(p.Exited()) {
		t.Fatal("ended by a signal that it ignores:", p.Status())
	}
	p.Kill()
	within(t, "Done", p.Done())
	if p.Status() != (Status{137, syscall.SIGKILL}) {
		t.Error(p.Status())
	}
}

func TestStopSignal(t *testing.T) {
	p := start(t, Command{Path: "/bin/sleep", Args: []string{"sleep", "600"}, StopSignal: syscall.SIGUSR1})
	p.Stop()
	within(t, "Done", p.Done())
	if p.Status().Signal != syscall.SIGUSR1 {
		t.Error(p.Status())
	}
}

func TestStopOnce(t *testing.T) {
	p, out := sh(t, `trap 'echo term' TERM; (trap "" TERM; setsid sh -c 'trap "echo outside" TERM; echo ready; while :; do sleep 0.01; done') & while :; do sleep 0.01; done`)
	expect(t, out, "ready")
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(p.Stop)
	}
	wg.Wait()
	time.Sleep(100 * time.Millisecond)
	p.Kill()
	within(t, "Done", p.Done())
	text := readAll(t, out)
	if strings.Count(text, "term") != 1 || strings.Count(text, "outside") > 1 {
		t.Errorf("%q", text)
	}
}

func TestDaemons(t *testing.T) {
	need(t, "setsid", "util-linux")
	t.Run("stop reaches them", func(t *testing.T) {
		p, out := sh(t, daemon+`daemon "trap \"exit 0\" TERM; echo ready; while :; do sleep 0.01; done"; wait; sleep 600`)
		expect(t, out, "ready")
		p.Stop()
		within(t, "Done", p.Done())
	})
	t.Run("kill reaches them", func(t *testing.T) {
		p, out := sh(t, daemon+`daemon "trap \"\" TERM; echo ready; while :; do sleep 600; done"; wait; sleep 600`)
		expect(t, out, "ready")
		p.Stop()
		within(t, "Exited", p.Exited())
		time.Sleep(100 * time.Millisecond)
		if closed(p.Done()) || len(p.Left()) == 0 {
			t.Fatal("Done with a living daemon; left:", p.Left())
		}
		p.Kill()
		within(t, "Done", p.Done())
	})
	t.Run("left by an exit", func(t *testing.T) {
		p, out := sh(t, daemon+`daemon "echo ready; exec sleep 600"; wait; exit 3`)
		expect(t, out, "ready")
		within(t, "Exited", p.Exited())
		time.Sleep(50 * time.Millisecond)
		if closed(p.Done()) || p.Status().Code != 3 {
			t.Fatal(p.Status())
		}
		p.Stop()
		within(t, "Done", p.Done())
	})
	t.Run("ending by themselves", func(t *testing.T) {
		p, out := sh(t, daemon+`daemon "echo ready; exec sleep 0.3"; wait`)
		expect(t, out, "ready")
		within(t, "Exited", p.Exited())
		if closed(p.Done()) {
			t.Fatal("Done with a living daemon")
		}
		within(t, "Done", p.Done())
	})
}

// Left behind in the group, where the parent-death signal is not theirs.
func TestLeftInGroup(t *testing.T) {
	p, out := sh(t, `sh -c 'trap "" TERM; echo ready; while :; do sleep 600; done' & sleep 600`)
	expect(t, out, "ready")
	p.Stop()
	within(t, "Exited", p.Exited())
	time.Sleep(50 * time.Millisecond)
	if closed(p.Done()) {
		t.Fatal("Done too early")
	}
	p.Kill()
	within(t, "Done", p.Done())
}

func TestStopped(t *testing.T) {
	p, out := sh(t, daemon+`daemon "kill -STOP \$\$; sleep 600"; wait; echo ready; kill -STOP $$; sleep 600`)
	pid := atoi(t, expect(t, out, "\n"))
	expect(t, out, "ready")
	eventually(t, "both are stopped", func() bool { return state(pid) == 'T' && state(p.Pid()) == 'T' })
	p.Stop()
	within(t, "Done", p.Done())
	if p.Status().Signal != syscall.SIGTERM {
		t.Error(p.Status())
	}

	p, _ = sh(t, `kill -STOP $$; sleep 600`)
	eventually(t, "stopped", func() bool { return state(p.Pid()) == 'T' })
	p.Kill()
	within(t, "Done", p.Done())
}

func killing(t *testing.T, p *Process) time.Duration {
	t.Helper()
	began := time.Now()
	p.Kill()
	within(t, "Done", p.Done())
	return time.Since(began)
}

func TestManyDaemons(t *testing.T) {
	for _, n := range []int{1, 10, 1000} {
		// One shell makes them all: setsid forks for each, and the shell goes.
		p, out := sh(t, `i=0; while [ $i -lt `+fmt.Sprint(n)+` ]; do setsid sh -c 'sleep 600 & exec true' ; i=$((i+1)); done; echo ready; sleep 600`)
		expect(t, out, "ready")
		if got := len(trees.fs.scan(p.Pid())) + len(trees.fs.scan(os.Getpid())); got < n {
			t.Fatal("only", got)
		}
		t.Logf("%d daemons: dead after %v", n, killing(t, p))
	}
}

func TestManyInGroup(t *testing.T) {
	p, out := sh(t, `i=0; while [ $i -lt 1000 ]; do sleep 600 & i=$((i+1)); done; echo ready; wait`)
	expect(t, out, "ready")
	t.Logf("1000 in the group: dead after %v", killing(t, p))
}

func TestChain(t *testing.T) {
	dir := t.TempDir()
	link := write(t, dir+"/link", "#!/bin/sh\nif [ $1 -eq 0 ]; then echo ready; else setsid -w \"$0\" $(($1-1)); fi\nsleep 600\n", 0o755)
	p, out := sh(t, `"$1" 150`, link)
	expect(t, out, "ready")
	t.Logf("a chain of 150 sessions: dead after %v", killing(t, p))
}

// A process that starts its successor as soon as it is able to.
func TestRespawner(t *testing.T) {
	dir := t.TempDir()
	again := write(t, dir+"/again", "#!/bin/sh\nsetsid \"$0\" &\nsetsid sleep 0.2 &\nsleep 0.01\n", 0o755)
	p, _ := sh(t, `"$1" & sleep 600`, again)
	time.Sleep(300 * time.Millisecond)
	t.Logf("a respawner: dead after %v", killing(t, p))
}

// What can't be ended, like a process in uninterruptible sleep, keeps Done open,
// and waiting for it costs next to nothing.
func TestUnkillable(t *testing.T) {
	if os.Getuid() != 0 {
		leftOut(t, "attaches to a process as a debugger")
		return
	}
	p, out := sh(t, daemon+`daemon "echo ready; exec sleep 600"; wait; sleep 600`)
	pid := atoi(t, expect(t, out, "\n"))
	tracer := helper(t, "trace", fmt.Sprint(pid))
	tracer.Env = tracer.Env[:len(tracer.Env)-1] // not of this test's processes
	pipe, _ := tracer.StdoutPipe()
	if err := tracer.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { tracer.Process.Kill(); tracer.Wait() }()
	expect(t, bufio.NewReader(pipe), "attached <nil>")
	p.Kill()
	within(t, "Exited", p.Exited())
	time.Sleep(200 * time.Millisecond)
	before := cpuTime(t)
	time.Sleep(time.Second)
	if used := cpuTime(t) - before; used > 200*time.Millisecond {
		t.Errorf("%v of CPU in a second", used)
	}
	if closed(p.Done()) || !slices.Equal(p.Left(), []int{pid}) {
		t.Errorf("Done %v, left %v, want %d", closed(p.Done()), p.Left(), pid)
	}
	tracer.Process.Kill()
	within(t, "Done", p.Done())
}

func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Orphans that end while the command goes on must not pile up as zombies.
func TestZombiesReaped(t *testing.T) {
	p, out := sh(t, `i=0; while [ $i -lt 100 ]; do (setsid sh -c 'sleep 0.05 &' &); i=$((i+1)); done; echo ready; sleep 600`)
	expect(t, out, "ready")
	defer func() {
		if t.Failed() {
			t.Logf("children: %+v", trees.fs.scan(os.Getpid()))
		}
	}()
	eventually(t, "only the guard, the main process and its sleep are left", func() bool { return len(trees.fs.scan(os.Getpid())) == 3 })
	if closed(p.Exited()) {
		t.Fatal(p.Status())
	}
}

func TestLatency(t *testing.T) {
	var toDone, whole time.Duration
	const rounds = 50
	for range rounds {
		began := time.Now()
		p, err := Start(Command{Path: "/bin/true"})
		if err != nil {
			t.Fatal(err)
		}
		<-p.Exited()
		exited := time.Now()
		<-p.Done()
		toDone += time.Since(exited)
		whole += time.Since(began)
	}
	t.Logf("from Exited to Done %v, from Start to Done %v", toDone/rounds, whole/rounds)
}

// With no process left to be had, Go can make no thread, and a tree must still die.
func TestOutOfProcesses(t *testing.T) {
	if os.Getuid() != 0 {
		leftOut(t, "uses up another user's processes")
		return
	}
	need(t, "bash", "bash")
	dir, err := os.MkdirTemp("", "child")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	binary, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	// The limit is on the helper and all below it, and counts threads too.
	inner := helper(t, "run", "bash", "-c", `trap "" TERM; sleep .5; (while :; do setsid sleep 600 & done) 2>/dev/null; read x`)
	copied := write(t, dir+"/helper", string(binary), 0o755)
	cmd := exec.Command("bash", append([]string{"-c", `ulimit -u 100; exec "$0" "$@"`, copied}, inner.Args[1:]...)...)
	cmd.Env, cmd.Dir = inner.Env, dir
	uid := uint32(100000 + os.Getpid())
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	var log strings.Builder
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cmd.Process.Kill() }()
	eventually(t, "40 processes", func() bool { return len(trees.fs.scan(cmd.Process.Pid)) >= 40 })
	time.Sleep(500 * time.Millisecond) // for those that are left
	cmd.Process.Signal(syscall.SIGTERM)
	done := make(chan struct{})
	go func() { cmd.Wait(); close(done) }()
	within(t, "the helper ends", done)
	if !strings.Contains(log.String(), "done signal: killed") || len(tagged(t)) > 0 {
		t.Errorf("%v %s", tagged(t), log.String())
	}
}
