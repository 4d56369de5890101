package zkelect

import (
	"testing"
	"time"
)

// A closing whose answer is lost is resolved by reading: nothing is left of the
// term, it is closed once, and the next leader has not to wait for an expiry.
func TestClosingUnanswered(t *testing.T) {
	lossesOf(t, func(w *fakeWorld, l fakeLoss) {
		a, k := w.lead("a", fakePlan{runs: 30 * time.Second, code: 4})
		b := w.wait("b")
		rule := w.on("a", w.closing, fault{loss: l})
		if out := a.ended(); out.Cause != CauseExited || out.Code != 4 || a.err != nil {
			t.Errorf("%+v, %v", out, a.err)
		}
		next := b.work(0)
		w.released(k)
		if r := w.record(); rule.left != 0 || w.closings != 1 || r.Last.ID != "a" || *r.Last.ExitCode != 4 {
			t.Errorf("fault left %d, %d closings, record %s", rule.left, w.closings, r.encode())
		}
		if took := next.startedAt - k.endedAt; took > 5*time.Second {
			t.Errorf("b took over after %v", took)
		}
	})
}

// What others deleted while the work ended is closed without.
func TestClosingAfterOthersMeddled(t *testing.T) {
	for name, meddle := range map[string]func(w *fakeWorld, k *fakeWork) []any{
		"queue node gone": func(w *fakeWorld, k *fakeWork) []any { return []any{remove(k.term.Node)} },
		"live gone":       func(w *fakeWorld, k *fakeWork) []any { return []any{remove(w.place.live)} },
		"both gone":       func(w *fakeWorld, k *fakeWork) []any { return []any{remove(k.term.Node), remove(w.place.live)} },
		"record without us": func(w *fakeWorld, k *fakeWork) []any {
			return []any{set(w.place.side, &record{Format: recordFormat, Recipe: "latch"}, -1)}
		},
		"side node gone": func(w *fakeWorld, k *fakeWork) []any {
			return []any{remove(w.place.live), remove(w.place.requests), remove(w.place.transfer), remove(w.place.side)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *fakeWorld) {
				a, k := w.lead("a", fakePlan{runs: 30 * time.Second})
				b := w.wait("b")
				w.on("a", w.closing, fault{}, func() {
					if _, err := w.store.multi(0, meddle(w, k)); err != nil {
						t.Error(err)
					}
					w.committed(nil, nil)
				})
				if out := a.ended(); out.Cause != CauseExited || a.err != nil {
					t.Errorf("%+v, %v", out, a.err)
				}
				next := b.work(0)
				if took := next.startedAt - k.endedAt; took > 5*time.Second {
					t.Errorf("b took over after %v", took)
				}
				if name == "queue node gone" || name == "live gone" { // with both gone, b may be the first to write
					w.released(k)
				}
			})
		})
	}
}

// The queue node is deleted by hand in the middle of a term: the work is
// killed, the term closed without the queue node, and live goes with it.
func TestQueueNodeDeletedInTheTerm(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		a, k := w.lead("a", fakePlan{killTakes: 200 * ms}, func(c *CandidateConfig) { c.Requeue = RequeueLost })
		time.Sleep(time.Minute)
		w.byHand(remove(k.term.Node))
		again := a.work(1)
		w.released(k)
		if again.term.Session != k.term.Session || again.term.Token <= k.term.Token || w.closings != 1 {
			t.Errorf("%+v after %+v, %d closings", again.term, k.term, w.closings)
		}
		if r := w.record(); len(r.Unclean) != 0 || r.Last.Cause != CauseLost {
			t.Errorf("record %s", r.encode())
		}
	})
}

// Where the closing cannot be said, the session is given up, and no second one
// of the same candidate runs anything before it has expired. Its next opening
// says how the term ended: its work was dead.
func TestClosingWhileCutOff(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		a, k := w.lead("a", fakePlan{runs: 30 * time.Second, code: 1}, func(c *CandidateConfig) { c.Requeue = RequeueAlways })
		w.on("a", w.closing, fault{loss: silentBefore}, func() { w.cuts["a"] = true })
		a.awaitEvent(EventUnreleased)
		time.Sleep(3 * time.Second)
		w.heal("a")
		again := a.work(1)
		if again.term.Session == k.term.Session || !w.sessions[0].gone {
			t.Errorf("session %x after %x, which is gone: %v", again.term.Session, k.term.Session, w.sessions[0].gone)
		}
		if r := w.record(); len(r.Unclean) != 0 || r.Last.Cause != CauseExited || *r.Last.ExitCode != 1 {
			t.Errorf("record %s", r.encode())
		}
	})
}

// A second signal does not wait for servers.
func TestKillDuringTheClosing(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		a, _ := w.lead("a", fakePlan{})
		w.on("a", w.closing, fault{loss: silentBefore})
		at := w.now()
		a.Stop(0)
		time.Sleep(100 * ms)
		a.Kill()
		a.ended()
		if took := w.now() - at; took > 2*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// A term that waits out what came before it, in full, clears that; a shorter
// one carries it on.
func TestUncleanCarried(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		_, k := w.lead("a", fakePlan{})
		b := w.candidate("b")
		b.plan = func(int) fakePlan { return fakePlan{runs: 20 * time.Second} }
		b.begin()
		b.awaitEvent(EventWaiting)
		c := w.candidate("c")
		c.plan = func(int) fakePlan { return fakePlan{runs: 31 * time.Second} }
		c.begin()
		c.awaitEvent(EventWaiting)
		w.cut("a", true)
		k.dead()
		b.ended()
		if r := w.record(); len(r.Unclean) != 1 || r.Unclean[0].Node != k.name() {
			t.Errorf("after the shorter term: %s", r.encode())
		}
		c.ended()
		if r := w.record(); len(r.Unclean) != 0 || r.Last.ID != "c" {
			t.Errorf("after the longer term: %s", r.encode())
		}
	})
}

// Work that does not die keeps its leadership, for as long as that takes, and it is
// told what is left of it.
func TestUnkillableWorkKeepsLeadership(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		a, k := w.lead("a", fakePlan{stopTakes: -1, killTakes: 5 * time.Minute})
		b := w.wait("b")
		a.Kill()
		time.Sleep(4 * time.Minute)
		if n, at := a.event(EventUnkilled); n != 1 {
			t.Errorf("told %d times what is left, at %v", n, at)
		}
		if b.ran() != 0 {
			t.Error("another leads beside it")
		}
		a.ended()
		if next := b.work(0); next.startedAt < k.endedAt {
			t.Error("the next began before its death")
		}
	})
}
