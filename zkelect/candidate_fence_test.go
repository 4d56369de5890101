package zkelect

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// fencer is a candidate that fences by the plan and has not begun.
func (w *fakeWorld) fencer(id string, plan fakePlan, changes ...func(*CandidateConfig)) *fakeCandidate {
	b := w.candidate(id, changes...)
	b.fences(func(int) fakePlan { return plan })
	return b
}

// writesFenced tells whether a request records the success of a fence.
func (w *fakeWorld) writesFenced(r *fakeRequest) bool {
	return r.kind == "multi" && len(r.ops) == 2 && sets(r.ops[1], w.place.side)
}

var fenceRuns = fakePlan{runs: 2 * time.Second}

// The fence runs first, is told who led before, and its success is recorded
// before the work starts.
func TestFenceBeforeTheWork(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		k := w.died("a")
		b := w.fencer("b", fenceRuns)
		b.plan = func(int) fakePlan { return fakePlan{runs: 10 * time.Second, code: 4} }
		b.begin()
		at := b.opened()
		f := b.fence(0)
		within(t, "fence", f.startedAt, at, 10*ms)
		want := Previous{Node: k.term.Node, ID: "a", Session: sessionHex(k.term.Session), Token: k.term.Token, Since: k.term.Since, Lease: takeoverT}
		want.Host, want.PID = self()
		if got := *f.previous; got != want {
			t.Errorf("told of %+v, want %+v", got, want)
		}
		if r := w.record(); len(r.Unclean) != 1 {
			t.Errorf("record while fencing: %s", r.encode())
		}
		next := b.work(0)
		within(t, "start", next.startedAt, f.endedAt, 10*ms)
		if r := w.record(); len(r.Unclean) != 0 || r.Term.Clean || len(b.fenced()) != 1 {
			t.Errorf("record: %s, %d fences", r.encode(), len(b.fenced()))
		}
		f.expect(0, 0)
		if out := b.ended(); out.Cause != CauseExited || !out.Ran || out.Code != 4 || b.err != nil {
			t.Errorf("%+v, %v", out, b.err)
		}
		within(t, "end", next.endedAt, next.startedAt+10*time.Second, 10*ms)
		w.released(next)
	})
}

// Nobody is fenced after a clean end, or where nobody has led before.
func TestFenceNobody(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		b := w.fencer("b", fenceRuns)
		b.plan = func(int) fakePlan { return fakePlan{runs: time.Second} }
		b.begin()
		b.ended()
		c := w.fencer("c", fenceRuns)
		c.begin()
		c.work(0)
		if n := len(b.fenced()) + len(c.fenced()); n != 0 {
			t.Errorf("%d fences", n)
		}
	})
}

// Each of several is fenced by itself, the oldest first, and what succeeded
// stays done when a later one fails. Then nothing is started, whatever the
// requeueing, and the next leader fences what is left.
func TestFenceSeveral(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		for _, id := range []string{"a1", "a2", "a3"} {
			w.died(id)
		}
		b := w.candidate("b", func(c *CandidateConfig) { c.Requeue = RequeueAlways })
		b.fences(func(n int) fakePlan { return fakePlan{runs: time.Second, code: n * 3} })
		b.begin()
		out := b.ended()
		if out.Cause != CauseFenceFailed || out.Ran || b.ran() != 0 || !errors.Is(b.err, ErrFence) || !strings.Contains(b.err.Error(), "exit code 3") || !strings.Contains(b.err.Error(), "a2") {
			t.Errorf("%+v, %v", out, b.err)
		}
		fences := b.fenced()
		if len(fences) != 2 || fences[0].previous.ID != "a1" || fences[1].previous.ID != "a2" || fences[1].startedAt < fences[0].endedAt {
			t.Errorf("%d fences", len(fences))
		}
		w.expectRecord(CauseFenceFailed, true, "a2", "a3")
		if w.live() != "" || len(w.queue()) != 0 {
			t.Error("not released")
		}
		c := w.fencer("c", fenceRuns)
		c.begin()
		c.work(0)
		if f := c.fenced(); len(f) != 2 || f[0].previous.ID != "a2" || f[1].previous.ID != "a3" {
			t.Errorf("%d fences", len(f))
		}
		if r := w.record(); len(r.Unclean) != 0 {
			t.Errorf("record %s", r.encode())
		}
	})
}

// A fence that is killed by somebody else, or that cannot be started, has failed.
func TestFenceFails(t *testing.T) {
	broken := errors.New("no shell")
	for name, plan := range map[string]fakePlan{"killed": {}, "not started": {fails: broken}} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *fakeWorld) {
				w.died("a")
				b := w.fencer("b", plan)
				b.begin()
				if plan.fails == nil {
					f := b.fence(0)
					f.locked(func() { f.end(0, syscall.SIGSEGV) })()
				}
				if out := b.ended(); out.Cause != CauseFenceFailed || out.Ran || b.ran() != 0 || !errors.Is(b.err, ErrFence) || plan.fails != nil && !errors.Is(b.err, broken) {
					t.Errorf("%+v, %v", out, b.err)
				}
				w.expectRecord(CauseFenceFailed, true, "a")
			})
		})
	}
}

// Whatever ends a term ends the fence as it would the work, and what it was for
// stays unclean. The cause is the end's.
func TestFenceEnds(t *testing.T) {
	for name, c := range map[string]struct {
		end          func(*fakeWorld, *fakeCandidate)
		cause        Cause
		stops, kills int
	}{
		"stop":   {func(w *fakeWorld, b *fakeCandidate) { b.Stop(15) }, CauseStopped, 1, 1},
		"kill":   {func(w *fakeWorld, b *fakeCandidate) { b.Kill() }, CauseStopped, -1, 1}, // asked first or not
		"resign": {func(w *fakeWorld, b *fakeCandidate) { w.ask(w.session("r"), b.node(), "") }, CauseResigned, 1, 1},
		"cut":    {func(w *fakeWorld, b *fakeCandidate) { w.cut("b", true) }, CauseLost, 1, 1},
		"lost":   {func(w *fakeWorld, b *fakeCandidate) { w.byHand(remove(w.place.node(b.node()))) }, CauseLost, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *fakeWorld) {
				w.died("a")
				b := w.fencer("b", stubborn)
				b.begin()
				f := b.fence(0)
				time.Sleep(10 * time.Second)
				c.end(w, b)
				out := b.ended()
				if out.Cause != c.cause || out.Ran || b.ran() != 0 || b.err != nil {
					t.Errorf("%+v, %v", out, b.err)
				}
				if name == "stop" && out.Signal != 15 {
					t.Errorf("%+v", out)
				}
				if stops, kills, _, _ := f.said(); c.stops >= 0 && stops != c.stops || kills != c.kills {
					t.Errorf("%d stops, %d kills", stops, kills)
				}
				if r := w.record(); !slices.Contains(r.uncleanIDs(), "a") {
					t.Errorf("record %s", r.encode())
				}
			})
		})
	}
}

// The answer to the record of a success is lost: it is read whether it stands.
func TestFenceRecordUnanswered(t *testing.T) {
	lossesOf(t, func(w *fakeWorld, l fakeLoss) {
		w.died("a")
		b := w.fencer("b", fenceRuns)
		rule := w.on("b", w.writesFenced, fault{loss: l})
		executed := 0
		w.whenExecuted(func(s *fakeSession, r *fakeRequest, a fakeAnswer) {
			if w.writesFenced(r) && a.err == nil {
				executed++
			}
		})
		b.begin()
		k := b.work(0)
		if r := w.record(); len(r.Unclean) != 0 || executed != 1 || rule.left != 0 || len(b.fenced()) != 1 {
			t.Errorf("%d writes, fault left %d, record %s", executed, rule.left, r.encode())
		}
		b.Stop(0)
		b.ended()
		w.released(k)
	})
}

// Others write the record at the same time: a later version, the mark of a request.
func TestFenceRecordContended(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		w.died("a")
		b := w.fencer("b", fenceRuns)
		w.on("b", w.writesFenced, fault{}, func() {
			r, err := parseRecord(w.store.nodes[w.place.side].data, RecipeLatch, "")
			if err != nil {
				t.Error(err)
				return
			}
			r.unknown = map[string]json.RawMessage{"later": json.RawMessage("1")}
			_, err = w.store.multi(0, []any{set(w.place.side, r, -1)})
			if err != nil {
				t.Error(err)
			}
		})
		b.begin()
		k := b.work(0)
		if r := w.record(); len(r.Unclean) != 0 || string(r.unknown["later"]) != "1" {
			t.Errorf("record %s", r.encode())
		}
		b.Stop(0)
		b.ended()
		w.released(k)
	})
}

// The term ends while a success is being recorded: whichever write comes first,
// nothing is started and nothing of the term is left.
func TestFenceRecordAndStop(t *testing.T) {
	for _, f := range []fault{{delay: 500 * ms}, {answer: 500 * ms}, {loss: swallowed}, {loss: silentBefore}} {
		inWorld(t, func(w *fakeWorld) {
			w.died("a")
			b := w.fencer("b", fenceRuns)
			w.on("b", w.writesFenced, f, func() { time.AfterFunc(100*ms, func() { b.Stop(0) }) })
			b.begin()
			if out := b.ended(); out.Cause != CauseStopped || out.Ran || b.ran() != 0 {
				t.Errorf("%+v", out)
			}
			time.Sleep(time.Minute)
			if r := w.record(); !r.Term.Clean && f.loss == answeredLoss || w.live() != "" || len(w.queue()) != 0 {
				t.Errorf("%+v: record %s", f, r.encode())
			}
		})
	}
}

// The record cannot be written any more: the term is lost.
func TestFenceRecordImpossible(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		w.died("a")
		b := w.fencer("b", fenceRuns)
		w.on("b", w.writesFenced, fault{}, func() {
			n := w.store.nodes[w.place.side]
			if _, err := w.store.multi(0, []any{set(w.place.side, (&record{Format: recordFormat, Recipe: "latch"}).open(someTerm("other")), n.version)}); err != nil {
				t.Error(err)
			}
		})
		b.begin()
		if out := b.ended(); out.Cause != CauseLost || out.Ran {
			t.Errorf("%+v", out)
		}
	})
}

// What a fence leaves behind is dead before anything else is started, after a
// success and after a failure.
func TestFenceLeftover(t *testing.T) {
	for _, code := range []int{0, 1} {
		inWorld(t, func(w *fakeWorld) {
			w.died("a")
			b := w.fencer("b", fakePlan{runs: time.Second, code: code, leaves: true, stopTakes: -1, killTakes: 10 * ms})
			b.begin()
			f := b.fence(0)
			f.dead()
			within(t, "death", f.endedAt, f.startedAt+6*time.Second, 20*ms)
			f.expect(1, 1)
			if code != 0 {
				if out := b.ended(); out.Cause != CauseFenceFailed {
					t.Errorf("%+v", out)
				}
				w.expectRecord(CauseFenceFailed, true, "a")
				return
			}
			k := b.work(0)
			within(t, "start", k.startedAt, f.endedAt, 20*ms)
			b.Stop(0)
			b.ended()
			k.expect(1, 0)
			w.released(k)
		})
	}
}

// What was fenced needs no waiting for. The fence does not wait either.
func TestFenceAndTakeoverDelay(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		w.known()
		w.died("a")
		b := w.fencer("b", fenceRuns, auto)
		b.begin()
		at := b.opened()
		within(t, "fence", b.fence(0).startedAt, at, 10*ms)
		within(t, "start", b.work(0).startedAt, b.fence(0).endedAt, 10*ms)
		if n, _ := b.event(EventTakeover); n != 0 {
			t.Error("told of a wait")
		}
	})
}

// A missing record cannot be fenced: it is waited for.
func TestFenceAndMissingRecord(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		w.died("a")
		b := w.fencer("b", fenceRuns, auto)
		b.begin()
		at := b.opened()
		within(t, "start", b.work(0).startedAt, at+takeoverWait, 10*ms)
		if len(b.fenced()) != 1 {
			t.Errorf("%d fences", len(b.fenced()))
		}
		takeovers, _ := b.event(EventTakeover)
		missing, _ := b.event(EventMissing)
		if takeovers != 0 || missing != 1 {
			t.Errorf("told %d and %d times", takeovers, missing)
		}
	})
}

// Nobody fences a term of its own whose work it has seen dead.
func TestFenceOfOwnTerm(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		b := w.fencer("b", fenceRuns, func(c *CandidateConfig) { c.Requeue = RequeueLost })
		b.begin()
		k := b.work(0)
		w.cut("b", true)
		k.dead()
		b.awaitEvent(EventUnreleased)
		w.heal("b")
		b.work(1)
		if len(b.fenced()) != 0 {
			t.Errorf("%d fences", len(b.fenced()))
		}
	})
}

// The opening's answer is lost: what is carried is read with the term.
func TestFenceAfterUnansweredOpening(t *testing.T) {
	lossesOf(t, func(w *fakeWorld, l fakeLoss) {
		w.died("a")
		b := w.fencer("b", fenceRuns)
		w.on("b", w.opening, fault{loss: l})
		b.begin()
		b.work(0)
		if f := b.fenced(); len(f) != 1 || f[0].previous.ID != "a" {
			t.Errorf("%d fences", len(f))
		}
	})
}

// The side node goes while the fence runs: live goes with it, and the term.
func TestFenceWithoutSideNode(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		w.died("a")
		b := w.fencer("b", stubborn)
		b.begin()
		f := b.fence(0)
		w.byHand(remove(w.place.live), remove(w.place.requests), remove(w.place.transfer), remove(w.place.side))
		if out := b.ended(); out.Cause != CauseLost || out.Ran {
			t.Errorf("%+v", out)
		}
		f.expect(0, 1)
	})
}
