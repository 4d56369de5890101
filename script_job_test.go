package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// job is a process that a script started.
type job struct {
	cmd      *exec.Cmd
	out, err string // file names
	done     chan struct{}
}

// scriptForks carries work to the one thread that starts all jobs. Each job
// dies with this process, and the parent-death signal is bound to the thread
// that forked, which must not be one that Go ends at will.
var scriptForks = sync.OnceValue(func() chan<- func() {
	c := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range c {
			f()
		}
	}()
	return c
})

// start starts a job with the script's environment and folder.
func (w *world) start(ts *testscript.TestScript, name string, args []string) *job {
	stdin := ""
	if len(args) > 2 && args[0] == "-in" {
		stdin, args = ts.MkAbs(args[1]), args[2:]
	}
	if len(args) == 0 {
		ts.Fatalf("no command")
	}
	cmd := &exec.Cmd{
		Path: cmp.Or(lookIn(ts.Getenv("PATH"), args[0]), args[0]), Args: args,
		Env: w.environ(ts), Dir: ts.MkAbs("."),
	}
	if stdin != "" {
		f, err := os.Open(stdin)
		ts.Check(err)
		defer f.Close()
		cmd.Stdin = f
	}
	j, err := startJob(filepath.Join(w.dir, name), cmd)
	ts.Check(err)
	w.jobs[name] = j
	return j
}

// startJob starts a command that writes into the files named.
func startJob(files string, cmd *exec.Cmd) (*job, error) {
	j := &job{cmd: cmd, done: make(chan struct{}), out: files + ".out", err: files + ".err"}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig, cmd.SysProcAttr.Setpgid = syscall.SIGKILL, true
	stdout, err := os.Create(j.out)
	if err != nil {
		return nil, err
	}
	defer stdout.Close()
	stderr, err := os.Create(j.err)
	if err != nil {
		return nil, err
	}
	defer stderr.Close()
	cmd.Stdout, cmd.Stderr = stdout, stderr
	started := make(chan error)
	scriptForks() <- func() { started <- cmd.Start() }
	if err := <-started; err != nil {
		return nil, err
	}
	go func() {
		_ = cmd.Wait() // how it ended is in its state
		close(j.done)
	}()
	return j, nil
}

// environ is the script's environment: only a command that it runs can tell.
func (w *world) environ(ts *testscript.TestScript) []string {
	file := filepath.Join(w.dir, ".environ")
	ts.Check(ts.Exec("sh", "-c", "env -0 >"+file))
	return strings.Split(strings.TrimRight(ts.ReadFile(file), "\x00"), "\x00")
}

func lookIn(path, name string) string {
	if strings.Contains(name, "/") {
		return ""
	}
	for _, dir := range filepath.SplitList(path) {
		file := filepath.Join(dir, name)
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return file
		}
	}
	return ""
}

// end waits for a job's end, which must be the one that is wanted: a code or
// the name of a signal.
func (w *world) end(ts *testscript.TestScript, j *job, want string) {
	select {
	case <-j.done:
	case <-time.After(bound):
		ts.Fatalf("still alive after %v", bound)
	}
	stdout, err := os.ReadFile(j.out)
	ts.Check(err)
	stderr, err := os.ReadFile(j.err)
	ts.Check(err)
	_, _ = ts.Stdout().Write(stdout)
	_, _ = ts.Stderr().Write(stderr)
	if bad := unheardOf(stderr); bad != "" {
		ts.Fatalf("%q on standard error", bad)
	}
	status := j.cmd.ProcessState.Sys().(syscall.WaitStatus)
	got := strconv.Itoa(status.ExitStatus())
	if status.Signaled() {
		got = childSignalName(status.Signal())
	}
	if got != want {
		ts.Fatalf("exit %s, want %s", got, want)
	}
}

// files is what the jobs have written, for a script that fails.
func (w *world) files() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(w.jobs)) {
		for _, file := range []string{w.jobs[name].out, w.jobs[name].err} {
			if data, _ := os.ReadFile(file); len(data) > 0 {
				fmt.Fprintf(&b, "[%s]\n%s", filepath.Base(file), data)
			}
		}
	}
	return b.String()
}

// close ends what the script left running, and looks for what no zkelect may
// ever write.
func (w *world) close() {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGTERM, syscall.SIGKILL} {
		for _, j := range w.jobs {
			_ = j.signal(sig)
			_ = j.signal(syscall.SIGCONT)
		}
		patience := time.After(time.Second)
		for _, j := range w.jobs {
			select {
			case <-j.done:
			case <-patience:
				patience = time.After(0)
			}
		}
	}
	for name, j := range w.jobs {
		stderr, _ := os.ReadFile(j.err)
		if bad := unheardOf(stderr); bad != "" {
			w.tb.Errorf("%s wrote %q:\n%s", name, bad, stderr)
		}
	}
	if w.tb.Failed() {
		w.tb.Logf("what the jobs wrote:\n%s", w.files())
	}
	if w.client != nil {
		w.client.Close()
	}
	if w.proxy != nil {
		w.proxy.Close()
	}
}

// unheardOf is what no zkelect may ever write, if that is there.
func unheardOf(stderr []byte) string {
	for _, bad := range []string{"DATA RACE", "panic:", "goroutine ", "runtime error"} {
		if bytes.Contains(stderr, []byte(bad)) {
			return bad
		}
	}
	return ""
}

func (j *job) signal(sig syscall.Signal) error {
	select {
	case <-j.done:
		return errors.New("it has ended")
	default:
		return j.cmd.Process.Signal(sig)
	}
}

func scriptJob(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: job NAME [-in FILE] CMD...")
	}
	name := args[0]
	w := worldOf(ts)
	if old := w.jobs[name]; old != nil {
		select {
		case <-old.done:
		default:
			ts.Fatalf("job %s still runs", name)
		}
	}
	w.start(ts, name, args[1:])
}

func (w *world) job(ts *testscript.TestScript, name string) *job {
	j := w.jobs[name]
	if j == nil {
		ts.Fatalf("no job %s", name)
	}
	return j
}

func scriptSignal(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: signal SIG NAME|NAME.guard|@FILE")
	}
	sig, ok := childSignalNames[args[0]]
	if !ok {
		ts.Fatalf("unknown signal %s", args[0])
	}
	if file, ok := strings.CutPrefix(args[1], "@"); ok {
		pid, err := strconv.Atoi(strings.TrimSpace(ts.ReadFile(file)))
		ts.Check(err)
		ts.Check(syscall.Kill(pid, sig))
		return
	}
	name, guard := strings.CutSuffix(args[1], ".guard")
	j := worldOf(ts).job(ts, name)
	if !guard {
		ts.Check(j.signal(sig))
		return
	}
	for deadline := time.Now().Add(bound); ; time.Sleep(10 * time.Millisecond) {
		for _, pid := range scriptDescendants(j.cmd.Process.Pid) {
			if args, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); strings.HasPrefix(string(args), "zkelect-guard\x00") {
				ts.Check(syscall.Kill(pid, sig))
				return
			}
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s has no guard", name)
		}
	}
}

func scriptEnds(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: ends NAME CODE")
	}
	w := worldOf(ts)
	w.end(ts, w.job(ts, args[0]), args[1])
}

func scriptExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE CMD...")
	}
	w := worldOf(ts)
	w.runs++
	name := fmt.Sprintf("run%d", w.runs)
	w.end(ts, w.start(ts, name, args[1:]), args[0])
	delete(w.jobs, name) // its output is in the script's log
}
