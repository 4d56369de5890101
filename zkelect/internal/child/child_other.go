//go:build unix && !linux

package child

import (
	"errors"
	"io"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// BestEffort says that this system has no means to find daemons of the child:
// only its process group is ended.
const BestEffort = true

// Process is a command that was started, with its process group.
type Process struct {
	pid          int
	stop         syscall.Signal
	exited, done chan struct{}
	killed       chan struct{}
	giveBack     func()

	mu       sync.Mutex
	reaped   bool
	status   Status
	stopping bool
	killing  bool
}

// Start runs the command; on a terminal as its foreground job.
func Start(c Command) (*Process, error) {
	c, err := c.prepared()
	if err != nil {
		return nil, err
	}
	defer runtime.KeepAlive(c)
	p := &Process{
		stop: c.StopSignal, status: Status{Code: -1}, giveBack: func() {},
		exited: make(chan struct{}), done: make(chan struct{}), killed: make(chan struct{}),
	}
	sys := &syscall.SysProcAttr{Setpgid: true}
	if c.NoInput {
		null, err := os.Open(os.DevNull)
		if err != nil {
			return nil, err
		}
		defer null.Close()
		c.Stdin = null
	}
	files := GuardOptions{Stdin: c.Stdin, Stdout: c.Stdout, Stderr: c.Stderr}.files()
	tty := int(files[0])
	if fg, err := unix.IoctlGetInt(tty, unix.TIOCGPGRP); err == nil && fg == unix.Getpgrp() {
		sys.Foreground, sys.Ctty = true, tty
		p.giveBack = loan(tty)
	}
	p.pid, err = syscall.ForkExec(c.Path, c.Args, &syscall.ProcAttr{Dir: c.Dir, Env: c.Env, Files: files, Sys: sys})
	if err != nil {
		p.giveBack()
		return nil, execError(c.Path, err)
	}
	go p.wait()
	return p, nil
}

// loan saves a terminal's state and returns what restores it and takes the
// foreground back.
func loan(tty int) func() {
	saved, _ := term.GetState(tty)
	return func() {
		signal.Ignore(syscall.SIGTTOU) // no signal mask of a single thread here
		_ = unix.IoctlSetPointerInt(tty, unix.TIOCSPGRP, unix.Getpgrp())
		if saved != nil {
			_ = term.Restore(tty, saved)
		}
	}
}

// Pid is the number of the main process and of its process group.
func (p *Process) Pid() int { return p.pid }

// Exited is closed when the main process has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Done is closed when nothing of the process group is left.
func (p *Process) Done() <-chan struct{} { return p.done }

// Status is that of the main process.
func (p *Process) Status() Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.status
}

// Left names the process group if anything of it is alive.
func (p *Process) Left() []int {
	if p.groupGone() {
		return nil
	}
	return []int{p.pid}
}

// Signal sends a signal to the child's process group. It does nothing once the
// main process is gone.
func (p *Process) Signal(sig syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.reaped {
		_ = unix.Kill(-p.pid, sig)
	}
}

// Stop sends the stop signal to the process group, once, and wakes what is stopped.
func (p *Process) Stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopping || p.killing {
		return
	}
	p.stopping = true
	_ = unix.Kill(-p.pid, p.stop)
	_ = unix.Kill(-p.pid, unix.SIGCONT)
}

// Kill kills the process group and goes on until Done.
func (p *Process) Kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.killing {
		p.killing = true
		_ = unix.Kill(-p.pid, unix.SIGKILL)
		close(p.killed)
	}
}

func (p *Process) groupGone() bool { return unix.Kill(-p.pid, 0) == unix.ESRCH }

func (p *Process) wait() {
	var ws syscall.WaitStatus
	for {
		_, err := syscall.Wait4(p.pid, &ws, 0, nil)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	p.mu.Lock()
	p.reaped = true
	p.status = statusOf(ws)
	p.mu.Unlock()
	close(p.exited)
	killed := p.killed
	for pause := time.Millisecond; !p.groupGone(); pause = min(2*pause, 50*time.Millisecond) {
		select {
		case <-killed:
			killed = nil
		case <-time.After(pause):
		}
		if killed == nil {
			_ = unix.Kill(-p.pid, unix.SIGKILL)
		}
	}
	p.giveBack()
	close(p.done)
}

// Unstopped returns f itself: on this system a log line after "stty tostop" stops
// a leader whose child has the terminal.
func Unstopped(f *os.File) io.Writer { return f }
