package zkelect

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"zkelect/zkelect/zktest"
)

// Whichever request of a candidate's life is lost, be it a handshake, a read or
// a write, the election goes on. The tables above say which loss must have which
// end; this one finds those that nobody thought of: it takes the n-th request
// for every n up to the last.
func TestAnyRequestLost(t *testing.T) {
	t.Parallel()
	const requests = 40 // a life has about thirty
	for n := 1; n <= requests; n++ {
		kinds := lossKinds
		if repetitions() < 3 {
			kinds = []lossKind{lossKinds[n%len(lossKinds)]}
		}
		for _, kind := range kinds {
			t.Run(fmt.Sprintf("%d/%s", n, kind.name), func(t *testing.T) {
				t.Parallel()
				loseTheNth(t, kind, int32(n))
			})
		}
	}
}

func loseTheNth(t *testing.T, kind lossKind, n int32) {
	e := newElection(t, zktest.Shared(t))
	way := newLossyPath(t, e.server, kind)
	var count atomic.Int32
	lost := way.arm(func(op zktest.Op) bool { return op.Type != zktest.Ping && count.Add(1) == n })
	cfg := e.config("a", way.addrs()...)
	cfg.SessionTimeout, cfg.Requeue = 4*time.Second, RequeueAlways
	a := contend(t, cfg, workPlan{Exits: 600 * time.Millisecond})
	b := contend(t, e.steady("b"), workPlan{Exits: 50 * time.Millisecond})
	a.awaitWork(0)
	a.awaitWork(1)
	if out, err := b.awaitEnd(); err != nil || out.Cause != CauseExited {
		t.Errorf("b ended by %+v, %v", out, err)
	}
	select {
	case op := <-lost.struck:
		t.Logf("lost: %v", op)
	default:
	}
	lost.release()
	awaitTrue(t, "a stands alone", func() bool { return len(e.participants()) <= 1 })
	a.leave()
	checkExclusion(t, a, b)
	e.awaitEmpty()
	if e.record() == nil {
		t.Error("no record is left")
	}
	c := contend(t, e.steady("c"), workPlan{Exits: time.Millisecond})
	c.awaitWork(0)
	c.awaitEnd()
}

// A probe of the tick that is lost is tried again: a session too short for a
// lease is refused for what the servers said, not for what was assumed.
func TestTickProbeLost(t *testing.T) {
	t.Parallel()
	e := newElection(t, zktest.Shared(t))
	px := zktest.NewProxy(t, e.server.Addr())
	var connects atomic.Int32 // the first is the session's
	px.CutReply(func(op zktest.Op) bool { return op.Type == zktest.Connect && connects.Add(1) == 2 })
	contend(t, e.config("a", px.Addr())).awaitWork(0)
}
