package zktest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	mainClass = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
	install   = "apt-get install -y --no-install-recommends libzookeeper-java libslf4j-java default-jre-headless"
)

// jars is the class path; zookeeper.jar's manifest names the rest, but for what
// the Netty factory, and with it TLS, needs beyond.
var jars = []string{
	"/usr/share/java/zookeeper.jar", "/usr/share/java/slf4j-simple.jar",
	"/usr/share/java/netty-codec.jar", "/usr/share/java/netty-resolver.jar",
}

// findJava returns the path of java once everything a server needs is there,
// else an error that names the command which installs it.
func findJava() (string, error) {
	java, err := exec.LookPath("java")
	if err != nil {
		return "", fmt.Errorf("zktest: no java: %w; run: %s", err, install)
	}
	for _, jar := range jars {
		if _, err := os.Stat(jar); err != nil {
			return "", fmt.Errorf("zktest: no ZooKeeper: %w; run: %s", err, install)
		}
	}
	return java, nil
}

// forks carries work to the one thread that starts all children.
//
// A parent-death signal is bound to the *thread* that forked, not to the
// process: Go ends idle threads when it likes, and each server started from
// such a one would be killed in the middle of a test. This thread is locked to
// its goroutine, which never returns, so it dies with the process and not
// before.
var forks = sync.OnceValue(func() chan<- func() {
	c := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range c {
			f()
		}
	}()
	return c
})

// StartHere starts a command whose parent-death signal is to come when this process dies.
func StartHere(cmd *exec.Cmd) error {
	started := make(chan error)
	forks() <- func() { started <- cmd.Start() }
	return <-started
}

// A process is a child that is killed by the kernel when this process dies.
type process struct {
	pid    int
	exited chan struct{} // closed once it has been reaped
}

// spawn starts argv by start, here where that is nil, with its output appended
// to logFile and its input from stdin, where that is not nil.
func spawn(start func(*exec.Cmd) error, stdin *os.File, logFile, name string, args ...string) (*process, error) {
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	defer log.Close()

	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = log, log
	if stdin != nil { // a nil *os.File is no nil Reader
		cmd.Stdin = stdin
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Pdeathsig: syscall.SIGKILL,
		Setpgid:   true, // Ctrl-C is for the test, whose death is then the server's
	}
	if start == nil {
		start = StartHere
	}
	if err := start(cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &process{pid: cmd.Process.Pid, exited: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // how it ended is in its log; most often we killed it
		close(p.exited)
	}()
	return p, nil
}

// alive tells whether the process has not been reaped.
func (p *process) alive() bool {
	if p == nil {
		return false
	}
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// kill sends SIGKILL, which ends a stopped process too, and waits for the end.
func (p *process) kill() error {
	if !p.alive() {
		return nil
	}
	if err := unix.Kill(p.pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("kill %d: %w", p.pid, err)
	}
	select {
	case <-p.exited:
		return nil
	case <-time.After(10 * time.Second):
		return fmt.Errorf("process %d still alive 10 s after SIGKILL", p.pid)
	}
}

// stop sends SIGSTOP and waits until the last thread stands: kill(2) returns
// before that, and a server that answers once more would spoil the test.
func (p *process) stop() error {
	if !p.alive() {
		return errors.New("not running")
	}
	if err := unix.Kill(p.pid, unix.SIGSTOP); err != nil {
		return fmt.Errorf("stop %d: %w", p.pid, err)
	}
	for deadline := time.Now().Add(5 * time.Second); !p.stands(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("process %d still runs 5 s after SIGSTOP", p.pid)
		}
	}
	return nil
}

// cont sends SIGCONT.
func (p *process) cont() error {
	if !p.alive() {
		return errors.New("not running")
	}
	if err := unix.Kill(p.pid, unix.SIGCONT); err != nil {
		return fmt.Errorf("continue %d: %w", p.pid, err)
	}
	return nil
}

// stands tells whether every thread of the process is stopped.
func (p *process) stands() bool {
	stats, _ := filepath.Glob("/proc/" + strconv.Itoa(p.pid) + "/task/*/stat")
	for _, f := range stats {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // the thread ended meanwhile
		}
		// The state follows the command's name, which may itself hold brackets.
		if i := bytes.LastIndexByte(b, ')'); i < 0 || i+2 >= len(b) || b[i+2] != 'T' {
			return false
		}
	}
	return len(stats) > 0
}
