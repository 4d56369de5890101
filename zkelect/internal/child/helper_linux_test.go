package child

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"zkelect/zkelect/zktest"
)

// The test binary started again with this variable set is one of the helpers.
const helperVar = "CHILD_TEST_HELPER"

// tag marks every process of one test of this run, so that survivors are found
// without the code under test.
func tag(t *testing.T) string { return fmt.Sprintf("CHILD_TEST_TAG=%s@%d", t.Name(), os.Getpid()) }

func TestMain(m *testing.M) {
	if os.Args[0] == willName {
		os.Exit(willHelper())
	}
	switch role := os.Getenv(helperVar); role {
	case "":
		// What the tests start is to take HUP as usual, even where we run under
		// nohup: a signal that is caught is reset by exec.
		signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
		os.Exit(m.Run())
	case "run":
		os.Exit(runHelper(os.Args[1:]))
	case "own":
		os.Exit(ownHelper(os.Args[1:]))
	case "many":
		os.Exit(manyHelper())
	case "look":
		_, err := Look(os.Args[1])
		fmt.Print(err)
	case "trace":
		os.Exit(traceHelper(os.Args[1]))
	default:
		fmt.Fprintln(os.Stderr, "no helper", role)
		os.Exit(99)
	}
}

// leftOut notes a test that needs root and does not have it: make test ends by
// naming those.
func leftOut(t *testing.T, why string) {
	t.Helper()
	zktest.LeftOut(t, t.Name(), why+": that needs root")
}

// runHelper is what the command line tool makes of this package, in small: grace
// 300 ms, and one line for each thing that happens.
func runHelper(args []string) int {
	os.Unsetenv(helperVar)
	log := Unstopped(os.Stderr)
	path, err := Look(args[0])
	if err != nil {
		fmt.Fprintln(log, err)
		return 127
	}
	forward, end := make(chan os.Signal, 8), make(chan os.Signal, 8)
	signal.Notify(forward, Forwarded()...)
	signal.Notify(end, Unignored(syscall.SIGTERM, syscall.SIGINT)...)
	p, err := Start(Command{Path: path, Args: args, Stdin: os.Stdin})
	if err != nil {
		fmt.Fprintln(log, err)
		return 126
	}
	fmt.Fprintf(log, "started=%d\n", p.Pid())
	var grace <-chan time.Time
	exited := p.Exited()
	for {
		select {
		case s := <-forward:
			p.Signal(s.(syscall.Signal))
		case <-end:
			fmt.Fprintln(log, "stopping")
			p.Stop()
			grace = time.After(300 * time.Millisecond)
		case <-exited:
			exited = nil
			p.Stop()
			grace = time.After(300 * time.Millisecond)
		case <-grace:
			p.Kill()
		case <-p.Done():
			fmt.Fprintln(log, "done", p.Status())
			return p.Status().Code
		}
	}
}

// traceHelper attaches to a process as a debugger does, and never waits for it:
// once dead, the process stays a zombie that its parent can't reap.
func traceHelper(pid string) int {
	runtime.LockOSThread()
	n, _ := strconv.Atoi(pid)
	fmt.Println("attached", unix.PtraceSeize(n))
	time.Sleep(time.Minute)
	return 0
}

// helper prepares this binary as a helper; nothing is started yet.
func helper(t *testing.T, role string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), helperVar+"="+role, "GORACE=atexit_sleep_ms=0", tag(t))
	return cmd
}

// need finds a tool, or fails saying what to install.
func need(t *testing.T, tool, apt string) string {
	t.Helper()
	path, err := exec.LookPath(tool)
	if err != nil {
		t.Fatalf("%s is missing: apt-get install %s", tool, apt)
	}
	return path
}

// start starts a command of this test and sees to it that its tree is gone at the end.
func start(t *testing.T, c Command) *Process {
	t.Helper()
	c.Env = append(slices.Clone(os.Environ()), append(c.Env, tag(t))...)
	p, err := Start(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Kill()
		within(t, "Done", p.Done())
		if left := tagged(t); len(left) > 0 {
			t.Errorf("Done is closed and these are alive: %v", left)
		}
	})
	return p
}

// sh starts a script and returns what it prints.
func sh(t *testing.T, script string, args ...string) (*Process, *bufio.Reader) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	p := start(t, Command{Path: "/bin/sh", Args: append([]string{"sh", "-c", script, "sh"}, args...), Stdout: w})
	w.Close()
	return p, bufio.NewReader(r)
}

// expect reads lines until one contains the text.
func expect(t *testing.T, r *bufio.Reader, text string) string {
	t.Helper()
	line := make(chan string, 1)
	go func() {
		for {
			s, err := r.ReadString('\n')
			if strings.Contains(s, text) || err != nil {
				line <- s
				return
			}
		}
	}()
	select {
	case s := <-line:
		if !strings.Contains(s, text) {
			t.Fatalf("the output ended without %q", text)
		}
		return strings.TrimSpace(s)
	case <-time.After(patience):
		t.Fatalf("no %q in the output", text)
	}
	return ""
}

// patience is for a machine on which other tests run too.
const patience = 30 * time.Second

func within(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Fatalf("not within %v: %s; alive: %v", patience, what, tagged(t))
	}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// eventually waits for a condition that nothing announces.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("never: %s; alive: %v", what, tagged(t))
}

// tagged lists the living processes of this test, this one excepted.
func tagged(t *testing.T) []string {
	t.Helper()
	var out []string
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		env, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
		if bytes.Contains(append(env, 0), []byte(tag(t)+"\x00")) {
			cmd, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
			if len(out) == 20 {
				return append(out, "and more")
			}
			out = append(out, fmt.Sprintf("%d(%c) %q", pid, state(pid), cmd))
		}
	}
	return out
}

// state is a process's letter in /proc/PID/stat, or '-' when it is gone.
func state(pid int) byte {
	p, ok := trees.fs.stat(pid)
	if !ok {
		return '-'
	}
	return p.state
}

func atoi(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(strings.TrimSpace(s))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func readAll(t *testing.T, r io.Reader) string {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
