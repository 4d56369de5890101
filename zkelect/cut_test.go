package zkelect

import (
	"math/rand/v2"
	"testing"
	"time"

	"zkelect/zkelect/zktest"
)

// cut is one participant behind a proxy, whose network is about to fail.
type cut struct {
	*election
	t       *testing.T
	px      *zktest.Proxy
	timeout time.Duration
}

// hardToKill is work that ignores Stop and takes half of the kill reserve to die:
// it lives as long as any work may.
func hardToKill(timeout time.Duration) workPlan {
	return workPlan{StopTakes: -1, KillTakes: budget{timeout: timeout}.reserve() / 2}
}

// config is for the participant behind the proxy.
func (c *cut) config(id string) CandidateConfig {
	cfg := c.election.config(id, c.px.Addr())
	cfg.SessionTimeout = c.timeout
	cfg.Requeue = RequeueLost // a term that a busy machine ends is not the last
	return cfg
}

// steady is a configuration for a participant to which nothing is to happen, on
// a busy machine either.
func (e *election) steady(id string, addrs ...string) CandidateConfig {
	cfg := e.config(id, addrs...)
	cfg.SessionTimeout = 20 * time.Second
	return cfg
}

// opening matches the request that opens a term, heartbeats the checks.
func (e *election) opening() func(zktest.Op) bool    { return zktest.On(e.abs(e.live), zktest.Create) }
func (e *election) heartbeats() func(zktest.Op) bool { return zktest.On(e.abs(e.live), zktest.Check) }

// awaitHeartbeats waits until so many more checks have gone through the proxies.
// Each but the last was answered or given up: never are two on their way.
func (e *election) awaitHeartbeats(n int, pxs ...*zktest.Proxy) {
	e.t.Helper()
	awaitTrue(e.t, "heartbeats", e.heartbeatsMore(n, pxs...))
}

// heartbeatsMore tells whether so many more checks have gone through the proxies
// since it was made.
func (e *election) heartbeatsMore(n int, pxs ...*zktest.Proxy) func() bool {
	sent := func() (sum int) {
		for _, px := range pxs {
			sum += len(px.Requests(e.heartbeats()))
		}
		return sum
	}
	before := sent()
	return func() bool { return sent() >= before+n }
}

// leader gives the participant a term that has lasted for a few heartbeats.
func (c *cut) leader(plan workPlan) *participant {
	p := contend(c.t, c.config("leader"), plan)
	p.awaitWork(0)
	c.awaitHeartbeats(4, c.px)
	return p
}

// waiter queues the participant behind another that is not cut off.
func (c *cut) waiter(plan workPlan) (before, waiter *participant) {
	before = contend(c.t, c.steady("before"))
	before.awaitWork(0)
	waiter = contend(c.t, c.config("waiter"), plan)
	waiter.awaitEvent(EventWaiting)
	// Only the library's pings keep its session, each third of the timeout: be
	// anywhere between two of them when it is promoted.
	time.Sleep(c.timeout/2 + rand.N(c.timeout/3))
	return before, waiter
}

// dropped are the moments at which the servers delete the nodes of a term.
func (e *election) dropped(server *zktest.Server, node string) []<-chan zktest.Moment {
	e.t.Helper()
	return []<-chan zktest.Moment{server.DeletedAt(e.t, e.abs(node)), server.DeletedAt(e.t, e.abs(e.live))}
}

// deadBefore makes sure that the work is dead before any of the nodes was
// deleted, and returns by how much.
func deadBefore(t *testing.T, w *stampedWork, dropped []<-chan zktest.Moment) time.Duration {
	t.Helper()
	margin := never
	for _, ch := range dropped {
		select {
		case m, ok := <-ch:
			if !ok {
				t.Fatal("nobody saw when the nodes were deleted")
			}
			ended := w.ended.Load()
			if ended == 0 {
				t.Fatal("the nodes of the term are deleted and its work is alive")
			}
			margin = min(margin, time.Duration(m.Boot-ended))
		case <-time.After(harnessPatience):
			t.Fatalf("the nodes of the term stand %v after the cut", harnessPatience)
		}
	}
	if margin <= 0 {
		t.Errorf("the work died %v after the nodes of its term were deleted", -margin)
	}
	return margin
}

// silences are the ways in which a network goes silent.
var silences = map[string]func(*zktest.Proxy){
	"cut":  (*zktest.Proxy).Cut,
	"up":   (*zktest.Proxy).CutUp,
	"drop": (*zktest.Proxy).Drop,
}

// TestCutKillsBeforeTheServersForget cuts a leader off in silence for longer
// than its session: its work is dead before the servers delete the nodes, since
// from then on another may lead.
func TestCutKillsBeforeTheServersForget(t *testing.T) {
	t.Parallel()
	for _, timeout := range []time.Duration{2 * time.Second, 3 * time.Second, 4 * time.Second, 6 * time.Second} {
		runCut(t, "leading/"+timeout.String(), timeout, func(c *cut) {
			p := c.leader(hardToKill(timeout))
			c.strike(p, "cut")
		})
		runCut(t, "promoted/"+timeout.String(), timeout, func(c *cut) {
			before, p := c.waiter(hardToKill(timeout))
			before.c.Stop(0)
			c.strike(p, "cut")
		})
	}
	for _, silence := range []string{"up", "drop"} {
		runCut(t, "leading/"+silence, 3*time.Second, func(c *cut) { c.strike(c.leader(hardToKill(c.timeout)), silence) })
	}
	runCut(t, "slow", 4*time.Second, func(c *cut) {
		// What is answered late was sent long ago: the lease knows.
		c.px.Delay(150*time.Millisecond, 150*time.Millisecond)
		c.strike(c.leader(hardToKill(c.timeout)), "cut")
	})
	runCut(t, "stopping", 3*time.Second, func(c *cut) {
		cfg := c.config("leader")
		cfg.StopTimeout = time.Minute
		p := contend(t, cfg, hardToKill(c.timeout))
		p.awaitWork(0)
		p.c.Stop(0)
		// Renewals lengthen the grace beyond what one lease holds.
		c.awaitHeartbeats(12, c.px)
		if w := p.awaitWork(0); w.stopped.Load() == 0 || w.killed.Load() != 0 {
			t.Errorf("stopped at %d, killed at %d: the grace of a minute is over too early", w.stopped.Load(), w.killed.Load())
		}
		c.strike(p, "cut")
	})
	runCut(t, "adopted", 4*time.Second, func(c *cut) {
		// The opening's answer is lost, so the term is learned of by reading.
		before, p := c.waiter(hardToKill(c.timeout))
		held := c.px.HoldReply(c.opening())
		before.c.Stop(0)
		held.Wait(c.t, harnessPatience)
		c.strike(p, "cut")
	})
	runCut(t, "late", 4*time.Second, func(c *cut) {
		// The opening spends a while on the way.
		before, p := c.waiter(hardToKill(c.timeout))
		held := c.px.CutBefore(c.opening())
		before.c.Stop(0)
		held.Wait(c.t, harnessPatience)
		time.Sleep(rand.N(c.timeout / 2))
		c.px.Heal()
		c.strike(p, "cut")
	})
}

// runCut is a subtest of its own, repeated.
func runCut(t *testing.T, name string, timeout time.Duration, test func(*cut)) {
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		repeated(t, func(t *testing.T) {
			e := newElection(t, zktest.Shared(t))
			test(&cut{election: e, t: t, px: zktest.NewProxy(t, e.server.Addr()), timeout: timeout})
		})
	})
}

// strike cuts a leader off for good, as soon as it has begun. A successor waits.
func (c *cut) strike(p *participant, silence string) {
	c.t.Helper()
	p.awaitWork(0)
	works := p.all()
	w := works[len(works)-1]
	silences[silence](c.px)
	if !w.alive() {
		c.t.Log("a busy machine has ended the term before the cut")
		return
	}
	dropped := c.dropped(c.server, w.term.Node)
	next := contend(c.t, c.steady("next"))
	c.t.Logf("dead %v before the deletion: %s", deadBefore(c.t, w, dropped).Round(time.Millisecond), c.t.Name())
	next.awaitWork(0)
	checkExclusion(c.t, p, next)
}

// TestCutBetweenOpeningAndAnswer: the term is open and its leader never learns
// of it, so no work of it may ever start.
func TestCutBetweenOpeningAndAnswer(t *testing.T) {
	t.Parallel()
	runCut(t, "cut", 2*time.Second, func(c *cut) {
		before, p := c.waiter(workPlan{})
		held := c.px.HoldReply(c.opening())
		before.c.Stop(0)
		held.Wait(c.t, harnessPatience)
		c.px.Cut()
		dropped := c.dropped(c.server, p.awaitEvent(EventJoined).attr("node").String())
		next := contend(c.t, c.steady("next"))
		for _, ch := range dropped {
			<-ch
		}
		next.awaitWork(0)
		c.px.Heal()
		// It learns that its session is over, and queues behind.
		p.awaitEvents(EventJoined, 2)
		p.awaitEvents(EventWaiting, 2)
		if n := len(p.all()); n != 0 {
			c.t.Errorf("%d works of a term that was never learned of", n)
		}
		next.leave()
		p.awaitWork(0)
		checkExclusion(c.t, before, p, next)
	})
}

// TestCutDownAloneStopsInTime: what the leader sends arrives, so that the
// servers keep its session, but it hears nothing. It cannot know the former.
func TestCutDownAloneStopsInTime(t *testing.T) {
	t.Parallel()
	runCut(t, "down", 3*time.Second, func(c *cut) {
		p := c.leader(hardToKill(c.timeout))
		w := p.awaitWork(0)
		dropped := c.dropped(c.server, w.term.Node)
		next := contend(c.t, c.steady("next"))
		at := zktest.Stamp()
		c.px.CutDown()
		awaitTrue(c.t, "the work is dead", func() bool { return !w.alive() })
		// Sent at the latest at the cut, and not renewed since.
		if lived := time.Duration(w.ended.Load() - at); lived >= c.timeout {
			c.t.Errorf("the work lived on for %v with a session of %v", lived, c.timeout)
		}
		c.px.Heal()
		deadBefore(c.t, w, dropped)
		next.awaitWork(0)
		checkExclusion(c.t, p, next)
	})
}

// TestCutAndHealedLater: who was cut off for longer than its session finds
// another leader when it is back, and queues behind.
func TestCutAndHealedLater(t *testing.T) {
	t.Parallel()
	runCut(t, "healed", 2*time.Second, func(c *cut) {
		p := contend(c.t, c.config("leader"), hardToKill(c.timeout))
		w := p.awaitWork(0)
		next := contend(c.t, c.steady("next"))
		next.awaitEvent(EventWaiting)
		dropped := c.dropped(c.server, w.term.Node)
		c.px.Cut()
		deadBefore(c.t, w, dropped)
		second := next.awaitWork(0)
		c.px.Heal()
		p.awaitEvents(EventJoined, 2)
		p.awaitEvent(EventWaiting)
		if names := c.participants(); len(names) != 2 || c.node(names[0].name) != second.term.Node {
			c.t.Errorf("the queue is %v, and %s leads", names, second.term.Node)
		}
		next.leave()
		third := p.awaitWork(1)
		if third.term.Session == w.term.Session {
			c.t.Error("a session that was over goes on")
		}
		checkExclusion(c.t, p, next)
	})
}
