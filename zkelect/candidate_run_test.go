package zkelect

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"
)

func requeue(r Requeue) func(*CandidateConfig) {
	return func(c *CandidateConfig) { c.Requeue = r }
}

// Which ends of a term make a candidate contend again.
func TestRequeue(t *testing.T) {
	ends := map[string]func(w *fakeWorld, k *fakeWork){
		"exited":     func(w *fakeWorld, k *fakeWork) { k.locked(func() { k.end(0, 0) })() },
		"failed":     func(w *fakeWorld, k *fakeWork) { k.locked(func() { k.end(1, 0) })() },
		"signalled":  func(w *fakeWorld, k *fakeWork) { k.locked(func() { k.end(0, syscall.SIGSEGV) })() },
		"lost":       func(w *fakeWorld, k *fakeWork) { w.byHand(remove(k.term.Node)) },
		"lost lease": func(w *fakeWorld, k *fakeWork) { w.cut("a", true); time.Sleep(time.Minute); w.heal("a") },
		"resigned":   func(w *fakeWorld, k *fakeWork) { w.ask(w.session("resigner"), k.name(), "") },
		"stopped":    func(w *fakeWorld, k *fakeWork) { k.c.Stop(syscall.SIGTERM) },
	}
	for _, c := range []struct {
		how   Requeue
		again []string
	}{
		{RequeueNever, nil},
		{RequeueLost, []string{"lost", "lost lease", "resigned"}},
		{RequeueAlways, []string{"exited", "failed", "signalled", "lost", "lost lease", "resigned"}},
	} {
		for name, end := range ends {
			t.Run(fmt.Sprint(c.how, " ", name), func(t *testing.T) {
				inWorld(t, func(w *fakeWorld) {
					a, k := w.lead("a", fakePlan{}, requeue(c.how))
					time.Sleep(time.Second)
					end(w, k)
					for _, again := range c.again {
						if again == name {
							if next := a.work(1); next.term.Node == k.term.Node || next.term.Token <= k.term.Token {
								t.Errorf("%+v after %+v", next.term, k.term)
							}
							return
						}
					}
					out := a.ended()
					want := map[string]Cause{"exited": CauseExited, "failed": CauseExited, "signalled": CauseSignalled,
						"lost": CauseLost, "lost lease": CauseLost, "resigned": CauseResigned, "stopped": CauseStopped}[name]
					if out.Cause != want || a.ran() != 1 {
						t.Errorf("%+v, %d works", out, a.ran())
					}
				})
			})
		}
	}
}

// After work that failed the next term comes after a delay that doubles from
// one second to thirty, and is one second again after a success.
func TestRequeueDelay(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		a := w.candidate("a", requeue(RequeueAlways))
		a.plan = func(n int) fakePlan {
			plan := fakePlan{runs: 10 * ms, code: 1}
			if n == 8 {
				plan.code = 0
			}
			return plan
		}
		a.begin()
		for i, want := range []time.Duration{1, 2, 4, 8, 16, 30, 30, 30, 0, 1, 2} {
			now, next := a.work(i), a.work(i+1)
			within(t, fmt.Sprint("pause ", i), next.startedAt-now.endedAt, want*time.Second, 40*ms)
		}
	})
}

func TestStopDuringTheDelay(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		a, k := w.lead("a", fakePlan{runs: time.Second, code: 1}, requeue(RequeueAlways), func(c *CandidateConfig) { c.RequeueDelay = 20 * time.Second })
		k.dead()
		time.Sleep(time.Second)
		at := w.now()
		a.Stop(syscall.SIGINT)
		if out := a.ended(); out.Cause != CauseStopped || out.Signal != syscall.SIGINT {
			t.Errorf("%+v", out)
		}
		within(t, "left", w.now(), at, 20*ms)
	})
}

// Turns are fair: who leads again stands at the back.
func TestRequeueTakesTurns(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		plan := fakePlan{runs: 10 * time.Second}
		for _, id := range []string{"a", "b", "c"} {
			c := w.candidate(id, requeue(RequeueAlways))
			c.plan = func(int) fakePlan { return plan }
			c.begin()
			c.awaitEvent(EventJoined)
		}
		time.Sleep(95 * time.Second)
		w.mu.Lock()
		defer w.mu.Unlock()
		for i, k := range w.works {
			if want := []string{"a", "b", "c"}[i%3]; k.c.id != want {
				t.Errorf("turn %d is %s's, want %s", i, k.c.id, want)
			}
		}
		if len(w.works) < 9 {
			t.Errorf("%d turns", len(w.works))
		}
	})
}

// The wait limit is for each term.
func TestWaitLimitIsForEachTerm(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		a := w.candidate("a", requeue(RequeueAlways), waitFor(15*time.Second))
		a.plan = func(int) fakePlan { return fakePlan{runs: 10 * time.Second} }
		a.begin()
		for i := range 5 {
			a.work(i)
		}
		b := w.run("b")
		b.work(0)
		if out := a.ended(); out.Cause != CauseNotLeader || out.Leader != "b" || !errors.Is(a.err, ErrNotLeader) {
			t.Errorf("%+v, %v", out, a.err)
		}
	})
}

// The end of the context is a stop: what is to be said to the servers is said.
func TestContextEnds(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		a := w.candidate("a")
		ctx, cancel := context.WithCancel(context.Background())
		go func() {
			defer close(a.done)
			a.out, a.err = a.Run(ctx, a.start)
		}()
		a.begun = true
		k := a.work(0)
		cancel()
		if out := a.ended(); out.Cause != CauseStopped || a.err != nil {
			t.Errorf("%+v, %v", out, a.err)
		}
		k.expect(1, 0)
		w.released(k)
		if len(w.queue()) != 0 {
			t.Error("left in the queue")
		}
	})
}

// A session timeout that holds no lease is refused before joining, when the
// tick is known, and only then.
func TestUnaffordable(t *testing.T) {
	for _, c := range []struct {
		tick    time.Duration // of the servers
		refused bool
	}{{2 * time.Second, true}, {200 * ms, false}} {
		t.Run(fmt.Sprint(c.tick), func(t *testing.T) {
			inWorld(t, func(w *fakeWorld) {
				w.timeout, w.tick = 3*time.Second, c.tick
				a := w.candidate("a", func(c *CandidateConfig) { c.TickTime = 0 })
				a.begin()
				if !c.refused {
					a.work(0)
					return
				}
				if out := a.ended(); out.Cause != CauseError || !errors.Is(a.err, ErrUnsafe) || len(w.queue()) != 0 {
					t.Errorf("%+v, %v", out, a.err)
				}
				w.mu.Lock()
				defer w.mu.Unlock()
				if len(w.store.nodes) > 1 {
					t.Errorf("%d nodes were made", len(w.store.nodes)-1)
				}
			})
		})
	}
}

// The tick is asked for again in a term when the servers did not tell, and the lease is
// longer from then on.
func TestTickAskedAgainInATerm(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		a := w.candidate("a", func(c *CandidateConfig) { c.TickTime = 0 })
		asked := 0
		a.probe = func(context.Context, session) (time.Duration, error) {
			if asked++; asked < 3 {
				return 0, errors.New("not now")
			}
			return time.Second, nil
		}
		a.begin()
		a.work(0)
		a.awaitEvent(EventBudget)
		assumed := a.attr(EventBudget, "deadline").(time.Duration)
		w.until("the tick is known", a.tickKnown)
		time.Sleep(time.Second)
		if n, _ := a.event(EventBudget); asked != 3 || n != 2 {
			t.Errorf("asked %d times, %d budgets told", asked, n)
		}
		if known := a.attr(EventBudget, "deadline").(time.Duration); known <= assumed {
			t.Errorf("a deadline after %v with the tick, %v without", known, assumed)
		}
	})
}

// The tick is asked for again when the servers did not tell.
func TestTickAskedAgain(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		a := w.candidate("a", func(c *CandidateConfig) { c.TickTime = 0 }, requeue(RequeueAlways))
		a.plan = func(int) fakePlan { return fakePlan{runs: 10 * time.Second} }
		asked := 0
		a.probe = func(context.Context, session) (time.Duration, error) {
			if asked++; asked < 3 {
				return 0, errors.New("not now")
			}
			return 4 * time.Second, nil
		}
		a.begin()
		for i := range 5 {
			a.work(i)
		}
		if a.tick.get() != 2*time.Second || asked != 3 {
			t.Errorf("tick %v after asking %d times", a.tick.get(), asked)
		}
	})
}
