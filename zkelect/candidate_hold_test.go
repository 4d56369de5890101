package zkelect

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
)

// hold holds the election, as a resigner that lives on, and returns its request.
func (w *fakeWorld) hold(h HoldConfig) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.holds(h.record())
}

func (w *fakeWorld) unhold() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.holds(nil)
}

// asksTime is the multi that tells the servers' time.
func asksTime(r *fakeRequest) bool {
	op, ok := r.ops, len(r.ops) == 3
	if !ok {
		return false
	}
	c, ok := op[0].(*zk.CreateRequest)
	return ok && strings.Contains(c.Path, "/clock-")
}

// eachFamily runs a test with nodes in a queue, and with one for all.
func eachFamily(t *testing.T, test func(*fakeWorld)) {
	for _, r := range []Recipe{RecipeLatch, RecipePlain} {
		t.Run(r.String(), func(t *testing.T) { inWorldOf(t, r, test) })
	}
}

// waitsHeld makes sure that the candidate has told of the hold, and starts nothing.
func (c *fakeCandidate) waitsHeld() {
	c.w.t.Helper()
	c.awaitEvent(EventHeld)
	time.Sleep(3 * time.Minute)
	if n, _ := c.event(EventHeld); n != 1 || c.ran() != 0 {
		c.w.t.Errorf("told %d times of the hold, started %d works", n, c.ran())
	}
}

// A hold that is written between the reading of the record and the opening keeps
// that from being executed; so does one that is replaced. Its end goes on at once.
func TestHoldBeforeTheOpening(t *testing.T) {
	eachFamily(t, func(w *fakeWorld) {
		w.on("a", w.opening, fault{}, func() { w.holds(HoldConfig{Reason: "why"}.record()) })
		a := w.run("a")
		a.waitsHeld()
		if w.openings != 0 || a.node() == "" {
			t.Errorf("%d openings, node %q", w.openings, a.node())
		}
		w.hold(HoldConfig{For: time.Hour})
		w.until("the new hold is told", func() bool { n, _ := a.event(EventHeld); return n == 2 })
		w.unhold()
		at := w.now()
		if k := a.work(0); k.startedAt-at > 100*ms {
			t.Errorf("started %v after the end of the hold", k.startedAt-at)
		}
		if n, _ := a.event(EventHoldOver); n != 1 {
			t.Errorf("told %d times of the end", n)
		}
	})
}

// The end of a hold is by the servers' clock, however fast the own one is, and
// whatever becomes of the question.
func TestHoldEndsByTheServersClock(t *testing.T) {
	for _, rate := range []time.Duration{1, 3} {
		for _, l := range []fakeLoss{answeredLoss, lostBefore, lostAfter, silentBefore, silentAfter, swallowed} {
			t.Run(fmt.Sprintf("own clock %d times as fast, loss %d", rate, l), func(t *testing.T) {
				inWorld(t, func(w *fakeWorld) {
					a := w.candidate("a")
					a.Candidate.now = func() time.Duration { return time.Hour + rate*(w.now()-time.Hour) }
					w.make("/jobs", w.place.side)
					w.mu.Lock()
					side := w.store.nodes[w.place.side]
					side.data = (&record{Format: recordFormat, Recipe: RecipeLatch.String()}).encode()
					w.store.nodes[w.place.side] = side
					w.mu.Unlock()
					w.make(w.place.requests, w.place.transfer)
					w.hold(HoldConfig{For: time.Hour})
					end := w.now() + time.Hour
					for range 3 {
						w.on("a", asksTime, fault{loss: l})
					}
					a.begin()
					late := 100 * ms
					if l != answeredLoss {
						late = w.timeout
					}
					time.Sleep(59 * time.Minute) // until has an end
					if k := a.work(0); k.startedAt < end || k.startedAt > end+late {
						t.Errorf("started %v after the end of the hold", k.startedAt-end)
					}
					if w.record().Hold != nil {
						t.Error("the hold is still in the record")
					}
				})
			})
		}
	}
}

// The term ends though the holder dies in the instant of its write, and though the
// leader hears of it late.
func TestHoldEndsTheTerm(t *testing.T) {
	for name, cut := range map[string]bool{"connected": false, "cut off": true} {
		t.Run(name, func(t *testing.T) {
			eachFamily(t, func(w *fakeWorld) {
				a, k := w.lead("a", fakePlan{stopTakes: time.Second}, func(c *CandidateConfig) { c.Requeue = RequeueLost })
				b := w.run("b")
				time.Sleep(time.Second)
				if cut {
					w.cut("a", false)
				}
				w.byHand(remove(w.hold(HoldConfig{Reason: "why"})))
				if cut {
					time.Sleep(2 * time.Second)
					w.heal("a")
				}
				k.dead()
				k.expect(1, 0)
				if w.place.recipe == RecipeLatch {
					b.waitsHeld()
				}
				time.Sleep(time.Minute)
				if w.openings != 1 || w.record().Hold == nil || w.record().Last.Cause != CauseResigned || a.ran()+b.ran() != 1 {
					t.Errorf("%d openings, record %s", w.openings, w.record().encode())
				}
				w.unhold()
				w.until("one of them leads again", func() bool { return a.ran()+b.ran() == 2 })
			})
		})
	}
}

// An opening whose answer was lost was executed before the hold: the term is ended as
// any other.
func TestHoldAfterALostOpening(t *testing.T) {
	eachFamily(t, func(w *fakeWorld) {
		w.on("a", w.opening, fault{loss: lostAfter})
		w.whenExecuted(func(_ *fakeSession, r *fakeRequest, a fakeAnswer) {
			if w.opening(r) && a.err == nil {
				time.AfterFunc(0, func() { w.hold(HoldConfig{}) })
			}
		})
		a := w.run("a")
		if out := a.ended(); out.Cause != CauseResigned || w.openings != 1 || w.closings != 1 {
			t.Errorf("%+v after %d openings and %d closings", out, w.openings, w.closings)
		}
		if w.record().Hold == nil {
			t.Error("the closing has lost the hold")
		}
	})
}

// Whatever happens to who waits for the end of a hold: it does not lead before that.
func TestWaitingForTheEndOfAHold(t *testing.T) {
	for name, test := range map[string]func(w *fakeWorld, a *fakeCandidate){
		"stopped": func(w *fakeWorld, a *fakeCandidate) {
			a.Stop(0)
			if out := a.ended(); out.Cause != CauseStopped || a.err != nil {
				t.Errorf("%+v, %v", out, a.err)
			}
		},
		"own node deleted": func(w *fakeWorld, a *fakeCandidate) {
			w.byHand(remove(w.place.node(a.node())))
			w.until("it is back", func() bool { n, _ := a.event(EventJoined); return n == 2 && a.node() != "" })
		},
		"session over": func(w *fakeWorld, a *fakeCandidate) {
			w.cut("a", false)
			time.Sleep(2 * w.timeout)
			w.heal("a")
			w.until("it is back", func() bool { n, _ := a.event(EventJoined); return n == 2 })
		},
		"unheld while cut off": func(w *fakeWorld, a *fakeCandidate) {
			w.cut("a", false)
			w.unhold()
			time.Sleep(time.Second)
			w.heal("a")
			a.work(0)
			w.hold(HoldConfig{})
			a.ended()
		},
		"side node deleted": func(w *fakeWorld, a *fakeCandidate) {
			w.byHand(remove(w.place.requests), remove(w.place.transfer), remove(w.place.side))
			a.work(0) // the hold has gone with it
			w.hold(HoldConfig{})
			a.ended()
		},
	} {
		t.Run(name, func(t *testing.T) {
			eachFamily(t, func(w *fakeWorld) {
				w.on("a", w.opening, fault{}, func() { w.holds(HoldConfig{}.record()) })
				a := w.run("a")
				a.waitsHeld()
				before := w.openings
				test(w, a)
				time.Sleep(time.Minute)
				if name != "unheld while cut off" && name != "side node deleted" && (w.openings != before || a.ran() != 0) {
					t.Errorf("%d openings", w.openings-before)
				}
			})
		})
	}
}

// Who may not wait, or no longer, is told of the hold, wherever it stands.
func TestHoldIsNamed(t *testing.T) {
	eachFamily(t, func(w *fakeWorld) {
		a := w.run("a", func(c *CandidateConfig) { c.Wait = time.Minute })
		a.work(0)
		w.hold(HoldConfig{Reason: "why\x1b"})
		a.ended()
		first := w.run("first")
		first.awaitEvent(EventHeld)
		for _, change := range []func(*CandidateConfig){
			func(c *CandidateConfig) { c.NoWait = true },
			func(c *CandidateConfig) { c.Wait = time.Minute },
		} {
			b := w.run("b", change)
			if out := b.ended(); out.Cause != CauseNotLeader || !errors.Is(b.err, ErrNotLeader) || !strings.Contains(b.err.Error(), `/jobs/x is held by `) || !strings.Contains(b.err.Error(), `: why\x1b`) {
				t.Errorf("%+v, %v", out, b.err)
			}
		}
		first.Stop(0)
		first.ended()
		b := w.run("b", func(c *CandidateConfig) { c.Wait = time.Minute })
		if b.ended(); b.err == nil || !strings.Contains(b.err.Error(), `after 1m0s /jobs/x is held by `) {
			t.Error(b.err)
		}
	})
}

// No skip waits for the end of a hold, and nobody runs again because of one.
func TestHoldAndSkip(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		within := func(c *CandidateConfig) { c.SkipIfRunWithin = time.Hour }
		a, _ := w.lead("a", fakePlan{runs: time.Minute}, within)
		b := w.wait("b", within)
		c := w.wait("c", within)
		a.ended()
		if out := b.ended(); out.Cause != CauseSkipped {
			t.Errorf("%+v", out)
		}
		c.ended()
		w.hold(HoldConfig{})
		d := w.run("d", within)
		if out := d.ended(); out.Cause != CauseSkipped {
			t.Errorf("%+v", out)
		}
		if w.record().Hold == nil {
			t.Error("the hold is gone")
		}
	})
}

func TestHoldRecord(t *testing.T) {
	at := someTime(5)
	for _, test := range []struct {
		data  string
		until time.Duration // 0: none
	}{
		{`{"id":"a"}`, 0},
		{`{"id":"a","for_ms":60000}`, time.Minute},
		{`{"id":"a","for_ms":-60000}`, 0}, // garbage: somebody has to remove it
		{`{"id":"a","for_ms":9223372036854775807}`, maxHold},
		{`{"id":"a","for_ms":1000,"since":"2026-11-22T12:04:01.204Z"}`, -time.Minute + time.Second},
	} {
		r := parsed(t, `{"format":1,"recipe":"latch","hold":`+test.data+`}`)
		r.stamped(at, 7)
		r = reread(t, r)
		r.stamped(at.Add(time.Hour), 8) // by a later writer
		v := r.Hold.view()
		if (v.Until == nil) != (test.until == 0) || v.Until != nil && !v.Until.Equal(at.Add(test.until)) {
			t.Errorf("%s: %v", test.data, v)
		}
		if test.until > 0 && (v.Over(at.Add(test.until-1)) || !v.Over(at.Add(test.until))) {
			t.Errorf("%s: over at another time than %v", test.data, v.Until)
		}
	}
	long := holdRecord{ID: "a\nb", Reason: strings.Repeat("x", maxReason-1) + "\x1b[2J"}
	if v := long.view(); v.ID != `a\nb` || len(v.Reason) != maxReason+3 || !strings.HasSuffix(v.Reason, `x\x1b`) {
		t.Errorf("%+v", v)
	}
	for _, bad := range []HoldConfig{{For: -1}, {For: 1}, {For: maxHold + 1}, {Reason: strings.Repeat("x", maxReason+1)}, {Reason: "\xff"}} {
		if err := bad.validate(); !errors.Is(err, ErrConfig) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// The hold is removed between the reading of the record and the watch on it.
func TestHoldRemovedBeforeTheWatch(t *testing.T) {
	eachFamily(t, func(w *fakeWorld) {
		w.on("a", w.opening, fault{}, func() { w.holds(HoldConfig{}.record()) })
		w.on("a", func(r *fakeRequest) bool { return r.w != nil && r.w.path == w.place.side && !r.w.children }, fault{}, func() { w.holds(nil) })
		at := w.now()
		if k := w.run("a").work(0); k.startedAt-at > time.Second {
			t.Errorf("started after %v", k.startedAt-at)
		}
	})
}

// What others write between the reading of a holder and its write is kept: it names the
// version. So it is with the removal, and both go on where a closing comes between.
func TestHoldKeepsWhatOthersWrite(t *testing.T) {
	eachFamily(t, func(w *fakeWorld) {
		a, k := w.lead("a", fakePlan{})
		cfg := ResignConfig{Config: Config{Path: fakePath, Recipe: w.place.recipe}, Timeout: time.Minute, Hold: &HoldConfig{Reason: "why"}}
		resigner := func() *resignation {
			return &resignation{i: &Inspector{cfg: cfg.Config, sess: w.session("r")}, cfg: cfg, place: w.place}
		}
		writes := func(r *fakeRequest) bool { return len(r.ops) > 0 && sets(r.ops[0], w.place.side) }
		other := func(text string) func() {
			return func() {
				rec, err := parseRecord(w.store.nodes[w.place.side].data, w.place.recipe, "")
				if err != nil {
					t.Error(err)
					return
				}
				rec.unknown = map[string]json.RawMessage{"later": json.RawMessage(text)}
				if _, err := w.store.multi(0, []any{set(w.place.side, rec, -1)}); err != nil {
					t.Error(err)
				}
				w.committed(nil, nil)
			}
		}
		w.on("r", writes, fault{}, other("1"))
		done := &Resigned{}
		if err := resigner().hold(w.t.Context(), w.t.Context(), done); err != nil || done.Old == nil || *done.Old != "a" || done.New != nil {
			t.Errorf("%+v, %v", done, err)
		}
		k.dead()
		if r := w.record(); r.Hold == nil || string(r.unknown["later"]) != "1" || r.Last.Cause != CauseResigned {
			t.Errorf("record %s", r.encode())
		}
		if out := a.ended(); out.Cause != CauseResigned {
			t.Errorf("%+v", out)
		}

		w.on("r", writes, fault{}, other("2"))
		if h, err := resigner().unhold(w.t.Context()); err != nil || h.Reason != "why" {
			t.Errorf("%+v, %v", h, err)
		}
		if r := w.record(); r.Hold != nil || string(r.unknown["later"]) != "2" {
			t.Errorf("record %s", r.encode())
		}

		// The leader ends by itself in that moment.
		b, k := w.lead("b", fakePlan{})
		w.on("r", writes, fault{delay: time.Second}, func() { k.end(0, 0) })
		done = &Resigned{}
		if err := resigner().hold(w.t.Context(), w.t.Context(), done); err != nil || done.Hold == nil {
			t.Errorf("%+v, %v", done, err)
		}
		if out := b.ended(); out.Cause != CauseExited || w.record().Hold == nil || w.record().Last.Cause != CauseExited {
			t.Errorf("%+v, record %s", out, w.record().encode())
		}
	})
}
