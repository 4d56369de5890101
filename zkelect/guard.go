package zkelect

import (
	"context"
	"errors"
	"fmt"
	"time"

	"zkelect/zkelect/internal/child"
)

// Isolation is what holds a command's processes together.
type Isolation = child.Isolation

// The levels of isolation; see docs/safety.md.
const (
	IsolateAuto   = child.IsolateAuto   // cgroup where this process may, else none
	IsolatePIDNS  = child.IsolatePIDNS  // a PID namespace: pids and /proc change for the command
	IsolateCgroup = child.IsolateCgroup // a control group (version 2)
	IsolateNone   = child.IsolateNone   // a walk over all descendants
)

// theGuard is the guard that stands, or a new one.
func (r *runner) theGuard() (*child.Guard, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stand()
}

// stand is theGuard with the lock held.
func (r *runner) stand() (*child.Guard, error) {
	if r.guard != nil {
		select {
		case <-r.guard.Over():
		default:
			return r.guard, nil
		}
	}
	g, err := child.NewGuard(child.GuardOptions{Isolate: r.cfg.Isolate, Grace: r.cfg.StopTimeout})
	if err != nil {
		return nil, fmt.Errorf("%w %s: %w", ErrStart, r.program, err)
	}
	r.guard = g
	return g, nil
}

// startUnderGuard starts a command of the term, under the guard that was armed for
// it and no other: that one knows the lease, and what to do when we die.
func (r *runner) startUnderGuard(name string, c child.Command) (*child.Process, error) {
	g := r.armedGuard()
	if g == nil {
		return nil, errWorkLost
	}
	begun := make(chan struct{})
	defer close(begun)
	go func() {
		select {
		case <-r.c.kill: // an exec from a dead file server may never end
			g.Kill()
		case <-begun:
		}
	}()
	p, err := g.Start(c)
	switch {
	case errors.Is(err, child.ErrGuard):
		return nil, errWorkLost
	case err != nil:
		return nil, fmt.Errorf("%w %s: %w", ErrStart, name, err)
	}
	return p, nil
}

func (r *runner) armedGuard() *child.Guard {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.armedOne
}

// tryIsolation finds out now, and not with the first term, whether what was asked
// for can be had.
func (r *runner) tryIsolation() error {
	if r.cfg.Isolate != IsolatePIDNS && r.cfg.Isolate != IsolateCgroup {
		return nil
	}
	defer r.released()
	return r.armed(context.Background(), "")
}

// near has the guard started beside all else, and armed where the name is given.
func (r *runner) near(name string) {
	var a *arming
	if name != "" {
		a = &arming{name: name, will: r.c.will(name), done: make(chan struct{})}
	}
	r.mu.Lock()
	r.wanted, r.ahead = true, a
	r.mu.Unlock()
	go func() {
		r.mu.Lock()
		if !r.wanted {
			r.mu.Unlock()
			return
		}
		g, err := r.stand() // armed tells the error
		r.mu.Unlock()
		if a != nil {
			defer close(a.done)
			if err == nil && g.Will(survivorName, a.will, nil) == nil {
				a.guard = g
			}
		}
	}()
}

// arming is a guard that is told its will beside what else is asked of servers.
type arming struct {
	name  string
	will  []byte
	done  chan struct{}
	guard *child.Guard // that has taken it up; nil if none has
}

// aheadOf awaits the arming that near has begun, if it has.
func (r *runner) aheadOf(ctx context.Context, name string) (g *child.Guard) {
	r.mu.Lock()
	a := r.ahead
	r.ahead = nil // the next opening needs an answer of its own
	r.mu.Unlock()
	if a == nil || a.name != name {
		return nil
	}
	select {
	case <-a.done:
		return a.guard
	case <-ctx.Done():
		return nil
	}
}

// far ends the guard: it will be long until it is needed, and a waiter is to be small.
func (r *runner) far() { r.dismiss() }

func (r *runner) armed(ctx context.Context, name string) error {
	for attempt := 1; ; attempt++ {
		g, err := r.theGuard()
		if err != nil {
			return err
		}
		if ahead := r.aheadOf(ctx, name); ahead == g {
			err = nil
		} else if name == "" {
			err = g.Await(ctx.Done())
		} else {
			err = g.Will(survivorName, r.c.will(name), ctx.Done())
		}
		// One that was prepared long ago may have been killed or stopped since.
		if errors.Is(err, child.ErrGuard) && attempt < 3 {
			continue
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			return fmt.Errorf("%w %s: %w", ErrStart, r.program, err)
		}
		r.mu.Lock()
		r.armedOne = g
		r.mu.Unlock()
		return nil
	}
}

func (r *runner) leased(stop, kill, end, own time.Duration) (silent time.Duration) {
	g := r.armedGuard()
	if g == nil {
		return 0
	}
	return g.Lease(stop, kill, end, own)
}

func (r *runner) released() { r.dismiss() }

// dismiss ends the guard.
func (r *runner) dismiss() {
	r.mu.Lock()
	g := r.guard
	if g != nil {
		r.closed = g
	}
	r.guard, r.armedOne, r.wanted, r.ahead = nil, nil, false, nil
	r.mu.Unlock()
	if g != nil {
		g.Close()
	}
}

// alone returns when no guard is left.
func (r *runner) alone() {
	r.mu.Lock()
	g := r.closed
	r.mu.Unlock()
	if g != nil {
		g.Wait()
	}
}
