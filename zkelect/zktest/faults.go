package zktest

import (
	"slices"
	"sync"
	"testing"
	"time"
)

// A Fault waits for one request that matches, strikes it, and is spent.
type Fault struct {
	// C gets the request once the fault has struck: for a reply that is cut or
	// held, once the server's answer has come, so once it has been executed.
	C <-chan Op

	kind  faultKind
	match func(Op) bool
	c     chan<- Op
	owner *faults
	op    Op // what it took, for its reply; owned by the link that took it
}

type faultKind int

const (
	cutReply faultKind = iota
	holdReply
	dropRequest
	cutBefore
)

// CutReply lets the next request that matches be executed, swallows its reply
// and closes the connection: the client can't know what became of it. With
// Of(Connect) a session is made of which its client never learns.
func (p *Proxy) CutReply(match func(Op) bool) *Fault { return p.faults.add(cutReply, match) }

// HoldReply is CutReply with the connection left open and silent for good, both
// ways, so that the client's own timer must act.
func (p *Proxy) HoldReply(match func(Op) bool) *Fault { return p.faults.add(holdReply, match) }

// DropRequest swallows the next request that matches before the server sees it
// and closes the connection. The client can't tell it from CutReply.
func (p *Proxy) DropRequest(match func(Op) bool) *Fault { return p.faults.add(dropRequest, match) }

// CutBefore cuts the whole proxy, as [Proxy.Cut] does, at the moment when the
// next request that matches has left the client and not reached the server. Heal
// delivers it, late.
func (p *Proxy) CutBefore(match func(Op) bool) *Fault { return p.faults.add(cutBefore, match) }

// Wait returns the request once the fault has struck, and fails the test if it
// has not within the bound.
func (f *Fault) Wait(tb testing.TB, bound time.Duration) Op {
	tb.Helper()
	select {
	case op := <-f.C:
		return op
	case <-time.After(bound):
		tb.Fatalf("zktest: no request met the fault within %v", bound)
		return Op{}
	}
}

// Cancel takes back a fault that has met no request yet.
func (f *Fault) Cancel() { f.owner.remove(f) }

func (f *Fault) strike(op Op) { f.c <- op } // never blocks: once a fault, room for one

// faults are those that wait, in the order in which they were set.
type faults struct {
	mu      sync.Mutex
	waiting []*Fault
}

func (fs *faults) add(kind faultKind, match func(Op) bool) *Fault {
	c := make(chan Op, 1)
	f := &Fault{C: c, c: c, kind: kind, match: match, owner: fs}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.waiting = append(fs.waiting, f)
	return f
}

func (fs *faults) remove(f *Fault) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.waiting = slices.DeleteFunc(fs.waiting, func(w *Fault) bool { return w == f })
}

// take returns the first fault that matches, which then waits no more; or nil.
func (fs *faults) take(op Op) *Fault {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for i, f := range fs.waiting {
		if f.match(op) {
			fs.waiting = slices.Delete(fs.waiting, i, i+1)
			return f
		}
	}
	return nil
}
