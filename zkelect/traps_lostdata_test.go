package zkelect

import (
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"zkelect/zkelect/zktest"
)

// A server that has lost its data refuses, for ever, a client that has seen
// newer transactions, and the library asks for ever. Leader and waiter give the
// session up and begin anew, chroot and all; the leader's work is dead in time.
func TestServerThatLostItsData(t *testing.T) {
	t.Parallel()
	t.Run("in the clear", func(t *testing.T) {
		t.Parallel()
		srv := zktest.Start(t)
		serverLosesItsData(t, srv, srv.Addr(), nil)
	})
	t.Run("TLS", func(t *testing.T) { // whether servers grant sessions is asked by TLS too
		t.Parallel()
		with, tls := secured(t)
		srv := zktest.Start(t, with)
		serverLosesItsData(t, srv, srv.SecureAddr(), tls)
	})
}

func serverLosesItsData(t *testing.T, srv *zktest.Server, addr string, tls *TLS) {
	e := newElection(t, srv)
	naked := zktest.Dial(t, 3*time.Second, srv.Addr())
	for range 100 { // newer than what the server counts to after its loss
		_, err := naked.Set(e.chroot, []byte("x"), -1)
		noError(t, err)
	}
	contender := func(id string) *participant {
		cfg := e.config(id, addr)
		cfg.Requeue, cfg.TLS = RequeueLost, tls
		return contend(t, cfg)
	}
	a := contender("a")
	work := a.awaitWork(0)
	b := contender("b")
	b.awaitEvent(EventWaiting)

	killed := zktest.Stamp()
	noError(t, srv.Kill())
	noError(t, srv.Wipe())
	noError(t, srv.Restart())
	back := zktest.Stamp()
	e.eye = srv.Client(t)
	awaitTrue(t, "somebody leads again", func() bool { return len(a.all())+len(b.all()) > 1 })
	leader, waiter := a, b
	if len(b.all()) > 0 {
		leader, waiter = b, a
	}
	works := leader.all()
	next := works[len(works)-1]
	t.Logf("led again %v after the server was back", time.Duration(next.started-back))
	if lived := time.Duration(work.ended.Load() - killed); lived > 3*time.Second {
		t.Errorf("the old work lived %v after the servers' end", lived)
	}
	if end := work.ended.Load(); end == 0 || end > next.started {
		t.Error("two works at once") // tokens tell nothing here: the history is another
	}
	awaitTrue(t, "the other waits", func() bool { return len(e.participants()) == 2 })
	e.mustStand(true, leader.id, waiter.id)
	if next.term.Session == work.term.Session {
		t.Error("in the old session")
	}
	if naked.State() == zk.StateHasSession {
		t.Error("the naked library gets over it now")
	}
}
