package zkelect

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"zkelect/zkelect/zktest"
)

// trio is three servers with a proxy before each.
type trio struct {
	t   *testing.T
	ens *zktest.Ensemble
	px  map[*zktest.Server]*zktest.Proxy
}

func newTrio(t *testing.T, opts ...zktest.Option) *trio {
	t.Helper()
	tr := &trio{t: t, ens: zktest.StartEnsemble(t, 3, opts...), px: map[*zktest.Server]*zktest.Proxy{}}
	for _, s := range tr.ens.Servers {
		tr.px[s] = zktest.NewProxy(t, s.Addr())
	}
	return tr
}

// with is the trio for a subtest, where all servers serve again.
func (tr *trio) with(t *testing.T) *trio {
	t.Helper()
	noError(t, tr.ens.Await(harnessPatience))
	for _, px := range tr.px {
		px.Forget()
	}
	return &trio{t: t, ens: tr.ens, px: tr.px}
}

// roles are the ensemble's leader and its followers.
func (tr *trio) roles() (leader, follower, other *zktest.Server) {
	tr.t.Helper()
	awaitTrue(tr.t, "a leader and two followers", func() bool {
		leader = tr.ens.Leader()
		f := tr.ens.Followers()
		if leader == nil || len(f) != 2 {
			return false
		}
		follower, other = f[0], f[1]
		return true
	})
	return leader, follower, other
}

// addrs are those of the proxies, this server's first.
func (tr *trio) addrs(first *zktest.Server) []string {
	addrs := []string{tr.px[first].Addr()}
	for _, s := range tr.ens.Servers {
		if s != first {
			addrs = append(addrs, tr.px[s].Addr())
		}
	}
	return addrs
}

// only lets new connections reach this server alone until the function has
// returned: the order of the servers in a connect string says nothing.
func (tr *trio) only(server *zktest.Server, during func()) {
	tr.t.Helper()
	for s, px := range tr.px {
		noError(tr.t, px.Refuse(s != server))
	}
	defer func() {
		for _, px := range tr.px {
			noError(tr.t, px.Refuse(false))
		}
	}()
	during()
}

// stopped stops servers in silence until the function has returned, and tells
// when they went on.
func (tr *trio) stopped(during func(), servers ...*zktest.Server) (resumed int64) {
	tr.t.Helper()
	for _, s := range servers {
		noError(tr.t, s.Stop())
	}
	resume := sync.OnceFunc(func() {
		resumed = zktest.Stamp()
		for _, s := range servers {
			noError(tr.t, s.Cont())
		}
	})
	defer resume() // also when the function ends the test
	during()
	resume()
	return resumed
}

// pinned is a participant that knows one server alone, and what stands for it.
type pinned struct {
	e       *election
	name    string
	before  *participant // leads until the waiter is to be promoted; nil: none
	p       *participant
	node    string // the one whose deletion is awaited
	w       *stampedWork
	dropped []<-chan zktest.Moment
}

// pin makes participants on one server: for each session timeout one that
// leads, and one that waits behind another on the server that stays.
func (tr *trio) pin(on, stays *zktest.Server, timeouts ...time.Duration) (all []*pinned) {
	tr.t.Helper()
	for _, timeout := range timeouts {
		for _, name := range []string{"leading", "promoted"} {
			e := newElection(tr.t, stays)
			b := &pinned{e: e, name: name + " " + timeout.String()}
			if name == "promoted" {
				b.before = contend(tr.t, e.steady("before", stays.Addr()))
				b.before.awaitWork(0)
			}
			cfg := e.config(b.name, tr.px[on].Addr())
			cfg.SessionTimeout = timeout
			b.p = contend(tr.t, cfg, hardToKill(timeout))
			all = append(all, b)
		}
	}
	all = slices.DeleteFunc(all, func(b *pinned) bool {
		b.node = b.p.awaitEvent(EventJoined).attr("node").String()
		// With it goes live, in the same transaction.
		dropped, stop, err := zktest.WatchDeletion(stays.Addr(), b.e.abs(b.node))
		if errors.Is(err, zk.ErrNoNode) {
			return true // a busy machine has ended its session or its term
		}
		noError(tr.t, err)
		tr.t.Cleanup(stop)
		b.dropped = append(b.dropped, dropped)
		return false
	})
	// Pings alone keep the waiters' sessions, several times.
	time.Sleep(slices.Max(timeouts) / 2)
	return all
}

// promoted pins until somebody leads: a busy machine can end all of the terms.
func promoted(t *testing.T, pin func() []*pinned) []*pinned {
	t.Helper()
	for try := 1; ; try++ {
		if all := promote(t, pin()); len(all) > 0 {
			return all
		}
		if try == 5 {
			t.Fatal("nobody leads any more")
		}
	}
}

// promote ends those before the waiters, and returns when all waiters lead. It
// leaves out whose term a busy machine has ended.
func promote(t *testing.T, all []*pinned) []*pinned {
	t.Helper()
	for _, b := range all {
		if b.before != nil {
			b.before.c.Stop(0)
		}
	}
	for _, b := range all {
		awaitTrue(t, b.name+" leads", func() bool { return len(b.p.all()) > 0 || b.p.isOver() })
	}
	all = slices.DeleteFunc(all, func(b *pinned) bool {
		if works := b.p.all(); len(works) > 0 {
			b.w = works[0]
		}
		return b.w == nil || !b.w.alive() || b.w.term.Node != b.node
	})
	return all
}

// check makes sure that the work was dead in time, and that another can lead.
func (b *pinned) check(t *testing.T, stays *zktest.Server) {
	t.Helper()
	t.Logf("dead %v before the deletion: %s, %s", deadBefore(t, b.w, b.dropped).Round(time.Millisecond), t.Name(), b.name)
	b.succeeded(t, stays)
}

func (b *pinned) succeeded(t *testing.T, stays *zktest.Server) {
	t.Helper()
	next := contend(t, b.e.steady("next", stays.Addr()))
	next.awaitWork(0)
	checkExclusion(t, b.p, next)
}

// rounds is repetitions for what has an ensemble to itself, one after the
// other: once where two of each are enough.
func rounds() int {
	if n := repetitions(); n > 2 {
		return n
	}
	return 1
}

// TestFollowerDiesWithItsClients: touches travel from a follower to the
// ensemble's leader with its pings each half tick, so a session is forgotten
// earlier than its client can know. A tick of 2 s is production's.
func TestFollowerDiesWithItsClients(t *testing.T) {
	t.Parallel()
	whole := newTrio(t, zktest.TickTime(2*time.Second), zktest.SyncLimit(5))
	for name, hurt := range map[string]func(*zktest.Server) error{
		"killed":  (*zktest.Server).Kill,
		"stopped": (*zktest.Server).Stop,
	} {
		for range rounds() {
			t.Run(name, func(t *testing.T) {
				tr := whole.with(t)
				stays, on, _ := tr.roles()
				all := promoted(t, func() []*pinned { return tr.pin(on, stays, 4*time.Second, 5*time.Second, 6*time.Second) })
				defer func() { noError(t, on.Restart()) }()
				noError(t, hurt(on))
				for _, b := range all {
					b.check(t, stays)
				}
			})
		}
	}
}

// TestQuorumLost: while nothing is committed, reads and pings may be answered
// all the same. Work is dead before its session can be over, which is when
// there is a quorum again at the earliest.
func TestQuorumLost(t *testing.T) {
	t.Parallel()
	whole := newTrio(t, zktest.SyncLimit(10))
	for _, test := range []struct {
		name string
		run  func(tr *trio)
	}{
		{"on a follower", func(tr *trio) {
			leader, on, other := tr.roles()
			tr.withoutQuorum(on, leader, other)
		}},
		{"on the leader", func(tr *trio) {
			on, one, other := tr.roles()
			tr.withoutQuorum(on, one, other)
		}},
		{"silent leader", (*trio).withSilentLeader},
	} {
		for range rounds() {
			t.Run(test.name, func(t *testing.T) { test.run(whole.with(t)) })
		}
	}
}

// withoutQuorum stops two of three servers for longer than the sessions of those
// on the third.
func (tr *trio) withoutQuorum(on *zktest.Server, stopped ...*zktest.Server) {
	tr.t.Helper()
	all := promoted(tr.t, func() []*pinned { return tr.pin(on, on, 3*time.Second) })
	resumed := tr.stopped(func() {
		awaitDead(tr.t, all)
		time.Sleep(2 * time.Second) // so that the sessions are over for a leader whose clock went on
	}, stopped...)
	noError(tr.t, tr.ens.Await(harnessPatience))
	for _, b := range all {
		if b.w.ended.Load() >= resumed {
			tr.t.Errorf("%s: the work lived on", b.name)
		}
		b.succeeded(tr.t, on)
	}
}

// withSilentLeader stops the ensemble's leader; its followers notice after 5 s,
// when the lease of their clients is over.
func (tr *trio) withSilentLeader() {
	tr.t.Helper()
	leader, on, stays := tr.roles()
	all := promoted(tr.t, func() []*pinned {
		return slices.Concat(tr.pin(on, stays, 3*time.Second), tr.pin(leader, stays, 3*time.Second))
	})
	tr.stopped(func() {
		awaitDead(tr.t, all)
		for _, b := range all {
			b.check(tr.t, stays)
		}
	}, leader)
}

func awaitDead(t *testing.T, all []*pinned) {
	t.Helper()
	for _, b := range all {
		awaitTrue(t, "the work of "+b.name+" is dead", func() bool { return !b.w.alive() })
	}
}
