package zkelect

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"zkelect/zkelect/zktest"
)

// What go-zookeeper does to nodes and watches, beside what ours come to.

// protected calls the library's own protected create, and returns what it
// panicked with.
func protected(c *zk.Conn, path string) (name string, panicked any, err error) {
	defer func() { panicked = recover() }()
	name, err = c.CreateProtectedEphemeralSequential(path, nil, openACL)
	return name, nil, err
}

func TestProtectedNames(t *testing.T) {
	t.Parallel()
	e := newElection(t, zktest.Shared(t)).premade()
	name, _, err := protected(e.eye, e.abs(e.node("latch-")))
	noError(t, err)
	if parseNode(path.Base(name)).family == familyLatch {
		t.Errorf("the library makes %s, which is a latch's name now", name)
	}
	noError(t, e.eye.Delete(name, -1))
	p := contend(t, e.steady("a"))
	if n := parseNode(path.Base(p.awaitWork(0).term.Node)); n.family != familyLatch || !n.ours() {
		t.Errorf("ours is %+v", n)
	}
}

// The library takes a short name that begins with _c_ apart beyond its end.
func TestShortStrangerInTheQueue(t *testing.T) {
	t.Parallel()
	stranger := func(e *election, name string) {
		_, err := e.eye.Create(e.abs(e.node(name)), nil, 0, openACL)
		noError(t, err)
	}
	mustRefuse := func(t *testing.T, p *participant) {
		t.Helper()
		out, err := p.awaitEnd()
		if out.Cause != CauseError || !errors.Is(err, ErrUnsafe) || !strings.Contains(err.Error(), `"_c_x"`) {
			t.Errorf("%+v, %v", out, err)
		}
	}
	t.Run("naked", func(t *testing.T) {
		t.Parallel()
		e := newElection(t, zktest.Shared(t)).premade()
		for n := range 30 { // the listing has no order: one stands before the library's own
			stranger(e, fmt.Sprintf("_c_x%d", n))
		}
		px := zktest.NewProxy(t, e.server.Addr())
		c := zktest.Dial(t, 6*time.Second, px.Addr())
		px.CutReply(e.queueCreate())
		if _, panicked, err := protected(c, e.abs(e.node("latch-"))); panicked == nil {
			t.Errorf("the library minds its bounds now: %v", err)
		}
	})
	t.Run("before", func(t *testing.T) {
		t.Parallel()
		e := newElection(t, zktest.Shared(t)).premade()
		stranger(e, "_c_x")
		mustRefuse(t, contend(t, e.steady("a")))
		if n := len(e.participants()); n != 1 {
			t.Errorf("%d nodes: it joined all the same", n)
		}
	})
	t.Run("while the reply to the create is lost", func(t *testing.T) {
		t.Parallel()
		e := newElection(t, zktest.Shared(t)).premade()
		px := zktest.NewProxy(t, e.server.Addr())
		held := px.HoldReply(e.queueCreate())
		p := contend(t, e.steady("a", px.Addr()))
		held.Wait(t, harnessPatience)
		stranger(e, "_c_x")
		mustRefuse(t, p)
		if n := len(e.participants()); n != 1 {
			t.Errorf("%d nodes: ours is left", n)
		}
	})
	t.Run("while waiting", func(t *testing.T) {
		t.Parallel()
		e := newElection(t, zktest.Shared(t))
		a := contend(t, e.steady("a"))
		a.awaitWork(0)
		b := contend(t, e.steady("b"))
		b.awaitEvent(EventWaiting)
		c := contend(t, e.steady("c"))
		c.awaitEvent(EventWaiting)
		stranger(e, "_c_x")
		a.leave()
		// First or not: the path is looked at again after winning (and a waiter
		// that lists for another reason sees it too).
		awaitTrue(t, "b has refused or leads", func() bool { return b.isOver() || len(b.all()) > 0 })
		if len(b.all()) > 0 {
			t.Fatal("b leads beside the stranger")
		}
		mustRefuse(t, b)
		mustRefuse(t, c)
	})
}

// The library's protected create gives up where the listing after a lost reply
// fails too, and leaves a node that blocks whoever tries again.
func TestOrphanOfALostCreate(t *testing.T) {
	t.Parallel()
	lose := func(e *election, px *zktest.Proxy) {
		var cut atomic.Bool
		px.CutReply(func(op zktest.Op) bool {
			created := e.queueCreate()(op)
			cut.CompareAndSwap(false, created)
			return created
		})
		px.DropRequest(func(op zktest.Op) bool { return cut.Load() && part(zktest.GetChildren2, e.abs(e.latch))(op) })
	}
	t.Run("naked", func(t *testing.T) {
		t.Parallel()
		e := newElection(t, zktest.Shared(t)).premade()
		px := zktest.NewProxy(t, e.server.Addr())
		c := zktest.Dial(t, 6*time.Second, px.Addr())
		lose(e, px)
		if name, _, err := protected(c, e.abs(e.node("latch-"))); err == nil {
			t.Fatalf("the library found %s", name)
		}
		if n := len(e.participants()); n != 1 {
			t.Errorf("%d nodes are left", n)
		}
	})
	t.Run("ours", func(t *testing.T) {
		t.Parallel()
		e := newElection(t, zktest.Shared(t)).premade()
		px := zktest.NewProxy(t, e.server.Addr())
		lose(e, px)
		p := contend(t, e.steady("a", px.Addr()))
		p.awaitWork(0)
		e.mustStand(true, "a")
		if n := len(px.Requests(e.queueCreate())); n != 1 {
			t.Errorf("%d creates", n)
		}
	})
}

// Only conn.go sets watches, and nobody by what may never fire, nor makes nodes
// by what may leave orphans.
func TestNobodyCallsTheTraps(t *testing.T) {
	files, err := filepath.Glob("*.go")
	noError(t, err)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		noError(t, err)
		for _, trap := range []string{"ExistsW(", "CreateProtectedEphemeralSequential(", "zk.NewLock(", ".ChildrenW(", ".GetW("} {
			if strings.Contains(string(text), trap) && (file != "call.go" || !strings.HasSuffix(trap, "nW(") && trap != ".GetW(") {
				t.Errorf("%s calls %s", file, trap)
			}
		}
	}
}

// An answer that is too large is told as such, and nothing but that answer: a
// write whose reply is lost later stays one that may have been executed.
func TestAnswerTooLarge(t *testing.T) {
	t.Parallel()
	e, px := newRoot(t)
	s := e.openSession(t, 6*time.Second, px.Addr())
	// As the library says it; a real one would take half a million nodes.
	s.Printf("received packet from server with length %d, which exceeds max buffer size %d", recvBuffer+1, recvBuffer)
	if err := s.explain(zk.ErrConnectionClosed); ambiguous(err) || !strings.Contains(err.Error(), "too many") {
		t.Errorf("told: %v", err)
	}
	px.Reset()
	awaitTrue(t, "the reconnection", func() bool { _, n, _ := s.status(); return n == 2 })
	px.CutReply(zktest.Of(zktest.Create))
	if _, err := s.create(t.Context(), "/x", nil, 0); err == nil || !ambiguous(err) {
		t.Errorf("a lost reply counts as %v", err)
	}
}
