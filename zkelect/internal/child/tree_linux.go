package child

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// tree is a process that was started here, with all that came from it.
type tree struct {
	pid    int    // of the main process, and its process group
	start  uint64 // with pid, its ident
	stop   syscall.Signal
	term   *terminal // nil where there is none to lend
	cgroup *cgroup   // nil where there is none

	exited chan struct{}
	done   chan struct{}
	wake   chan struct{} // holds one: Stop or Kill was called

	bare bool // nothing was left when the main process had been reaped; set before exited is closed

	mu       sync.Mutex
	reaped   bool // the number pid is not ours any more
	status   Status
	left     []int
	killing  bool
	stopping bool

	doomed map[ident]bool // what was alive at the last look, while killing; owned by tend

	groupStopped bool // the stop went to the whole group, which was still ours
	stopSent     bool // and to the rest of the tree as well

	frozen   bool
	halted   map[ident]bool // what Freeze has stopped one by one
	restless int            // looks that are due yet: it may not have been all
}

// sapling says how a tree is started.
type sapling struct {
	Command
	files   []uintptr // the descriptors 0, 1, 2 and so on, as they are here
	term    *terminal // to be lent; nil for none
	dieToo  bool      // KILL for the main process when the thread that started it ends
	cgroup  *cgroup   // to be born in; nil for none
	isolate uintptr   // further clone flags
}

// plant starts a tree. When the terminal is its standard input, and not in a
// pipeline, it becomes the terminal's foreground job; in a pipeline only once it
// reads from the terminal or sets it. The error is the system's own.
func plant(s sapling) (*tree, error) {
	p := &tree{
		stop: s.StopSignal, term: s.term, cgroup: s.cgroup, status: Status{Code: -1},
		exited: make(chan struct{}), done: make(chan struct{}), wake: make(chan struct{}, 1),
	}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGCHLD) // before anything can come back to us
	trees.expect()
	main, err := p.bear(s)
	if err != nil {
		signal.Stop(ended)
		trees.welcome(nil)
		return nil, err
	}
	p.start = main.start
	trees.welcome(p)
	go p.wait()
	go p.tend(ended)
	if p.term != nil {
		go p.watchVfork()
	}
	return p, nil
}

// bear starts the main process, which nobody reaps before wait does.
//
// From Linux 6.14 on, and in stable versions that took the change, what is born into
// a control group is killed before its exec where the parent's own group was ever
// killed (cgroup.kill): the kernel compares how often that happened to each of the
// two (cgroup_css_set_fork, cgroup_post_fork). systemd kills a unit's group so, and
// may use it again for a restart. A kill of the new group, which is empty, evens it
// out.
func (p *tree) bear(s sapling) (main proc, err error) {
	for range 1 + maxKills {
		if p.term.wanted(s.files) {
			p.pid, err = p.term.forkInto(s)
		} else {
			p.pid, err = fork(s, -1)
		}
		if err != nil {
			return proc{}, err
		}
		main, _ = trees.fs.stat(p.pid)
		if s.cgroup == nil || !main.unborn {
			return main, nil
		}
		_, _ = unix.Wait4(p.pid, nil, 0, nil)
		s.cgroup.kill()
	}
	return proc{}, fmt.Errorf("control group %s: whatever is started in it is killed", s.cgroup.dir)
}

// maxKills is how often the own control group may have been killed before.
const maxKills = 100

// Pid is the number of the main process and of its process group.
func (p *tree) Pid() int { return p.pid }

// Exited is closed when the main process has ended.
func (p *tree) Exited() <-chan struct{} { return p.exited }

// Done is closed when nothing of the tree is left, the terminal is back and
// everything has been reaped.
func (p *tree) Done() <-chan struct{} { return p.done }

// Status is that of the main process.
func (p *tree) Status() Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.status
}

// Left lists what was alive of the tree when it was last walked for a stop or
// after the main process had ended: for a log line when Done is late.
func (p *tree) Left() []int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.left
}

// Signal sends a signal to the child's process group. It does nothing once the
// main process is gone.
func (p *tree) Signal(sig syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.reaped {
		_ = unix.Kill(-p.pid, sig)
	}
}

// Stop sends the stop signal to the whole tree, once, and wakes what is stopped.
// The process group has it when Stop returns, the rest a moment later.
func (p *tree) Stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopping || p.killing {
		return
	}
	p.stopping = true
	if !p.reaped {
		p.groupStopped = true
		_ = unix.Kill(-p.pid, p.stop)
		_ = unix.Kill(-p.pid, unix.SIGCONT)
	}
	p.thaw() // after the signal, which is the first thing that the frozen see
	p.poke()
}

// Kill begins to kill the whole tree and goes on until Done. The process group
// has the signal when Kill returns, the rest a moment later.
func (p *tree) Kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.killing {
		return
	}
	p.killing = true
	p.cgroup.kill()
	if !p.reaped {
		_ = unix.Kill(-p.pid, unix.SIGKILL)
		_ = unix.Kill(p.pid, unix.SIGKILL) // should it have moved to another group
	}
	p.poke()
}

// end kills the main process alone.
func (p *tree) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.reaped {
		_ = unix.Kill(p.pid, unix.SIGKILL)
	}
}

func (p *tree) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *tree) isReaped() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reaped
}

func (p *tree) isKilling() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.killing
}

func (p *tree) isHalting() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.restless > 0
}

// wait waits for the main process, stops included, and reaps it.
func (p *tree) wait() {
	for {
		// Looking first and reaping under the lock afterwards keeps Signal from
		// hitting a stranger that got the number in between.
		err := unix.Waitid(unix.P_PID, p.pid, nil, unix.WEXITED|unix.WSTOPPED|unix.WNOWAIT, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		p.mu.Lock()
		var ws syscall.WaitStatus
		pid, err := syscall.Wait4(p.pid, &ws, syscall.WNOHANG|syscall.WUNTRACED, nil)
		ended := pid == p.pid && (ws.Exited() || ws.Signaled())
		lost := errors.Is(err, unix.ECHILD) // someone called Wait4(-1): the status is gone
		if ended || lost {
			p.reaped = true
			p.status = statusOf(ws)
			if lost {
				p.status = Status{Code: 255}
			}
		}
		p.mu.Unlock()
		switch {
		case ended || lost:
			_, err := waitable()
			if p.bare = errors.Is(err, unix.ECHILD); p.bare {
				p.clear() // the plain case: there is nothing to look for
			}
			close(p.exited)
			if p.bare {
				close(p.done)
			}
			return
		case pid == p.pid && ws.Stopped():
			p.stopped(ws.StopSignal())
		}
	}
}
