package child

import (
	"sync"
	"syscall"
	"time"
)

// Process is a command under a guard, with its tree.
type Process struct {
	g      *Guard
	exited chan struct{}
	done   chan struct{}
	lapsed chan struct{}

	mu      sync.Mutex
	pid     int
	status  Status
	stopped bool
	killed  bool
	orphan  bool // the guard died before the tree
}

func newProcess(g *Guard) *Process {
	return &Process{g: g, status: Status{Code: -1},
		exited: make(chan struct{}), done: make(chan struct{}), lapsed: make(chan struct{})}
}

// Start runs a command under a guard of its own. Without a lease it is for the
// caller to end it, unless the caller dies.
func Start(c Command) (*Process, error) {
	g, err := NewGuard(GuardOptions{Stdin: c.Stdin, Stdout: c.Stdout, Stderr: c.Stderr})
	if err != nil {
		return nil, err
	}
	p, err := g.Start(c)
	if err != nil {
		g.Close()
		return nil, err
	}
	go func() {
		<-p.done
		g.Close()
	}()
	return p, nil
}

// Pid is the number of the main process and of its process group.
func (p *Process) Pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pid
}

func (p *Process) setPid(pid int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pid = pid
}

// Isolation is what holds the tree together.
func (p *Process) Isolation() Isolation { return p.g.level }

// Exited is closed when the main process has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Done is closed when nothing of the tree is left, the terminal is back and
// everything has been reaped.
func (p *Process) Done() <-chan struct{} { return p.done }

// Lapsed is closed when the guard has begun to end the tree by itself: it has not
// heard of a lease that goes on.
func (p *Process) Lapsed() <-chan struct{} { return p.lapsed }

// Status is that of the main process.
func (p *Process) Status() Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.status
}

// Orphaned tells, once Exited is closed, that the guard died before the tree did,
// which is its end.
func (p *Process) Orphaned() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.orphan
}

// Left lists what has not ended of the tree, for a log line when Done is late.
func (p *Process) Left() []int {
	select {
	case <-p.g.t.exited: // then what came back here
		return p.g.t.Left()
	default:
	}
	var pids []int
	for _, d := range trees.fs.below(p.g.t.pid) {
		pids = append(pids, d.pid)
	}
	return pids
}

// Signal sends a signal to the command's process group. It does nothing once the
// main process is gone.
func (p *Process) Signal(sig syscall.Signal) { p.g.send(saySignal, number(sig)) }

// Stop sends the stop signal to the whole tree, once, and wakes what is stopped or
// frozen.
func (p *Process) Stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.stopped && !p.killed {
		p.stopped = true
		p.g.send(sayStop)
	}
}

// Freeze stops every process of the tree where it stands; Thaw lets go on what
// Freeze has stopped. A frozen tree can be killed.
func (p *Process) Freeze() { p.g.send(sayFreeze) }

// Thaw ends a Freeze.
func (p *Process) Thaw() { p.g.send(sayThaw) }

// Kill begins to kill the whole tree and goes on until Done. A guard that does not
// answer is killed with it.
func (p *Process) Kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.killed {
		return
	}
	p.killed = true
	if p.g.level == isolateInit {
		p.g.t.Kill() // with it all in its namespace
		return
	}
	p.g.cgroup.kill()
	p.g.send(sayKill)
	go func() {
		select {
		case <-p.g.heard:
		case <-p.done:
		case <-time.After(hearing):
			p.g.t.Kill()
			return
		}
		for !p.isDone() { // it may have been stopped since
			if p.g.silent() > answering {
				p.g.t.Kill()
				return
			}
			select {
			case <-p.done:
			case <-time.After(answering / 10):
			}
		}
	}()
}

func (p *Process) isDone() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

func (p *Process) settle() {
	if !p.isDone() {
		keepThreads()
	}
}

func (p *Process) lapse() { closeOnce(p.lapsed) }

// exit notes how the main process ended; the first word counts.
func (p *Process) exit(st Status) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.status.Code < 0 {
		p.status = st
		close(p.exited)
	}
}

// end notes that nothing is left of the tree, and how the main process ended if that
// was not told before.
func (p *Process) end(st Status, orphan bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.isDone() {
		return
	}
	if p.status.Code < 0 {
		p.status, p.orphan = st, orphan
		close(p.exited)
	}
	close(p.done)
}

// closeOnce is for the one goroutine that closes c.
func closeOnce(c chan struct{}) {
	select {
	case <-c:
	default:
		close(c)
	}
}
