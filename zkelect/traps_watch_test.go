package zkelect

import (
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"zkelect/zkelect/zktest"
)

// What go-zookeeper does to watches.

// lockWatches keeps the library from its watches.
func lockWatches(c *zk.Conn) (unlock func()) {
	lock := (*sync.Mutex)(reflect.ValueOf(c).Elem().FieldByName("watchersLock").Addr().UnsafePointer())
	lock.Lock()
	return lock.Unlock
}

// libraryWatches counts the channels that the library keeps.
func libraryWatches(c *zk.Conn) (n int) {
	defer lockWatches(c)()
	all := reflect.ValueOf(c).Elem().FieldByName("watchers").MapRange()
	for all.Next() {
		n += all.Value().Len()
	}
	return n
}

func ourWatches(s *zkSession) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.watches)
}

// The library keeps a channel for each call that sets a watch, and removes none
// before it fires.
func TestWatchesDoNotGather(t *testing.T) {
	t.Parallel()
	e, px := newRoot(t)
	c := zktest.Dial(t, 10*time.Second, px.Addr())
	for range 1000 {
		_, _, _, err := c.GetW(e.chroot)
		noError(t, err)
	}
	if n := libraryWatches(c); n != 1000 {
		t.Errorf("naked, the library keeps %d channels for one node", n)
	}

	s := e.openSession(t, 10*time.Second, px.Addr())
	for range 1000 {
		_, _, _, err := s.getW(t.Context(), "/")
		noError(t, err)
		_, _, err = s.childrenW(t.Context(), "/")
		noError(t, err)
		if _, _, _, err := s.getW(t.Context(), "/missing"); !errors.Is(err, zk.ErrNoNode) {
			t.Fatal(err)
		}
	}
	if n := libraryWatches(s.conn); n != 2 || ourWatches(s) != 2 {
		t.Errorf("the library keeps %d channels, we %d, for two watches", n, ourWatches(s))
	}

	// Those of a leader and of a waiter that are woken again and again.
	a := contend(t, e.steady("a", px.Addr()))
	a.awaitWork(0)
	b := contend(t, e.steady("b", px.Addr()))
	b.awaitEvent(EventWaiting)
	time.Sleep(100 * time.Millisecond)
	watches := func(p *participant) int { return libraryWatches(p.c.sess.(*zkSession).conn) }
	leader, waiter := watches(a), watches(b)
	for n := range 50 {
		for _, dir := range []string{e.requests, e.transfer} {
			name, err := e.eye.Create(e.abs(fmt.Sprintf("%s/noise%d", dir, n)), nil, zk.FlagEphemeral, openACL)
			noError(t, err)
			noError(t, e.eye.Delete(name, -1))
		}
	}
	time.Sleep(100 * time.Millisecond)
	// One more of a leader's: on the queue, since somebody asked for a transfer.
	if l, w := watches(a), watches(b); l > leader+1 || w > waiter {
		t.Errorf("a leader's channels grew from %d to %d, a waiter's from %d to %d", leader, l, waiter, w)
	}
	t.Logf("a leader keeps %d channels, a waiter %d", watches(a), watches(b))
}

// A watch that was set before a disconnection tells of what happened meanwhile,
// also where it stood already and was not set again.
func TestWatchOutlastsTheConnection(t *testing.T) {
	t.Parallel()
	e, px := newRoot(t)
	s := e.openSession(t, 6*time.Second, px.Addr())
	_, err := e.eye.Create(e.abs("/x"), nil, 0, openACL)
	noError(t, err)
	_, _, first, err := s.getW(t.Context(), "/x")
	noError(t, err)
	_, _, standing, err := s.getW(t.Context(), "/x")
	noError(t, err)
	_, kids, err := s.childrenW(t.Context(), "/")
	noError(t, err)
	noError(t, px.Refuse(true))
	px.Reset()
	awaitTrue(t, "the disconnection", func() bool { return stateOf(s) == sessionSuspended })
	noError(t, e.eye.Delete(e.abs("/x"), -1))
	noError(t, px.Refuse(false))
	if first != standing {
		t.Error("a watch that stands was set again")
	}
	for name, ch := range map[string]<-chan zk.EventType{"the node's": first, "the children's": kids} {
		select {
		case <-ch:
		case <-time.After(harnessPatience):
			t.Fatalf("%s watch never fired", name)
		}
	}
	if n := ourWatches(s); n != 0 {
		t.Errorf("%d watches are left", n)
	}
}

// On a new connection the library sends its watches again with the newest
// transaction that it has seen, so that the server tells what came since. It
// reads that without a lock while replies are already coming in: one that comes
// first makes the server keep back an event that nobody has seen. The race
// detector has met it once in some thousand reconnections of a busy machine;
// here the library is held at that point.
func TestWatchesAreSetAgainBeforeReplies(t *testing.T) {
	t.Parallel()
	e, px := newRoot(t)
	s := e.openSession(t, 6*time.Second, px.Addr())
	_, kids, err := s.childrenW(t.Context(), "/")
	noError(t, err)
	time.Sleep(600 * time.Millisecond) // so that the reconnection comes at once
	unlock := lockWatches(s.conn)
	time.AfterFunc(60*time.Millisecond, unlock)
	px.Reset()
	awaitTrue(t, "the reconnection", func() bool { _, n, _ := s.status(); return n == 2 })
	// As a leader does then: it lists, and something happens after that.
	_, _, err = s.children(t.Context(), "/")
	noError(t, err)
	_, err = e.eye.Create(e.abs("/request"), nil, 0, openACL)
	noError(t, err)
	_, err = s.multi(t.Context(), check("/")) // the answer is newer than the event
	noError(t, err)
	select {
	case <-kids:
	case <-time.After(3 * time.Second):
		t.Error("nobody tells of the new child")
	}
}
