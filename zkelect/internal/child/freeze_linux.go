package child

import (
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// frosts holds the freeze of each tree that stands still, or is still being
// woken.
var frosts = struct {
	sync.Mutex
	of map[*Process]*frost
}{of: map[*Process]*frost{}}

// frost is one freeze of a tree.
type frost struct {
	after <-chan struct{} // the one before is over
	thaw  chan struct{}
	over  chan struct{}
	held  map[ident]bool // what was stopped by us; what stood still before is not to be woken
}

// Freeze begins to stop the whole tree (SIGSTOP), until Thaw, and returns at
// once. What is stopped already is left alone. Stop and Kill end a frozen tree
// too, Stop where Thaw follows it.
func (p *Process) Freeze() {
	frosts.Lock()
	defer frosts.Unlock()
	f := &frost{thaw: make(chan struct{}), over: make(chan struct{}), held: map[ident]bool{}}
	if before := frosts.of[p]; before != nil {
		select {
		case <-before.thaw:
		default:
			return // frozen as it is
		}
		f.after = before.over
	}
	frosts.of[p] = f
	go f.run(p)
}

// Thaw has what Freeze has stopped go on, and returns at once.
func (p *Process) Thaw() {
	frosts.Lock()
	defer frosts.Unlock()
	if f := frosts.of[p]; f != nil {
		select {
		case <-f.thaw:
		default:
			close(f.thaw)
		}
	}
}

func (f *frost) run(p *Process) {
	if f.after != nil {
		<-f.after // else what it still holds would pass for stopped by others
	}
	calm := 0
	for pause := shortest; calm < 2; pause = min(2*pause, longest) {
		if f.stop(p) {
			calm = 0
		} else {
			calm++ // what one look has missed may have had a child
		}
		select {
		case <-f.thaw:
			calm = 2
		case <-p.done:
			calm = 2
		case <-time.After(pause):
		}
	}
	select {
	case <-f.thaw:
		f.wake(p)
	case <-p.done:
	}
	frosts.Lock()
	defer frosts.Unlock()
	close(f.over)
	if frosts.of[p] == f {
		delete(frosts.of, p)
	}
}

// stop stops what runs of the tree and tells whether anything did.
func (f *frost) stop(p *Process) (ran bool) {
	trees.mu.Lock()
	defer trees.mu.Unlock()
	v := trees.look(p, true)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.killing {
		return false
	}
	for _, m := range v.members {
		switch m.state {
		case 'Z', 'X', 'T', 't':
		default: // also one that was woken since
			// One that sleeps uninterruptibly, in vfork until its child goes on
			// say, stops before it runs its program again.
			ran = ran || m.state != 'D' || !f.held[m.ident]
			f.held[m.ident] = true
			p.send(m, unix.SIGSTOP)
		}
	}
	return ran || v.undecided
}

func (f *frost) wake(p *Process) {
	trees.mu.Lock()
	defer trees.mu.Unlock()
	v := trees.look(p, true)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range v.members {
		if f.held[m.ident] {
			p.send(m, unix.SIGCONT)
		}
	}
}
