//go:build unix && !linux

package child

import (
	"errors"
	"syscall"
	"time"
)

// Guard stands for no process: without the kernel's means of Linux a command is
// started directly, and outlives this process if that is killed.
type Guard struct {
	o GuardOptions
	p *Process
}

// ErrGuard is not seen on this system.
var ErrGuard = errors.New("the guard process died")

// NewGuard refuses what this system has not.
func NewGuard(o GuardOptions) (*Guard, error) {
	if o.Isolate == IsolatePIDNS || o.Isolate == IsolateCgroup {
		return nil, errors.New("isolation by " + o.Isolate.String() + " needs Linux; use another --isolate")
	}
	return &Guard{o: o}, nil
}

// Start runs the command.
func (g *Guard) Start(c Command) (*Process, error) {
	p, err := Start(c)
	g.p = p
	return p, err
}

// Await returns at once.
func (g *Guard) Await(<-chan struct{}) error { return nil }

// Over is never closed.
func (g *Guard) Over() <-chan struct{} { return nil }

// Will is not executed on this system: the servers end the session.
func (g *Guard) Will(string, []byte, <-chan struct{}) error { return nil }

// Lease is for a guard that is a process.
func (g *Guard) Lease(_, _, _, _ time.Duration) time.Duration { return 0 }

// Kill ends the command.
func (g *Guard) Kill() {
	if g.p != nil {
		g.p.Kill()
	}
}

// Close does nothing.
func (g *Guard) Close() {}

// Wait does nothing.
func (g *Guard) Wait() {}

// Isolation is none: there is but the process group.
func (p *Process) Isolation() Isolation { return IsolateNone }

// Lapsed is never closed.
func (p *Process) Lapsed() <-chan struct{} { return nil }

// Orphaned is false.
func (p *Process) Orphaned() bool { return false }

// Freeze stops the process group.
func (p *Process) Freeze() { p.Signal(syscall.SIGSTOP) }

// Thaw lets it go on.
func (p *Process) Thaw() { p.Signal(syscall.SIGCONT) }

// SetName does nothing.
func SetName(string) {}
