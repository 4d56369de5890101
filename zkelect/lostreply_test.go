package zkelect

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"zkelect/zkelect/zktest"
)

// lossKind is a way in which a client comes not to know what became of its
// request.
type lossKind struct {
	name   string
	steps  []lossStep // one for each try of the client
	oneWay bool       // the client has no other way to the server
}

type lossStep func(px *zktest.Proxy, match func(zktest.Op) bool) *zktest.Fault

var lossKinds = []lossKind{
	{name: "reply cut", steps: []lossStep{(*zktest.Proxy).CutReply}},          // executed
	{name: "request dropped", steps: []lossStep{(*zktest.Proxy).DropRequest}}, // not executed
	{name: "reply held", steps: []lossStep{(*zktest.Proxy).HoldReply}},        // executed, and our own timer must act
	{name: "dropped, then cut", steps: []lossStep{(*zktest.Proxy).DropRequest, (*zktest.Proxy).CutReply}},
	// Comes to the server when the client has gone on by another way. A server
	// closes the old connection of a session that comes back on a new one
	// (ZooKeeperServer.processConnectRequest), so it should not be executed.
	{name: "late", steps: []lossStep{(*zktest.Proxy).CutBefore}},
	// Comes, and is executed, just before the client is back.
	{name: "late by the same way", steps: []lossStep{(*zktest.Proxy).CutBefore}, oneWay: true},
}

// lossyPath is the way of one client to a server, over two proxies: one can stay
// cut, with a request in it, while the client goes on over the other.
type lossyPath struct {
	kind lossKind
	ways []*zktest.Proxy
}

func newLossyPath(t testing.TB, server *zktest.Server, kind lossKind) *lossyPath {
	t.Helper()
	p := &lossyPath{kind: kind, ways: []*zktest.Proxy{zktest.NewProxy(t, server.Addr())}}
	if !kind.oneWay {
		p.ways = append(p.ways, zktest.NewProxy(t, server.Addr()))
	}
	return p
}

func (p *lossyPath) addrs() []string {
	var addrs []string
	for _, px := range p.ways {
		addrs = append(addrs, px.Addr())
	}
	return addrs
}

// awaitHeartbeats waits until n checks went this way: from the second on a lease
// has its full length.
func (p *lossyPath) awaitHeartbeats(e *election, n int) {
	e.t.Helper()
	awaitTrue(e.t, "heartbeats", func() bool {
		seen := 0
		for _, px := range p.ways {
			seen += len(px.Requests(e.heartbeatMulti()))
		}
		return seen >= n
	})
}

// loss is a fault that waits on a path, or has struck.
type loss struct {
	path   *lossyPath
	struck chan zktest.Op // gets the request of the first step
}

// arm makes the next request that matches be lost, whichever way it takes.
func (p *lossyPath) arm(match func(zktest.Op) bool) *loss {
	l := &loss{path: p, struck: make(chan zktest.Op, 2)}
	var turn atomic.Int32 // the steps in their order, each once
	for n, step := range p.kind.steps {
		for _, px := range p.ways {
			f := step(px, func(op zktest.Op) bool {
				return match(op) && turn.CompareAndSwap(int32(n), int32(n)+1)
			})
			if n == 0 {
				go func() { l.strike(px, <-f.C) }()
			}
		}
	}
	return l
}

func (l *loss) strike(px *zktest.Proxy, op zktest.Op) {
	l.struck <- op
	if l.path.kind.oneWay {
		for px.Conns() < 2 { // until the client has given up and knocks anew
			time.Sleep(time.Millisecond)
		}
		px.Heal()
	}
}

// wait returns once the request is lost.
func (l *loss) wait(t testing.TB) {
	t.Helper()
	select {
	case op := <-l.struck:
		l.struck <- op // for whoever waits again
		t.Logf("lost: %v", op)
	case <-time.After(harnessPatience):
		t.Fatal("no request met the fault")
	}
}

// release delivers what was held back, and gives it time to do harm.
func (l *loss) release() {
	for _, px := range l.path.ways {
		px.Heal()
	}
	time.Sleep(150 * time.Millisecond)
}

// The writes of a candidate and of a resigner, as they stand on the wire.
func isMulti(parts ...func(zktest.Op) bool) func(zktest.Op) bool {
	return func(op zktest.Op) bool {
		for _, part := range parts {
			if !op.Any(part) {
				return false
			}
		}
		return op.Type == zktest.Multi
	}
}

func part(opType int32, prefix string) func(zktest.Op) bool {
	return func(op zktest.Op) bool { return op.Type == opType && strings.HasPrefix(op.Path, prefix) }
}

func (e *election) parentsCreate() func(zktest.Op) bool {
	return part(zktest.CreateContainer, e.abs("/jobs"))
}
func (e *election) sideCreate() func(zktest.Op) bool {
	return isMulti(part(zktest.Create, e.abs(e.transfer)))
}
func (e *election) rightsProbe() func(zktest.Op) bool {
	return isMulti(part(zktest.Create, e.abs(e.side+"/probe")))
}
func (e *election) latchCreate() func(zktest.Op) bool {
	return part(zktest.CreateContainer, e.abs(e.latch))
}
func (e *election) queueCreate() func(zktest.Op) bool { return part(zktest.Create, e.abs(e.latch)+"/") }
func (e *election) queueDelete() func(zktest.Op) bool { return part(zktest.Delete, e.abs(e.latch)+"/") }
func (e *election) openingMulti() func(zktest.Op) bool {
	return isMulti(part(zktest.Create, e.abs(e.live)))
}
func (e *election) heartbeatMulti() func(zktest.Op) bool {
	return func(op zktest.Op) bool {
		return isMulti(part(zktest.Check, e.abs(e.live)))(op) && len(op.Ops) == 2
	}
}

// laterHeartbeat is one whose loss the lease must bear: in the first interval
// of a short session there is no time for a second try.
func (e *election) laterHeartbeat() func(zktest.Op) bool {
	var seen atomic.Int32
	return func(op zktest.Op) bool { return e.heartbeatMulti()(op) && seen.Add(1) > 2 }
}
func (e *election) closingMulti() func(zktest.Op) bool {
	return isMulti(part(zktest.Delete, e.abs(e.live)))
}
func (e *election) requestCreate() func(zktest.Op) bool { return part(zktest.Create, e.abs(e.side)) }
func (e *election) markMulti() func(zktest.Op) bool {
	return isMulti(part(zktest.Check, e.abs(e.side)), part(zktest.SetData, e.abs(e.side)))
}
func (e *election) asideMulti() func(zktest.Op) bool {
	return isMulti(part(zktest.Check, e.abs(e.transfer)), part(zktest.Delete, e.abs(e.latch)+"/"))
}
func (e *election) withdrawMulti() func(zktest.Op) bool {
	return isMulti(part(zktest.Delete, e.abs(e.requests)), part(zktest.Check, e.abs(e.side)))
}

// premade makes what the first participant of an election makes.
func (e *election) premade() *election {
	e.t.Helper()
	contend(e.t, e.steady("first"), workPlan{Exits: time.Millisecond}).awaitEnd()
	return e
}

// mustStand compares the queue with the ids that must stand in it, in order,
// and, if the first leads, the record and live with it.
func (e *election) mustStand(leads bool, ids ...string) {
	e.t.Helper()
	var got []string
	queue := e.participants()
	for _, n := range queue {
		got = append(got, n.data)
	}
	if fmt.Sprint(got) != fmt.Sprint(ids) {
		e.t.Fatalf("in the queue stand %v instead of %v", got, ids)
	}
	if !leads {
		return
	}
	live, rec := e.see(e.live), e.record()
	switch {
	case live == nil:
		e.t.Fatalf("%s leads without live", ids[0])
	case live.data != queue[0].name || live.stat.EphemeralOwner != queue[0].stat.EphemeralOwner:
		e.t.Fatalf("%s leads, but live is of %s, session 0x%x", ids[0], live.data, live.stat.EphemeralOwner)
	case !rec.names(queue[0].name) || rec.Term.Clean:
		e.t.Fatalf("%s leads, but the record's term is %+v", ids[0], rec.Term)
	}
}

// lossTarget is a request that gets lost.
type lossTarget struct {
	name       string
	fresh      bool // the first participant of an election makes it
	restricted bool // not everybody may do everything, so that rights are asked for
	atEnd      bool // it belongs to the end of a term
	match      func(*election) func(zktest.Op) bool
}

// loseInATerm has a participant lose one request of its first term. Its session
// goes on and it queues again, so that whatever is left behind would block its
// own next turn, or the other's.
func loseInATerm(t *testing.T, kind lossKind, target lossTarget) {
	e := newElection(t, zktest.Shared(t))
	if !target.fresh {
		e.premade()
	}
	if target.restricted {
		_, err := e.eye.SetACL(e.abs(e.side), []zk.ACL{{Perms: zk.PermAll, Scheme: "ip", ID: "127.0.0.1"}}, -1)
		noError(t, err)
	}
	path := newLossyPath(t, e.server, kind)
	lost := path.arm(target.match(e))
	cfg := e.config("a", path.addrs()...)
	cfg.SessionTimeout, cfg.Requeue = 8*time.Second, RequeueAlways
	a := contend(t, cfg)
	work := a.awaitWork(0)
	b := contend(t, e.steady("b"))
	b.awaitEvent(EventWaiting)
	if !target.atEnd {
		lost.wait(t)
		time.Sleep(1400 * time.Millisecond) // past a check that was not answered
		lost.release()
	}
	e.mustStand(true, "a", "b")
	if !work.alive() || len(a.events(EventLost)) > 0 {
		t.Fatal("the lost request cost the term")
	}

	work.end(0, 0)
	next := b.awaitWork(0)
	if took := time.Duration(next.started - work.ended.Load()); took > 6*time.Second {
		t.Errorf("the other led after %v: not by a closing, but by the end of a session", took)
	}
	a.awaitEvent(EventWaiting)
	lost.wait(t)
	lost.release()
	e.mustStand(true, "b", "a")
	if n := len(a.events(EventConnected)); n != 1 {
		t.Errorf("a needed %d sessions", n)
	}
	if n := len(a.events(EventJoined)); n != 2 {
		t.Errorf("a told %d times that it had joined the queue", n)
	}

	b.leave()
	a.awaitWork(1)
	e.mustStand(true, "a")
	checkExclusion(t, a, b)
	a.leave()
	e.awaitEmpty()
	if rec := e.record(); !rec.Term.Clean || len(rec.Unclean) > 0 {
		t.Errorf("what is left is not clean: %+v", rec)
	}
}

// soaked repeats in a soak alone what has a hundred variants already.
func soaked(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	if repetitions() < 3 {
		test(t)
		return
	}
	repeated(t, test)
}

func TestLostReplyInATerm(t *testing.T) {
	t.Parallel()
	for _, target := range []lossTarget{
		{name: "parents", fresh: true, match: (*election).parentsCreate},
		{name: "side node", fresh: true, match: (*election).sideCreate},
		{name: "rights probe", restricted: true, match: (*election).rightsProbe},
		{name: "latch path", fresh: true, match: (*election).latchCreate},
		{name: "queue node", match: (*election).queueCreate},
		{name: "opening", match: (*election).openingMulti},
		{name: "heartbeat", match: (*election).laterHeartbeat},
		{name: "closing", atEnd: true, match: (*election).closingMulti},
	} {
		for _, kind := range lossKinds {
			t.Run(target.name+"/"+kind.name, func(t *testing.T) {
				t.Parallel()
				soaked(t, func(t *testing.T) { loseInATerm(t, kind, target) })
			})
		}
	}
}
