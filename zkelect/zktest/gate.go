package zktest

import (
	"sync"
	"sync/atomic"
	"time"
)

// mode is what a gate does with what comes to it.
type mode int

const (
	open     mode = iota
	held          // nothing passes, all waits
	dropping      // nothing passes, all is lost
)

// A gate stands in one direction of all connections of a proxy.
type gate struct {
	delay  atomic.Int64 // ns
	passed atomic.Int64 // bytes

	mu      sync.Mutex
	mode    mode
	changed chan struct{} // closed and replaced whenever the mode changes
}

func newGate() *gate { return &gate{changed: make(chan struct{})} }

func (g *gate) set(m mode) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mode = m
	close(g.changed)
	g.changed = make(chan struct{})
}

// due returns when something that came just now may go on.
func (g *gate) due() time.Time { return time.Now().Add(time.Duration(g.delay.Load())) }

// await returns true once the condition holds for the gate's mode, false when
// the link was closed before.
func (g *gate) await(l *link, condition func(mode) bool) bool {
	for {
		g.mu.Lock()
		m, changed := g.mode, g.changed
		g.mu.Unlock()
		if condition(m) {
			return true
		}
		select {
		case <-changed:
		case <-l.closed:
			return false
		}
	}
}

func notHeld(m mode) bool { return m != held }
func isOpen(m mode) bool  { return m == open }

// admit tells whether something may go on now. A link that has lost bytes is
// marked, and nothing passes on it any more: not even after [Proxy.Heal], which
// resets the marked ones, in the instant before it comes to this one. The mark
// is set under the gate's lock, so that Heal misses none.
func (g *gate) admit(l *link) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mode == dropping {
		l.lossy.Store(true)
	}
	return !l.lossy.Load()
}
