package zkelect

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
)

const (
	takeoverT    = 30 * time.Second  // what the fake servers grant
	takeoverWait = takeoverT + 60*ms // by both clocks' rates
)

func auto(c *CandidateConfig) { c.TakeoverDelay = TakeoverAuto }

// died leads and comes to no clean end; it returns when its work is dead. Its
// session lives on for some seconds.
func (w *fakeWorld) died(id string) *fakeWork {
	w.t.Helper()
	_, k := w.lead(id, fakePlan{})
	w.cut(id, true)
	k.dead()
	return k
}

// known sees to it that the record is missing no more: somebody has led, and has
// waited.
func (w *fakeWorld) known() {
	w.t.Helper()
	z := w.candidate("z", auto)
	z.plan = func(int) fakePlan { return fakePlan{runs: time.Second} }
	z.begin()
	z.ended()
	w.expectRecord(CauseExited, false)
}

// opened is when the candidate's term was opened.
func (c *fakeCandidate) opened() time.Duration {
	c.w.t.Helper()
	c.awaitEvent(EventLeading)
	_, at := c.event(EventLeading)
	return at
}

// attr is an attribute of the candidate's last event of a kind.
func (c *fakeCandidate) attr(k Kind, key string) (value any) {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	for _, e := range c.events {
		for _, a := range e.Attrs {
			if e.Kind == k && a.Key == key {
				value = a.Value.Any()
			}
		}
	}
	return value
}

func (r *record) uncleanIDs() (ids []string) {
	for _, u := range r.Unclean {
		ids = append(ids, u.ID)
	}
	return ids
}

// expectRecord compares what is carried.
func (w *fakeWorld) expectRecord(cause Cause, missing bool, unclean ...string) {
	w.t.Helper()
	r := w.record()
	if !slices.Equal(r.uncleanIDs(), unclean) || r.Missing != missing || !r.Term.Clean || r.Last == nil || r.Last.Cause != cause {
		w.t.Errorf("want %s, missing %v, unclean %v; record %s", cause, missing, unclean, r.encode())
	}
}

// The longer of the delay and the leases of the terms without a clean end, from
// the moment the candidate saw itself first. Meanwhile the lease is renewed.
func TestTakeoverDelayWaits(t *testing.T) {
	for delay, wait := range map[time.Duration]time.Duration{
		0:                0,
		TakeoverAuto:     takeoverWait,
		5 * time.Second:  takeoverWait,
		90 * time.Second: 90 * time.Second,
	} {
		t.Run(delay.String(), func(t *testing.T) {
			inWorld(t, func(w *fakeWorld) {
				w.known()
				k := w.died("a")
				w.mu.Lock()
				w.timeout = 20 * time.Second // what counts is the lease of the term before
				w.mu.Unlock()
				b := w.run("b", func(c *CandidateConfig) { c.TakeoverDelay = delay })
				at := b.opened()
				if wait > 0 {
					time.Sleep(wait - time.Second)
					within(t, "last check", w.current("b").lastGood(), w.now(), 2*time.Second+10*ms)
				}
				within(t, "start", b.work(0).startedAt, at+wait, 10*ms)
				if n, told := b.event(EventTakeover); wait == 0 && n != 0 || wait > 0 && (n != 1 || told > at+10*ms) {
					t.Errorf("told %d times", n)
				} else if wait > 0 && fmt.Sprint(b.attr(EventTakeover, "unclean"), b.attr(EventTakeover, "delay")) != fmt.Sprint([]string{"a"}, wait) {
					t.Errorf("told of %v and %v", b.attr(EventTakeover, "unclean"), b.attr(EventTakeover, "delay"))
				}
				if r := w.record(); len(r.Unclean) != 1 || r.Unclean[0].Node != k.name() || r.Unclean[0].Token != k.term.Token {
					t.Errorf("record %s", r.encode())
				}
				b.Stop(0)
				b.ended()
				if wait == 0 { // and no term was long enough
					w.expectRecord(CauseStopped, false, "a")
				} else {
					w.expectRecord(CauseStopped, false)
				}
			})
		})
	}
}

// After a clean end nobody waits.
func TestTakeoverAfterCleanEnd(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		_, k := w.lead("a", fakePlan{runs: time.Minute})
		b := w.wait("b", auto)
		within(t, "takeover", b.work(0).startedAt, k.dead(), 20*ms)
	})
}

// Without a record nobody knows who led before: the first waits as long as its
// own lease, the next one not any more.
func TestTakeoverMissingRecord(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		a := w.candidate("a", auto)
		a.plan = func(int) fakePlan { return fakePlan{runs: time.Second} }
		a.begin()
		at := a.opened()
		within(t, "start", a.work(0).startedAt, at+takeoverWait, 10*ms)
		a.ended()
		if n, _ := a.event(EventMissing); n != 1 {
			t.Errorf("told %d times", n)
		}
		w.expectRecord(CauseExited, false)
		b := w.run("b", auto)
		within(t, "start of the next", b.work(0).startedAt, b.opened(), 10*ms)
		if n, _ := b.event(EventMissing); n != 0 {
			t.Error("told again")
		}
	})
}

// A term that started nothing clears nothing, however long it was: what it
// carried, a missing record too, is for the next one to wait out in full.
func TestTakeoverChildlessClearsNothing(t *testing.T) {
	for _, missing := range []bool{true, false} {
		t.Run(fmt.Sprint("missing ", missing), func(t *testing.T) {
			inWorld(t, func(w *fakeWorld) {
				carried := []string{"a"}
				if missing {
					carried = nil
				} else {
					w.died("a")
				}
				b := w.run("b", func(c *CandidateConfig) { c.TakeoverDelay = 3 * time.Minute })
				b.opened()
				time.Sleep(2 * time.Minute)
				b.Stop(15)
				if out := b.ended(); out.Cause != CauseStopped || out.Ran || out.Signal != 15 || b.err != nil {
					t.Errorf("%+v, %v", out, b.err)
				}
				w.expectRecord(CauseStopped, true, carried...)
				c := w.run("c", auto)
				at := c.opened()
				within(t, "start", c.work(0).startedAt, at+takeoverWait, 10*ms)
			})
		})
	}
}

// What ends a term ends the wait, and nothing is started.
func TestTakeoverWaitEnds(t *testing.T) {
	for name, c := range map[string]struct {
		end   func(*fakeWorld, *fakeCandidate)
		cause Cause
	}{
		"stop": {func(w *fakeWorld, b *fakeCandidate) { b.Stop(0) }, CauseStopped},
		"kill": {func(w *fakeWorld, b *fakeCandidate) { b.Kill() }, CauseStopped},
		"resign": {func(w *fakeWorld, b *fakeCandidate) {
			w.ask(w.session("r"), b.node(), "")
		}, CauseResigned},
		"queue node": {func(w *fakeWorld, b *fakeCandidate) { w.byHand(remove(w.place.node(b.node()))) }, CauseLost},
		"live":       {func(w *fakeWorld, b *fakeCandidate) { w.byHand(remove(w.place.live)) }, CauseLost},
		"cut":        {func(w *fakeWorld, b *fakeCandidate) { w.cut("b", true) }, CauseLost},
		"expiry": {func(w *fakeWorld, b *fakeCandidate) {
			s := w.current("b")
			w.mu.Lock()
			w.early = true
			w.expire(s)
			w.mu.Unlock()
		}, CauseLost},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *fakeWorld) {
				w.died("a")
				b := w.run("b", auto)
				b.opened()
				time.Sleep(10 * time.Second)
				c.end(w, b)
				if out := b.ended(); out.Cause != c.cause || out.Ran || b.ran() != 0 || b.err != nil {
					t.Errorf("%+v, %v", out, b.err)
				}
				if r := w.record(); !slices.Contains(r.uncleanIDs(), "a") {
					t.Errorf("record %s", r.encode())
				}
			})
		})
	}
}

// Who queues again waits again in full.
func TestTakeoverRequeueRestarts(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		w.died("a")
		b := w.run("b", auto, func(c *CandidateConfig) { c.Requeue = RequeueLost })
		b.opened()
		time.Sleep(25 * time.Second)
		w.byHand(remove(w.place.node(b.node())))
		w.until("the second term", func() bool { n, _ := b.event(EventLeading); return n == 2 })
		_, at := b.event(EventLeading)
		within(t, "start", b.work(0).startedAt, at+takeoverWait, 10*ms)
	})
}

// A connection that is lost and comes back does not lengthen the wait.
func TestTakeoverSuspendedMeanwhile(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		w.died("a")
		b := w.run("b", auto)
		at := b.opened()
		time.Sleep(10 * time.Second)
		w.cut("b", true)
		time.Sleep(5 * time.Second)
		w.heal("b")
		within(t, "start", b.work(0).startedAt, at+takeoverWait, 10*ms)
	})
}

// The wait counts from the moment the candidate saw itself first, not from the
// opening: here the live of the leader before held that up.
func TestTakeoverCountsFromFirst(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		_, k := w.lead("a", fakePlan{})
		b := w.wait("b", auto)
		w.cut("a", true)
		w.byHand(remove(k.term.Node))
		at := w.now()
		b.awaitEvent(EventBlocked)
		if opened := b.opened(); opened-at < 20*time.Second {
			t.Fatalf("opened after %v", opened-at)
		}
		within(t, "start", b.work(0).startedAt, at+takeoverWait, 20*ms)
	})
}

// The servers end a session at once, and its client, which is cut off, lets its
// work run until its lease is over: the next leader's starts later.
func TestTakeoverSessionEndedEarly(t *testing.T) {
	for _, lost := range []fakeLoss{answeredLoss, lostAfter, silentAfter} {
		t.Run(fmt.Sprint("opening ", lost), func(t *testing.T) {
			inWorld(t, func(w *fakeWorld) {
				w.early, w.proof = true, true
				_, k := w.lead("a", stubborn, auto)
				b := w.wait("b", auto)
				w.on("b", w.opening, fault{loss: lost})
				w.cut("a", true)
				w.mu.Lock()
				w.expire(w.sessions[0])
				w.mu.Unlock()
				at := w.now()
				next := b.work(0)
				if k.dead() > next.startedAt {
					t.Errorf("dead at %v, next at %v", k.endedAt, next.startedAt)
				}
				within(t, "start", next.startedAt, at+takeoverWait, 3*time.Second)
			})
		})
	}
}

// A leader that could not say how its term ended says it with its next opening:
// its work is dead, so it waits for nobody.
func TestTakeoverOfOwnTerm(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		b := w.candidate("b", auto, func(c *CandidateConfig) { c.Requeue = RequeueLost })
		b.begin()
		k := b.work(0)
		w.cut("b", true)
		k.dead()
		b.awaitEvent(EventUnreleased)
		w.heal("b")
		again := b.work(1)
		_, at := b.event(EventLeading)
		within(t, "start", again.startedAt, at, 10*ms)
		if r := w.record(); len(r.Unclean) != 0 || r.Last.Cause != CauseLost || r.Last.ID != "b" {
			t.Errorf("record %s", r.encode())
		}
	})
}

// The same where another leader has carried it meanwhile.
func TestTakeoverOfOwnTermCarried(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		a := w.candidate("a", func(c *CandidateConfig) { c.Requeue = RequeueLost })
		a.begin()
		a.work(0)
		b := w.candidate("b")
		b.plan = func(int) fakePlan { return fakePlan{runs: 5 * time.Second} }
		b.begin()
		b.awaitEvent(EventWaiting)
		w.cut("a", true)
		b.work(0)
		if r := w.record(); len(r.Unclean) != 1 {
			t.Errorf("record %s", r.encode())
		}
		w.heal("a")
		a.work(1)
		if r := w.record(); len(r.Unclean) != 0 || r.Last.ID != "b" || r.Last.Cause != CauseExited {
			t.Errorf("record %s", r.encode())
		}
	})
}

// The side node is deleted by hand, and with it all that was known.
func TestTakeoverSideNodeDeleted(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		a, _ := w.lead("a", fakePlan{}, func(c *CandidateConfig) { c.StopTimeout = 0 })
		time.Sleep(time.Minute)
		w.byHand(remove(w.place.live), remove(w.place.requests), remove(w.place.transfer), remove(w.place.side))
		a.ended()
		b := w.run("b", auto)
		at := b.opened()
		within(t, "start", b.work(0).startedAt, at+takeoverWait, 10*ms)
	})
}

// Longer than any clock counts is not the same as no wait.
func TestTakeoverForEver(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		w.make(w.place.side)
		garbage := someTerm("x")
		garbage.Lease = 1 << 62
		nameless := termRecord{ID: "\x1b[2J", Lease: -7}
		w.byHand(set(w.place.side, &record{Format: recordFormat, Recipe: "latch", Term: &garbage, Unclean: []termRecord{nameless}}, -1))
		w.byHand(create(w.place.requests, "", zk.FlagPersistent), create(w.place.transfer, "", zk.FlagPersistent))
		b := w.run("b", func(c *CandidateConfig) { c.TakeoverDelay = never })
		b.opened()
		time.Sleep(time.Hour)
		if b.ran() != 0 {
			t.Error("started")
		}
		b.Stop(0)
		b.ended()
		c := w.run("c", auto)
		c.opened()
		time.Sleep(time.Hour) // of the day that a lease is at most
		if c.ran() != 0 {
			t.Error("started")
		}
	})
}
