package zkelect

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Interrupt ends this term, as a request to resign does, and no other.
func TestInterrupt(t *testing.T) {
	for name, requeue := range map[string]Requeue{"never": RequeueNever, "lost": RequeueLost, "always": RequeueAlways} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *fakeWorld) {
				a, k := w.lead("a", fakePlan{stopTakes: 2 * time.Second}, func(c *CandidateConfig) { c.Requeue = requeue })
				b := w.wait("b")
				if b.Interrupt() {
					t.Error("a wait was interrupted")
				}
				if !a.HasLeadership() || b.HasLeadership() {
					t.Errorf("a leads %v, b leads %v", a.HasLeadership(), b.HasLeadership())
				}
				at := w.now()
				if !a.Interrupt() || a.Interrupt() {
					t.Error("not once")
				}
				if a.HasLeadership() {
					t.Error("leads after the call")
				}
				next := b.work(0)
				within(t, "takeover", next.startedAt, at+2*time.Second, 50*ms)
				k.expect(1, 0)
				if r := w.record(); r.Last.Cause != CauseResigned {
					t.Errorf("record %s", r.encode())
				}
				if requeue == RequeueNever {
					if out := a.ended(); out.Cause != CauseResigned || !out.Ran || a.err != nil {
						t.Errorf("%+v, %v", out, a.err)
					}
					if a.Interrupt() || a.Node() != "" {
						t.Errorf("after the end: node %q", a.Node())
					}
					return
				}
				w.until("in the queue again", func() bool { return a.Node() != "" && a.Node() != k.term.Node })
				b.Stop(0)
				again := a.work(1)
				time.Sleep(time.Minute)
				again.expect(0, 0)
			})
		})
	}
}

// A work that obeys no Stop is killed after its grace.
func TestInterruptStubborn(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		a, k := w.lead("a", stubborn)
		at := w.now()
		a.Interrupt()
		if out := a.ended(); out.Cause != CauseResigned {
			t.Errorf("%+v", out)
		}
		k.expect(1, 1)
		_, _, _, kill := k.said()
		within(t, "kill", kill, at+5*time.Second, ms)
	})
}

// A term that has no work yet ends at once.
func TestInterruptBeforeTheWork(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		w.died("x")
		a := w.run("a", func(c *CandidateConfig) { c.TakeoverDelay = TakeoverAuto })
		a.opened()
		time.Sleep(time.Second)
		if a.HasLeadership() {
			t.Error("leads while it waits for a term before")
		}
		a.Interrupt()
		if out := a.ended(); out.Cause != CauseResigned || out.Ran {
			t.Errorf("%+v", out)
		}
	})
}

// A candidate leads from the start of its work, as that sees it too, until it is
// asked to stop.
func TestHasLeadershipDuringTheWork(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		a := w.candidate("a")
		saw := make(chan bool, 3)
		out, err := a.Run(context.Background(), WorkFunc(func(ctx context.Context, _ Term) error {
			saw <- a.HasLeadership()
			time.AfterFunc(time.Minute, func() { a.Stop(0); saw <- a.HasLeadership() })
			<-ctx.Done()
			time.Sleep(time.Second)
			saw <- a.HasLeadership()
			return nil
		}))
		if one, two, three := <-saw, <-saw, <-saw; !one || two || three {
			t.Error(one, two, three)
		}
		if out.Cause != CauseStopped || err != nil || a.HasLeadership() {
			t.Errorf("%+v, %v", out, err)
		}
	})
}

// stopAsks is a work that looks, as it is told anything, whether its candidate leads.
type stopAsks struct {
	*fakeWork
	asked func()
}

func (s stopAsks) Stop()   { s.asked(); s.fakeWork.Stop() }
func (s stopAsks) Kill()   { s.asked(); s.fakeWork.Kill() }
func (s stopAsks) Freeze() { s.asked(); s.fakeWork.Freeze() }

// However leadership ends, it is over before the work hears of it.
func TestHasLeadershipEndsBeforeTheStop(t *testing.T) {
	cut := func(w *fakeWorld, _ *fakeCandidate) { w.cut("a", false) }
	for name, test := range map[string]struct {
		end       func(*fakeWorld, *fakeCandidate)
		loss      string
		onSuspend OnSuspend
	}{
		"request":   {end: func(w *fakeWorld, a *fakeCandidate) { w.ask(w.session("asks"), a.node(), "") }},
		"interrupt": {end: func(_ *fakeWorld, a *fakeCandidate) { a.Interrupt() }},
		"stop":      {end: func(_ *fakeWorld, a *fakeCandidate) { a.Stop(0) }},
		"kill":      {end: func(_ *fakeWorld, a *fakeCandidate) { a.Kill() }},
		"lease":     {end: func(w *fakeWorld, _ *fakeCandidate) { w.cut("a", true) }, loss: "lease"},
		"node":      {end: func(w *fakeWorld, a *fakeCandidate) { w.byHand(remove(w.place.node(a.node()))) }, loss: "node"},
		"suspended": {end: cut, loss: "suspended", onSuspend: SuspendKill},
		"frozen":    {end: cut, loss: "lease", onSuspend: SuspendFreeze},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *fakeWorld) {
				a := w.candidate("a", onSuspend(test.onSuspend))
				asked := false
				a.wrap = func(k *fakeWork) Work {
					return stopAsks{k, func() {
						if asked = true; a.HasLeadership() {
							t.Error("leads while it is asked to stop")
						}
					}}
				}
				a.begin()
				a.work(0)
				time.Sleep(time.Minute)
				if !a.HasLeadership() {
					t.Error("does not lead")
				}
				if stop, end := a.LeaseLeft(); stop <= 0 || end <= stop {
					t.Errorf("the stop begins in %v, the lease is over in %v", stop, end)
				}
				test.end(w, a)
				if a.ended(); !asked {
					t.Error("never asked")
				}
				if stop, end := a.LeaseLeft(); stop != 0 || end != 0 {
					t.Errorf("left of no lease: %v, %v", stop, end)
				}
				var losses []string
				for _, e := range a.events { // nothing is told any more
					if e.Kind == EventLost {
						losses = append(losses, e.Attr("loss").String())
					}
				}
				if got := strings.Join(losses, " "); got != test.loss {
					t.Errorf("lost by %q, want %q", got, test.loss)
				}
			})
		})
	}
}

// A candidate that cannot freeze its work does not lead without a connection.
func TestHasLeadershipWhileFrozen(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		a, _ := w.lead("a", fakePlan{}, onSuspend(SuspendFreeze))
		time.Sleep(time.Minute)
		w.cut("a", false)
		a.awaitEvent(EventFrozen)
		synctest.Wait()
		if a.HasLeadership() {
			t.Error("leads while it stands still")
		}
		w.heal("a")
		w.until("leads again", a.HasLeadership)
	})
}

// Run once more is one more turn, at the back of the queue; never two at once.
func TestRunAgain(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		a := w.candidate("a")
		turn := WorkFunc(func(context.Context, Term) error { time.Sleep(time.Minute); return nil })
		go func() {
			time.Sleep(time.Second)
			if _, err := a.Run(context.Background(), turn); !errors.Is(err, ErrConfig) {
				t.Error(err)
			}
		}()
		var last int64
		for range 3 {
			out, err := a.Run(context.Background(), WorkFunc(func(_ context.Context, term Term) error {
				if term.Token <= last {
					t.Errorf("token %x after %x", term.Token, last)
				}
				last = term.Token
				time.Sleep(time.Minute)
				return nil
			}))
			if out.Cause != CauseExited || err != nil || a.Node() != "" || a.node() != "" {
				t.Errorf("%+v, %v, node %q", out, err, a.Node())
			}
		}
		a.Stop(0)
		if out, err := a.Run(context.Background(), turn); out.Cause != CauseStopped || err != nil {
			t.Errorf("after Stop: %+v, %v", out, err)
		}
	})
}

// The connect timeout is for the first connection of each Run.
func TestRunAgainWithoutServers(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		a := w.candidate("a", func(c *CandidateConfig) { c.ConnectTimeout = 10 * time.Second })
		turn := WorkFunc(func(context.Context, Term) error { return nil })
		if out, err := a.Run(context.Background(), turn); out.Cause != CauseExited || err != nil {
			t.Errorf("%+v, %v", out, err)
		}
		w.cut("a", false)
		at := w.now()
		if out, err := a.Run(context.Background(), turn); out.Cause != CauseError || !errors.Is(err, ErrUnreachable) {
			t.Errorf("%+v, %v", out, err)
		}
		within(t, "time-out", w.now(), at+10*time.Second, time.Second)
	})
}

func TestWorkFunc(t *testing.T) {
	broken := errors.New("broken")
	for name, test := range map[string]struct {
		f    func(context.Context) error
		out  Outcome
		stop bool
	}{
		"returns":         {f: func(context.Context) error { return nil }, out: Outcome{Cause: CauseExited, Ran: true}},
		"fails":           {f: func(context.Context) error { return broken }, out: Outcome{Cause: CauseExited, Ran: true, Code: 1, Err: broken}},
		"stopped":         {f: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, out: Outcome{Cause: CauseStopped, Ran: true}, stop: true},
		"fails stopped":   {f: func(ctx context.Context) error { <-ctx.Done(); return broken }, out: Outcome{Cause: CauseStopped, Ran: true, Code: 1, Err: broken}, stop: true},
		"not its context": {f: func(context.Context) error { return context.Canceled }, out: Outcome{Cause: CauseExited, Ran: true, Code: 1, Err: context.Canceled}},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *fakeWorld) {
				a := w.candidate("a")
				if test.stop {
					time.AfterFunc(time.Minute, func() { a.Stop(0) })
				}
				out, err := a.Run(context.Background(), WorkFunc(func(ctx context.Context, term Term) error {
					if term.ID != "a" || term.Token == 0 {
						t.Errorf("%+v", term)
					}
					return test.f(ctx)
				}))
				if out != test.out || err != nil {
					t.Errorf("%+v, %v; want %+v", out, err, test.out)
				}
			})
		})
	}
}

// Work that does not return keeps the next one waiting for as long as the lease
// is renewed, and is asked in time where that ends.
func TestWorkFuncHoldsTheTerm(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		a := w.candidate("a")
		over := make(chan time.Duration, 1)
		go a.Run(context.Background(), WorkFunc(func(ctx context.Context, _ Term) error {
			<-ctx.Done()
			time.Sleep(time.Minute) // far more than its grace
			over <- w.now()
			return nil
		}))
		w.until("a leads", a.HasLeadership)
		b := w.wait("b")
		a.Interrupt()
		k := b.work(0)
		within(t, "takeover", k.startedAt, <-over, 20*ms)
	})
}
