package zkelect

import (
	"maps"
	"slices"
	"testing"
	"time"

	"zkelect/zkelect/zktest"
)

// TestShortFaultsGoUnnoticed: the same session goes on and neither the work nor
// the waiter notices.
func TestShortFaultsGoUnnoticed(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(c *cut){
		"cut for a second": func(c *cut) { c.px.Cut(); time.Sleep(time.Second); c.px.Heal() },
		"cut up":           func(c *cut) { c.px.CutUp(); time.Sleep(time.Second); c.px.Heal() },
		"cut down":         func(c *cut) { c.px.CutDown(); time.Sleep(time.Second); c.px.Heal() },
		"lossy":            func(c *cut) { c.px.Drop(); time.Sleep(time.Second); c.px.Heal() },
		"reset": func(c *cut) {
			for range 5 {
				c.px.Reset()
				c.awaitHeartbeats(1, c.px)
			}
		},
		"refused": func(c *cut) {
			noError(c.t, c.px.Refuse(true))
			c.px.Reset()
			time.Sleep(time.Second)
			noError(c.t, c.px.Refuse(false))
		},
		"slow": func(c *cut) {
			c.px.Delay(200*time.Millisecond, 200*time.Millisecond)
			c.awaitHeartbeats(4, c.px)
			c.px.Delay(0, 0)
		},
		"cuts in a row": func(c *cut) {
			for range 3 {
				c.px.Cut()
				time.Sleep(700 * time.Millisecond)
				c.px.Heal()
				c.awaitHeartbeats(2, c.px)
			}
		},
	} {
		runCut(t, name, 6*time.Second, func(c *cut) {
			k := c.calm(c.px.Addr())
			c.awaitHeartbeats(2, c.px)
			fault(c)
			c.awaitHeartbeats(3, c.px)
			k.unmoved()
		})
	}
}

// calm is a leader and a waiter that are to lose nothing.
type calm struct {
	*cut
	leader, waiter *participant
	w              *stampedWork
	queue          []seenNode
}

// calm starts a leader and a waiter that know the servers by these addresses.
func (c *cut) calm(addrs ...string) *calm {
	c.t.Helper()
	config := func(id string) CandidateConfig {
		cfg := c.election.config(id, addrs...)
		cfg.SessionTimeout = c.timeout
		return cfg
	}
	k := &calm{cut: c, leader: contend(c.t, config("leader"))}
	k.w = k.leader.awaitWork(0)
	slices.Reverse(addrs)
	k.waiter = contend(c.t, config("waiter"))
	k.waiter.awaitEvent(EventWaiting)
	k.queue = c.participants()
	return k
}

// unmoved makes sure that neither of them lost anything, and that the waiter's
// turn comes.
func (k *calm) unmoved() {
	k.t.Helper()
	// The library's own client, which looks on, can hang for a minute in a
	// handshake with a server that has just come back.
	k.eye = k.server.Client(k.t)
	if k.w.stopped.Load() != 0 || k.w.killed.Load() != 0 || !k.w.alive() || len(k.leader.all()) != 1 {
		k.t.Error("the work noticed")
	}
	if ev := append(k.leader.events(EventExpired, EventLost), k.waiter.events(EventExpired)...); len(ev) != 0 {
		k.t.Errorf("something was lost: %v", ev)
	}
	same := func(a, b seenNode) bool {
		return a.name == b.name && a.stat.EphemeralOwner == b.stat.EphemeralOwner
	}
	if now := k.participants(); !slices.EqualFunc(now, k.queue, same) {
		k.t.Errorf("the queue was %v and is %v", k.queue, now)
	}
	if live := k.see(k.live); live == nil || live.stat.EphemeralOwner != k.w.term.Session || live.stat.Czxid != k.w.term.Token {
		k.t.Errorf("live is %v, and the term was opened by session %x with token %d", live, k.w.term.Session, k.w.term.Token)
	}
	k.leader.leave()
	k.waiter.awaitWork(0)
	k.waiter.leave()
	checkExclusion(k.t, k.leader, k.waiter)
}

// TestOnlyServerComesBack: the only server of an ensemble pauses, and is
// restarted with its data. Sessions and places live in its data. A busy machine
// takes its time to start a server.
func TestOnlyServerComesBack(t *testing.T) {
	t.Parallel()
	repeated(t, func(t *testing.T) {
		server := zktest.Start(t)
		c := &cut{election: newElection(t, server), t: t, px: zktest.NewProxy(t, server.Addr()), timeout: 30 * time.Second}
		k := c.calm(c.px.Addr())
		c.awaitHeartbeats(1, c.px)
		noError(t, server.Stop())
		time.Sleep(time.Second)
		noError(t, server.Cont())
		c.awaitHeartbeats(1, c.px)
		noError(t, server.Kill())
		noError(t, server.Restart())
		c.awaitHeartbeats(2, c.px)
		k.unmoved()
	})
}

// TestEnsembleFaultsGoUnnoticed: as long as the ensemble finds a quorum within
// the lease's patience, the same session goes on, on whatever server, and
// neither the work nor the waiter notices.
func TestEnsembleFaultsGoUnnoticed(t *testing.T) {
	t.Parallel()
	whole := newTrio(t, zktest.SyncLimit(4)) // a silent leader is given up after 2 s
	for _, test := range []struct {
		name    string
		leader  bool // happens to the ensemble's leader
		happens func(*zktest.Server) error
	}{
		{"follower killed", false, (*zktest.Server).Kill},
		{"follower stopped", false, (*zktest.Server).Stop},
		{"leader killed", true, (*zktest.Server).Kill},
		{"leader stopped", true, (*zktest.Server).Stop},
	} {
		for range rounds() {
			t.Run(test.name, func(t *testing.T) {
				tr := whole.with(t)
				hit, stays, _ := tr.roles()
				if !test.leader {
					hit, stays = stays, hit
				}
				t.Cleanup(func() { noError(t, hit.Restart()) })
				calms := tr.calms(stays, hit)
				tr.awaitHeartbeats(2, calms)
				noError(t, test.happens(hit))
				tr.awaitHeartbeats(3, calms)
				for _, k := range calms {
					k.unmoved()
				}
			})
		}
	}
}

// calms makes an election on each of the servers. Those on the one that is hit
// have a silent server in their list, which costs time and must not cost more.
func (tr *trio) calms(stays, hit *zktest.Server) (calms []*calm) {
	tr.t.Helper()
	for _, on := range tr.ens.Servers {
		c := &cut{election: newElection(tr.t, stays), t: tr.t, timeout: 16 * time.Second}
		addrs := tr.addrs(on)
		if on == hit {
			addrs = append(addrs, zktest.Silent(tr.t))
		}
		tr.only(on, func() { calms = append(calms, c.calm(addrs...)) })
	}
	return calms
}

// awaitHeartbeats waits until each election has had so many more.
func (tr *trio) awaitHeartbeats(n int, calms []*calm) {
	tr.t.Helper()
	pxs := slices.Collect(maps.Values(tr.px))
	var each []func() bool
	for _, k := range calms {
		each = append(each, k.heartbeatsMore(n, pxs...))
	}
	for _, more := range each {
		awaitTrue(tr.t, "heartbeats", more)
	}
}

// TestFirstLeaseLearnsTheTick: a leader that never waited opens its term before
// the servers have told the tick, and half the session is taken for it. Once it
// is known the lease in force is the one that EventBudget tells of.
func TestFirstLeaseLearnsTheTick(t *testing.T) {
	t.Parallel()
	runCut(t, "suspended", 12*time.Second, func(c *cut) {
		p := contend(c.t, c.config("leader"))
		told := p.awaitEvent(EventBudget)
		noError(c.t, c.px.Refuse(true))
		c.px.Reset()
		lost := p.awaitEvent(EventSuspended)
		sincePromoted := time.Duration(lost.at - p.awaitEvent(EventLeading).at)
		stop := sincePromoted + lost.attr("stop_in").Duration()
		if want := told.attr("first_stop").Duration(); stop < want-200*time.Millisecond {
			c.t.Errorf("the work would be stopped %v after the opening, and the budget says %v", stop, want)
		}
	})
}
