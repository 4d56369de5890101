package zkelect

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
)

// lossesOf runs a test with each way of losing an answer.
func lossesOf(t *testing.T, test func(*fakeWorld, fakeLoss)) {
	for _, l := range []fakeLoss{lostBefore, lostAfter, silentBefore, silentAfter} {
		t.Run([]string{lostBefore: "lost before", lostAfter: "lost after", silentBefore: "silent before", silentAfter: "silent after"}[l], func(t *testing.T) {
			inWorld(t, func(w *fakeWorld) { test(w, l) })
		})
	}
}

// An opening whose answer is lost was executed or not: in the end there is one
// term, and its work starts after a check that was answered.
func TestOpeningUnanswered(t *testing.T) {
	lossesOf(t, func(w *fakeWorld, l fakeLoss) {
		rule := w.on("a", w.opening, fault{loss: l})
		checks := 0
		w.whenExecuted(func(_ *fakeSession, r *fakeRequest, a fakeAnswer) {
			if r.beats() && a.err == nil {
				checks++
			}
		})
		a, k := w.lead("a", fakePlan{})
		w.mu.Lock()
		if rule.left != 0 || w.openings != 1 || len(w.sessions) != 1 {
			t.Errorf("fault left %d, %d openings, %d sessions", rule.left, w.openings, len(w.sessions))
		}
		if adopted := l == lostAfter || l == silentAfter; adopted != (checks > 0) {
			t.Errorf("started after %d checks", checks)
		}
		if live := w.store.nodes[w.place.live]; live.czxid != k.term.Token || live.owner != k.term.Session || live.ctime != k.term.Since.UnixMilli() {
			t.Errorf("%+v of live %+v", k.term, live)
		}
		w.mu.Unlock()
		time.Sleep(time.Minute)
		k.expect(0, 0)
		a.Stop(0)
		a.ended()
		w.released(k)
		if w.openings != 1 || w.closings != 1 || a.ran() != 1 {
			t.Errorf("%d openings, %d closings, %d works", w.openings, w.closings, a.ran())
		}
	})
}

// A late answer to the opening is no proof any more: work is started after a
// further check alone.
func TestOpeningAnsweredLate(t *testing.T) {
	for _, c := range []struct {
		timeout, late time.Duration
		checks        int
	}{
		{30 * time.Second, 1900 * ms, 0}, // patience, grace and reserve are left
		{20 * time.Second, 100 * ms, 0},
		{20 * time.Second, 700 * ms, 1},
		{10 * time.Second, 400 * ms, 0}, // the grace does not fit: half a heartbeat is to spare
		{10 * time.Second, 600 * ms, 1},
	} {
		t.Run(fmt.Sprint(c.timeout, " ", c.late), func(t *testing.T) {
			inWorld(t, func(w *fakeWorld) {
				w.timeout = c.timeout
				w.on("a", w.opening, fault{answer: c.late})
				checks := 0
				w.whenExecuted(func(_ *fakeSession, r *fakeRequest, a fakeAnswer) {
					if r.beats() {
						checks++
					}
				})
				_, k := w.lead("a", fakePlan{})
				w.mu.Lock()
				defer w.mu.Unlock()
				if checks < c.checks || c.checks == 0 && checks > 0 {
					t.Errorf("started at %v after %d checks, want %d", k.startedAt, checks, c.checks)
				}
			})
		})
	}
}

// A term whose opening was answered but never proved again is lost without a
// start.
func TestOpenedAndNeverStarted(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		shortSession(w)
		w.on("a", w.opening, fault{answer: time.Second})
		w.on("a", (*fakeRequest).beats, fault{loss: silentBefore}, func() { w.cuts["a"] = true })
		a := w.run("a")
		if out := a.ended(); out.Cause != CauseLost || out.Ran || a.err != nil {
			t.Errorf("%+v, %v", out, a.err)
		}
	})
}

// A create whose answer is lost never makes two nodes stand in the queue.
func TestJoinUnanswered(t *testing.T) {
	for _, stale := range []bool{false, true} {
		lossesOf(t, func(w *fakeWorld, l fakeLoss) {
			w.lead("b", fakePlan{})
			w.mu.Lock()
			w.behind = true
			w.mu.Unlock()
			made := 0
			w.whenExecuted(func(_ *fakeSession, r *fakeRequest, a fakeAnswer) {
				if r.joins() && a.err == nil {
					made++
				}
			})
			w.on("a", (*fakeRequest).joins, fault{loss: l})
			if stale {
				// A server that is behind in spite of everything: then there are
				// two nodes for a moment.
				listings := 0
				w.on("a", func(r *fakeRequest) bool {
					if r.kind == "children" && w.faults[0].left == 0 {
						listings++
					}
					return listings == 1
				}, fault{stale: true})
			}
			a := w.wait("a")
			time.Sleep(time.Minute)
			own := 0
			w.mu.Lock()
			if executed := l == lostAfter || l == silentAfter; made > 1 && !(stale && executed) {
				t.Errorf("%d nodes were made", made)
			}
			for _, n := range w.store.nodes {
				if string(n.data) == "a" {
					own++
				}
			}
			w.mu.Unlock()
			if q := w.queue(); own != 1 || len(q) != 2 || q[1].name != a.node() {
				t.Errorf("%d nodes of a in %v", own, q)
			}
			if n, _ := a.event(EventJoined); n > 1 {
				t.Errorf("joined %d times", n)
			}
		})
	}
}

// The next in the queue waits for live of a leader that lost its queue node but
// not its session.
func TestLiveOfAnotherBlocks(t *testing.T) {
	for _, cutOff := range []bool{true, false} {
		t.Run(fmt.Sprint("cut off ", cutOff), func(t *testing.T) {
			inWorld(t, func(w *fakeWorld) {
				_, k := w.lead("a", fakePlan{stopTakes: -1, killTakes: 500 * ms})
				b := w.wait("b")
				time.Sleep(time.Minute)
				if cutOff {
					w.cut("a", true)
				}
				w.byHand(remove(k.term.Node))
				b.awaitEvent(EventBlocked)
				next := b.work(0)
				if n, _ := b.event(EventBlocked); n != 1 || next.startedAt < k.dead() {
					t.Errorf("blocked %d times; started at %v, the other was dead at %v", n, next.startedAt, k.endedAt)
				}
				if !cutOff {
					w.released(k)
					within(t, "takeover", next.startedAt, k.endedAt, 20*ms)
				}
			})
		})
	}
}

// live of the own session is never waited for.
func TestLiveOfOwnSession(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		w.on("a", w.opening, fault{}, func() {
			if _, err := w.store.multi(w.sessions[0].sid, []any{create(w.place.live, "another queueing", zk.FlagEphemeral)}); err != nil {
				t.Error(err)
			}
		})
		a, k := w.lead("a", fakePlan{})
		if n, _ := a.event(EventBlocked); n != 0 || k.term.Session == w.sessions[0].sid || k.startedAt-time.Hour > time.Second {
			t.Errorf("blocked %d times, started at %v in session %x", n, k.startedAt, k.term.Session)
		}
		if !w.sessions[0].gone {
			t.Error("the session is not closed")
		}
	})
}

// Somebody else, a later version say, writes the record between
// its reading and the opening, and during the term.
func TestRecordChangedByOthers(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		write := func(text string) {
			r, err := parseRecord(w.store.nodes[w.place.side].data, RecipeLatch, "")
			if err != nil {
				t.Error(err)
				return
			}
			r.unknown = map[string]json.RawMessage{"later": json.RawMessage(`"` + text + `"`)}
			if _, err := w.store.multi(0, []any{set(w.place.side, r, w.store.nodes[w.place.side].version)}); err != nil {
				t.Error(err)
			}
		}
		w.on("a", w.opening, fault{}, func() { write("first") })
		a, k := w.lead("a", fakePlan{})
		if got := string(w.record().unknown["later"]); got != `"first"` || w.openings != 1 {
			t.Errorf("%s after %d openings", got, w.openings)
		}
		w.mu.Lock()
		write("second")
		w.mu.Unlock()
		a.Stop(0)
		a.ended()
		w.released(k)
		if r := w.record(); string(r.unknown["later"]) != `"second"` || r.Last.Cause != CauseStopped || w.closings != 1 {
			t.Errorf("record %s", r.encode())
		}
	})
}

// The side node is made anew where it was deleted by hand before a term.
func TestSideNodeDeletedBeforeTheOpening(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		w.on("a", w.opening, fault{}, func() {
			if _, err := w.store.multi(0, []any{remove(w.place.requests), remove(w.place.transfer), remove(w.place.side)}); err != nil {
				t.Error(err)
			}
		})
		a, k := w.lead("a", fakePlan{})
		a.Stop(0)
		a.ended()
		w.released(k)
	})
}

// A session that ends while the opening is under way opens nothing.
func TestSessionEndsDuringTheOpening(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		w.on("a", w.opening, fault{delay: 200 * ms}, func() { w.early = true; w.expire(w.sessions[0]) })
		a, k := w.lead("a", fakePlan{})
		if len(w.sessions) != 2 || k.term.Session != w.sessions[1].sid || w.openings != 1 {
			t.Errorf("%d sessions, %d openings", len(w.sessions), w.openings)
		}
		if n, _ := a.event(EventExpired); n != 1 {
			t.Errorf("told %d times", n)
		}
	})
}

// The own node vanishes while the opening is under way, executed or not: no
// work is started, and no live is left.
func TestPlaceLostDuringTheOpening(t *testing.T) {
	lossesOf(t, func(w *fakeWorld, l fakeLoss) {
		w.reconnect = func() time.Duration { return time.Second }
		w.on("a", w.opening, fault{loss: l})
		a := w.run("a")
		a.awaitEvent(EventJoined)
		time.Sleep(100 * ms)
		first := a.node()
		w.byHand(remove(w.place.node(first)))
		if l == lostBefore || l == silentBefore {
			if k := a.work(0); k.term.Node == w.place.node(first) {
				t.Error("works under the node that is gone")
			}
			return
		}
		// The term was opened, and without requeueing it is the only one.
		if out := a.ended(); out.Cause != CauseLost || out.Ran {
			t.Errorf("%+v, %d works", out, a.ran())
		}
		if w.live() != "" || !w.record().Term.Clean {
			t.Errorf("orphan live of %q, record %s", w.live(), w.record().encode())
		}
	})
}

// The session ends between the opening and the look at who else has come.
func TestSessionEndsAfterTheOpening(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		a, _ := w.lead("a", fakePlan{})
		b := w.wait("b")
		w.on("b", func(r *fakeRequest) bool { return r.kind == "children" && r.path == w.place.latch }, fault{loss: swallowed})
		a.Stop(0)
		w.until("b has opened", func() bool { return w.live() == b.node() })
		time.Sleep(time.Second)
		w.mu.Lock()
		w.early = true
		w.expire(w.sessions[1])
		w.mu.Unlock()
		if k := b.work(0); k.term.Session != w.sessions[2].sid {
			t.Errorf("works in session %x", k.term.Session)
		}
	})
}
