package zkelect

import (
	"context"
	"fmt"
	"path"
	"syscall"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"zkelect/zkelect/zktest"
)

// TestFiftyHandOversAmongTen: ten participants on one path take turns in the
// order of the queue, never two at once, and no hand-over wakes more than the
// one waiter whose turn it is.
func TestFiftyHandOversAmongTen(t *testing.T) {
	t.Parallel()
	repeated(t, func(t *testing.T) {
		e := newElection(t, zktest.Shared(t))
		var all []*participant
		var pxs []*zktest.Proxy
		for n := range 10 {
			px := zktest.NewProxy(t, e.server.Addr())
			cfg := e.steady(fmt.Sprintf("p%d", n), px.Addr())
			cfg.Requeue, cfg.RequeueDelay = RequeueAlways, time.Millisecond
			p := contend(t, cfg)
			p.awaitEvent(EventJoined)
			all, pxs = append(all, p), append(pxs, px)
		}
		terms := []*stampedWork{all[0].awaitWork(0)}
		for n := range 50 {
			last := terms[n]
			switch n % 3 {
			case 0:
				last.end(0, 0)
			case 1:
				last.end(3, 0)
			case 2:
				last.end(0, syscall.SIGKILL)
			}
			terms = append(terms, nextWork(t, n+1, all...))
		}
		time.Sleep(100 * time.Millisecond) // for an event that should not come
		checkTurns(t, terms)
		checkWoken(t, e, terms, pxs)
		checkExclusion(t, all...)
	})
}

// nextWork is the one that was started after n others of these participants.
func nextWork(t testing.TB, n int, of ...*participant) *stampedWork {
	t.Helper()
	var works []*stampedWork
	awaitTrue(t, fmt.Sprintf("work %d", n), func() bool {
		works = works[:0]
		for _, p := range of {
			works = append(works, p.all()...)
		}
		return len(works) > n
	})
	last := works[0]
	for _, w := range works {
		if w.started > last.started {
			last = w
		}
	}
	return last
}

// checkTurns: each node that was ever in the queue led, in the order of the
// sequence.
func checkTurns(t *testing.T, terms []*stampedWork) {
	t.Helper()
	for n, w := range terms {
		if got := parseNode(path.Base(w.term.Node)).sequence; got != int64(n) {
			t.Errorf("term %d is of %s", n, w.term.Node)
		}
	}
}

// checkWoken: each hand-over fired one watch of one waiter.
func checkWoken(t *testing.T, e *election, terms []*stampedWork, pxs []*zktest.Proxy) {
	t.Helper()
	turn := map[string]int{}
	for n, w := range terms {
		turn[e.abs(w.term.Node)] = n
	}
	woken := make([]int, len(terms))
	for _, px := range pxs {
		for _, ev := range px.Events() {
			n, ok := turn[ev.Path]
			switch {
			case ev.Type == zk.EventSession:
			case ok && ev.Session == terms[n].term.Session: // its own node
			case ok && ev.Type == zk.EventNodeDeleted && n+1 < len(terms) && ev.Session == terms[n+1].term.Session:
				woken[n+1]++
			default:
				t.Errorf("session %x was woken by %v of %s", ev.Session, ev.Type, ev.Path)
			}
		}
	}
	for n := 1; n < len(terms); n++ {
		if woken[n] != 1 {
			t.Errorf("hand-over %d woke the next one %d times", n, woken[n])
		}
	}
}

// TestDeletedNodeNeverOverlaps: the leader's queue node is deleted by hand, so
// that the queue has another leader at once. It starts nothing before the old
// work, which takes its time to die, is dead.
func TestDeletedNodeNeverOverlaps(t *testing.T) {
	t.Parallel()
	repeated(t, func(t *testing.T) {
		e := newElection(t, zktest.Shared(t))
		var all []*participant
		for _, id := range []string{"a", "b", "c"} {
			cfg := e.steady(id)
			cfg.Requeue = RequeueLost
			all = append(all, contend(t, cfg, workPlan{StopTakes: -1, KillTakes: 80 * time.Millisecond}))
			all[len(all)-1].awaitEvent(EventJoined)
		}
		w := nextWork(t, 0, all...)
		for n := range 6 {
			noError(t, e.eye.Delete(e.abs(w.term.Node), -1))
			next := nextWork(t, n+1, all...)
			if w.killed.Load() == 0 || w.stopped.Load() != 0 {
				t.Errorf("stopped at %d, killed at %d: a proven loss gets no grace", w.stopped.Load(), w.killed.Load())
			}
			w = next
		}
		checkExclusion(t, all...)
		if blocked := len(all[0].events(EventBlocked)) + len(all[1].events(EventBlocked)) + len(all[2].events(EventBlocked)); blocked < 3 {
			t.Errorf("only %d successors had to wait for the old work's death", blocked)
		}
		if r := e.record(); r == nil || len(r.Unclean) != 0 {
			t.Errorf("unclean terms are left in the record: %+v", r)
		}
	})
}

// TestDeletedNodeOfAWaiter: it queues again at the back, and nobody else is moved.
func TestDeletedNodeOfAWaiter(t *testing.T) {
	t.Parallel()
	e := newElection(t, zktest.Shared(t))
	a := contend(t, e.steady("a"))
	a.awaitWork(0)
	b := contend(t, e.steady("b"))
	b.awaitEvent(EventWaiting)
	c := contend(t, e.steady("c"))
	c.awaitEvent(EventWaiting)
	noError(t, e.eye.Delete(e.abs(b.awaitEvent(EventJoined).attr("node").String()), -1))
	b.awaitEvents(EventJoined, 2)
	a.leave()
	c.awaitWork(0)
	c.leave()
	b.awaitWork(0)
	checkExclusion(t, a, b, c)
}

// resign is what zkelect resign does, with a bound that no test waits for.
func (e *election) resign(cfg ResignConfig) (*Resigned, error) {
	cfg.Config = e.config("").Config
	if cfg.Timeout == 0 {
		cfg.Timeout = harnessPatience
	}
	return Resign(context.Background(), cfg)
}

// checkResigned compares who led before and after.
func checkResigned(t *testing.T, got *Resigned, before, after string) {
	t.Helper()
	switch {
	case got.Old == nil || *got.Old != before:
		t.Errorf("%s led, and Resign says %v", before, got.Old)
	case after == "" && got.New != nil, after != "" && (got.New == nil || *got.New != after):
		t.Errorf("%q leads now, and Resign says %v", after, got.New)
	case got.Took <= 0 || got.Seconds != got.Took.Seconds():
		t.Errorf("it took %v, %v s", got.Took, got.Seconds)
	}
}

// TestForceWaitsForTheOldWork: resign --force deletes the leader's node; the
// successor waits for the old work's death all the same, however long it takes.
func TestForceWaitsForTheOldWork(t *testing.T) {
	t.Parallel()
	for name, plan := range map[string]workPlan{
		"quick": {},
		"slow":  {StopTakes: -1, KillTakes: 500 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			repeated(t, func(t *testing.T) {
				e := newElection(t, zktest.Shared(t))
				a := contend(t, e.steady("a"), plan)
				w := a.awaitWork(0)
				b := contend(t, e.steady("b"))
				b.awaitEvent(EventWaiting)
				got, err := e.resign(ResignConfig{Force: true})
				noError(t, err)
				checkResigned(t, got, "a", "b")
				if !got.Forced {
					t.Error("it does not say that it was forced")
				}
				next := b.awaitWork(0)
				if out, err := a.awaitEnd(); out.Cause != CauseLost || err != nil {
					t.Errorf("the old leader ended with %+v, %v", out, err)
				}
				if died := time.Duration(w.ended.Load() - w.killed.Load()); died < plan.KillTakes || next.started < w.ended.Load() {
					t.Errorf("the old work took %v to die, and the next was started %v after", died, time.Duration(next.started-w.ended.Load()))
				}
				checkExclusion(t, a, b)
			})
		})
	}
}

// TestForceOnALeaderThatIsCutOff: it cannot learn that its node is gone, so the
// successor waits until it is back, or until its session is over.
func TestForceOnALeaderThatIsCutOff(t *testing.T) {
	t.Parallel()
	for name, heals := range map[string]bool{"healed": true, "for good": false} {
		runCut(t, name, 4*time.Second, func(c *cut) {
			a := c.leader(hardToKill(c.timeout))
			w := a.awaitWork(0)
			b := contend(c.t, c.steady("b"))
			b.awaitEvent(EventWaiting)
			c.px.Cut()
			live := c.server.DeletedAt(c.t, c.abs(c.live))
			forced := make(chan error, 1)
			go func() {
				_, err := c.resign(ResignConfig{Force: true})
				forced <- err
			}()
			b.awaitEvent(EventBlocked)
			if heals {
				time.Sleep(500 * time.Millisecond)
				if !w.alive() || len(b.all()) != 0 {
					c.t.Error("the old work does not know yet, and is dead or has a successor")
				}
				c.px.Heal()
			}
			deadBefore(c.t, w, []<-chan zktest.Moment{live})
			noError(c.t, <-forced)
			b.awaitWork(0)
			checkExclusion(c.t, a, b)
		})
	}
}
