package zkelect

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"zkelect/zkelect/zktest"
)

// What Curator's LeaderLatch does, point by point, and what zkelect's Latch does
// there, over real servers. Names in brackets are those of Curator's own tests
// (TestLeaderLatch of 5.4) and of its issues.

// Suspended [testSessionErrorPolicy]: by its standard policy Curator's latch stops
// being leader as soon as the connection is lost, by its session policy only when
// the client believes the session lost. Ours leads on by its lease: the loss of a
// connection alone is told to nobody.
func TestLatchSuspendedLeadsOnByItsLease(t *testing.T) {
	t.Parallel()
	e, px := newRoot(t)
	cfg := e.steady("a", px.Addr())
	a, d := leadingLatch(t, cfg)
	disconnect(t, px)
	a.awaitEvent(EventSuspended)
	if !a.HasLeadership() || a.leads() != d {
		t.Error("does not lead")
	}
	noError(t, px.Refuse(false))
	a.awaitEvent(EventReconnected)
	e.awaitHeartbeats(2, px)
	if !a.HasLeadership() || a.leads() != d || d.Context().Err() != nil {
		t.Error("does not lead in the same session")
	}
	a.hears("is")
}

// Suspended, by Curator's standard policy: not the leader at once. It is not asked
// for by default; SuspendFreeze asks for it.
func TestLatchSuspendedIsNotLeaderAtOnce(t *testing.T) {
	t.Parallel()
	e, px := newRoot(t)
	cfg := e.steady("a", px.Addr())
	cfg.OnSuspend = SuspendFreeze
	a, d := leadingLatch(t, cfg)
	a.hears("is")
	disconnect(t, px)
	calls := a.hears("is not")
	if a.HasLeadership() || d.Context().Err() == nil {
		t.Error("leads")
	}
	if at := a.awaitEvent(EventSuspended).at; time.Duration(calls[1].at-at) > time.Second {
		t.Errorf("told %v after the loss", time.Duration(calls[1].at-at))
	}
}

// Reconnected [testSessionErrorPolicy, CURATOR-644]: since 5.3 Curator's latch
// keeps its node when the connection is back in the same session, and leads again
// if it is still first. So does ours; it asks a quorum before, since a server that
// is cut off from the others connects too.
func TestLatchReconnectedInTheSameSessionKeepsItsNode(t *testing.T) {
	t.Parallel()
	e, px := newRoot(t)
	cfg := e.steady("a", px.Addr())
	cfg.OnSuspend = SuspendFreeze
	a, d := leadingLatch(t, cfg)
	b := waitingLatch(t, e.steady("b"))
	before := e.participants()
	disconnect(t, px)
	a.hears("is not")
	noError(t, px.Refuse(false))
	again := a.leads()
	if again == d || again.Term != d.Term {
		t.Errorf("leads by %+v after %+v", again.Term, d.Term)
	}
	a.hears("is not is")
	after := e.participants()
	if len(after) != 2 || after[0].name != before[0].name || after[0].stat.Czxid != before[0].stat.Czxid {
		t.Errorf("the queue was %v, is %v", before, after)
	}
	if b.hears(""); b.HasLeadership() {
		t.Error("b leads")
	}
}

// Reconnected, while it waits: the node stays, and so does its place.
func TestLatchReconnectedWaiterKeepsItsPlace(t *testing.T) {
	t.Parallel()
	e, px := newRoot(t)
	a, _ := leadingLatch(t, e.steady("a"))
	b := waitingLatch(t, e.steady("b", px.Addr()))
	c := waitingLatch(t, e.steady("c"))
	node := b.Node()
	disconnect(t, px)
	b.awaitEvent(EventSuspended)
	noError(t, px.Refuse(false))
	b.awaitEvent(EventReconnected)
	noError(t, a.Close(CloseSilent))
	if d := b.leads(); d.Node != node {
		t.Errorf("leads by %s, stood at %s", d.Node, node)
	}
	c.hears("")
}

// Lost [testErrorPolicies]: Curator's latch is told of a loss by its client's own
// count of time, which no server confirms. Ours is not leader any more, and
// NotLeader has returned, before the servers can delete its node.
func TestLatchLostIsNotLeaderBeforeTheServersForget(t *testing.T) {
	t.Parallel()
	repeated(t, func(t *testing.T) {
		e, px := newRoot(t)
		cfg := e.config("a", px.Addr())
		a := makeLatch(t, cfg)
		var ended atomic.Int64
		a.AddListener(Listener{NotLeader: func(*Leadership) {
			time.Sleep(cfg.StopTimeout / 2)
			ended.Store(zktest.Stamp())
		}})
		noError(t, a.Start(context.Background()))
		d := a.leads()
		e.awaitHeartbeats(4, px)
		gone := e.dropped(e.server, d.Node)
		px.Cut()
		for _, ch := range gone {
			m, ok := <-ch
			if !ok {
				t.Fatal("nobody saw when the node was deleted")
			}
			if at := ended.Load(); at == 0 || at >= m.Boot {
				t.Errorf("the node was deleted at %d, NotLeader over at %d", m.Boot, at)
			}
			if a.HasLeadership() || d.Context().Err() == nil {
				t.Error("leads after its session")
			}
		}
		a.hears("is not")
	})
}

// Lost, and its node re-created: after a new session Curator's latch makes a new
// node, at the back of the queue. So does ours.
func TestLatchLostNodeIsRecreated(t *testing.T) {
	t.Parallel()
	e, px := newRoot(t)
	a, d := leadingLatch(t, e.config("a", px.Addr()))
	b := waitingLatch(t, e.steady("b"))
	px.Cut()
	b.leads()
	px.Heal()
	awaitTrue(t, "a stands in the queue again", func() bool { return e.names() == "b a" })
	awaitTrue(t, "it knows its node", func() bool { return a.Node() != "" && a.Node() != d.Node })
	if a.HasLeadership() || a.State() != LatchStarted {
		t.Errorf("leads %v, %v", a.HasLeadership(), a.State())
	}
	node := e.see(a.Node())
	if node == nil || node.stat.EphemeralOwner == d.Session || node.data != "a" {
		t.Errorf("its node: %+v", node)
	}
	noError(t, b.Close(CloseSilent))
	if again := a.leads(); again.Token <= d.Token || again.Session == d.Session || again.Node != a.Node() {
		t.Errorf("%+v after %+v", again.Term, d.Term)
	}
	a.hears("is not is")
}

// Lost by all at once [testLostConnection]: nobody leads, then exactly one again.
func TestLatchLostByAll(t *testing.T) {
	t.Parallel()
	e, px := newRoot(t)
	var all []*liveLatch
	for n := range 6 {
		all = append(all, startLatch(t, e.config(fmt.Sprint("latch", n), px.Addr())))
	}
	leaders := func() (n int) {
		for _, l := range all {
			if l.HasLeadership() {
				n++
			}
		}
		return n
	}
	awaitTrue(t, "one leads", func() bool { return leaders() == 1 && len(e.participants()) == len(all) })
	px.Cut()
	awaitTrue(t, "nobody leads", func() bool { return leaders() == 0 })
	awaitTrue(t, "the sessions are over", func() bool { return len(e.participants()) == 0 })
	px.Heal()
	awaitTrue(t, "one leads again", func() bool {
		n := leaders()
		if n > 1 {
			t.Fatalf("%d lead", n)
		}
		return n == 1
	})
}

// A node of an old session [CURATOR-696, CURATOR-620]: 5.4's latch looks for its
// path alone, and so led by a node whose session was over. Ours looks for a name
// that is never used twice: a node that stands where its old one stood is
// somebody else's.
func TestLatchNeverLeadsByANodeOfAnOldSession(t *testing.T) {
	t.Parallel()
	e, px := newRoot(t)
	a, d := leadingLatch(t, e.config("a", px.Addr()))
	gone := e.server.DeletedAt(t, e.abs(d.Node))
	px.Cut()
	<-gone
	_, err := e.eye.Create(e.abs(d.Node), []byte("a"), zk.FlagEphemeral, openACL)
	noError(t, err)
	px.Heal()
	a.awaitEvents(EventWaiting, 1)
	if a.HasLeadership() || a.Node() == d.Node {
		t.Errorf("leads %v, node %s", a.HasLeadership(), a.Node())
	}
	a.hears("is not")
	noError(t, e.eye.Delete(e.abs(d.Node), -1))
	if again := a.leads(); again.Node == d.Node || again.Token <= d.Token {
		t.Errorf("%+v after %+v", again.Term, d.Term)
	}
}

// Deleted by hand: Curator's latch does not notice that its node is gone, and leads
// on. Ours is told, stops at once and stands in the queue again.
func TestLatchNodeDeletedByHand(t *testing.T) {
	t.Parallel()
	e := newElection(t, zktest.Shared(t))
	a, d := leadingLatch(t, e.steady("a"))
	waiting := waitingLatch(t, e.steady("b"))
	old := waiting.Node()
	noError(t, e.eye.Delete(e.abs(old), -1))
	awaitTrue(t, "b has a new node", func() bool { return waiting.Node() != old && waiting.Node() != "" })
	waiting.awaitEvents(EventWaiting, 2)
	noError(t, e.eye.Delete(e.abs(d.Node), -1))
	waiting.leads()
	a.hears("is not")
	awaitTrue(t, "a stands behind b", func() bool { return e.names() == "b a" })
}

// The watched node deleted at a reconnection [testWatchedNodeDeletedOnReconnect]:
// no deletion is missed, and no second node is left.
func TestLatchWatchedNodeDeletedOnReconnect(t *testing.T) {
	t.Parallel()
	e, px := newRoot(t)
	a, _ := leadingLatch(t, e.steady("a"))
	b := waitingLatch(t, e.steady("b", px.Addr()))
	disconnect(t, px)
	b.awaitEvent(EventSuspended)
	noError(t, a.Close(CloseSilent))
	noError(t, px.Refuse(false))
	b.leads()
	if names := e.names(); names != "b" {
		t.Errorf("in the queue: %s", names)
	}
}

// A node that disappears after the children were read [CURATOR-645,
// testLeadershipElectionWhenNodeDisappearsAfterChildrenAreRetrieved]: the queue
// is read again, and the own node stays.
func TestLatchNodeDisappearsAfterTheQueueWasRead(t *testing.T) {
	t.Parallel()
	e, px := newRoot(t)
	a, d := leadingLatch(t, e.steady("a"))
	// What arms the watch on a's node leaves b, and a's node is gone before it
	// arrives.
	fault := px.CutBefore(zktest.On(e.abs(d.Node), zktest.GetData))
	b := startLatch(t, e.steady("b", px.Addr()))
	fault.Wait(t, harnessPatience)
	node := b.Node()
	noError(t, a.Close(CloseSilent))
	px.Heal()
	if got := b.leads(); got.Node != node {
		t.Errorf("leads by %s, stood at %s", got.Node, node)
	}
	if names := e.names(); names != "b" {
		t.Errorf("in the queue: %s", names)
	}
}

// The watched node deleted while it waits [testCorrectWatching]: who waits behind
// it moves up and does not lead.
func TestLatchOfAPredecessorThatLeavesDoesNotLead(t *testing.T) {
	t.Parallel()
	e := newElection(t, zktest.Shared(t))
	leadingLatch(t, e.steady("a"))
	b := waitingLatch(t, e.steady("b"))
	c := waitingLatch(t, e.steady("c"))
	noError(t, b.Close(CloseNotifyLeader))
	awaitTrue(t, "c has moved up", func() bool {
		moved := c.events(EventWaiting)
		return moved[len(moved)-1].attr("position").Int64() == 1
	})
	if c.HasLeadership() || len(c.hears("")) > 0 {
		t.Error("c leads")
	}
}
