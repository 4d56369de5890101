package zkelect

import (
	"testing"
	"time"
)

func onSuspend(o OnSuspend) func(*CandidateConfig) {
	return func(c *CandidateConfig) { c.OnSuspend = o }
}

// suspendedAt waits until the candidate has told that the connection is lost.
func (c *fakeCandidate) suspendedAt() time.Duration {
	c.w.t.Helper()
	c.awaitEvent(EventSuspended)
	_, at := c.event(EventSuspended)
	return at
}

// Without a choice the work does not notice.
func TestSuspendContinue(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		a, k := w.lead("a", fakePlan{})
		time.Sleep(time.Minute)
		w.cut("a", true)
		a.suspendedAt()
		time.Sleep(2 * time.Second)
		w.heal("a")
		time.Sleep(time.Minute)
		k.expect(0, 0)
		if freezes, _ := k.stood(); len(freezes) != 0 {
			t.Error("frozen")
		}
	})
}

// kill ends the work as soon as the connection is known to be lost, even where
// it is back before anybody looks.
func TestSuspendKill(t *testing.T) {
	for _, silent := range []bool{true, false} {
		inWorld(t, func(w *fakeWorld) {
			a, k := w.lead("a", stubborn, onSuspend(SuspendKill))
			time.Sleep(time.Minute)
			at := w.now()
			if silent {
				w.cut("a", true)
				w.mu.Lock()
				w.cuts = map[string]bool{}
				w.mu.Unlock()
				at = a.suspendedAt()
			} else {
				w.reconnect = func() time.Duration { return 0 }
				w.current("a").kick(1) // mostly back before anybody looks
			}
			if out := a.ended(); out.Cause != CauseLost || !out.Ran || a.err != nil {
				t.Errorf("%+v, %v", out, a.err)
			}
			k.expect(0, 1)
			_, _, _, kill := k.said()
			within(t, "kill", kill, at, 10*ms)
			w.released(k)
		})
	}
}

// kill does not wait for the grace of a stop that has begun.
func TestSuspendKillWhileStopping(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		a, k := w.lead("a", stubborn, onSuspend(SuspendKill))
		time.Sleep(time.Minute)
		a.Stop(0)
		time.Sleep(time.Second)
		w.cut("a", false)
		at := w.now()
		out := a.ended()
		if out.Cause != CauseStopped {
			t.Errorf("%+v", out)
		}
		_, _, _, kill := k.said()
		within(t, "kill", kill, at, 10*ms)
	})
}

// freeze holds the work until a check is answered over the new connection.
func TestSuspendFreeze(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		a, k := w.lead("a", fakePlan{}, onSuspend(SuspendFreeze))
		time.Sleep(time.Minute)
		for n := range 3 {
			w.cut("a", n == 0)
			w.until("frozen", func() bool { f, _ := k.stood(); return len(f) == n+1 })
			if n > 0 {
				freezes, _ := k.stood()
				within(t, "freeze", freezes[n], w.now(), 20*ms)
			}
			time.Sleep(2 * time.Second)
			w.heal("a")
			at := w.now()
			w.until("thawed", func() bool { _, f := k.stood(); return len(f) == n+1 })
			_, thaws := k.stood()
			within(t, "thaw", thaws[n], at, 20*ms)
			time.Sleep(time.Minute)
		}
		k.expect(0, 0)
		frozen, _ := a.event(EventFrozen)
		thawed, _ := a.event(EventThawed)
		if frozen != 3 || thawed != 3 {
			t.Errorf("told %d and %d times", frozen, thawed)
		}
		a.Stop(0)
		a.ended()
		w.released(k)
	})
}

// A connection alone thaws nothing: the server may be cut off from the others.
func TestSuspendFreezeWithoutQuorum(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		a, k := w.lead("a", fakePlan{}, onSuspend(SuspendFreeze))
		time.Sleep(time.Minute)
		silence := w.on("a", (*fakeRequest).beats, fault{loss: swallowed})
		silence.left = 3
		w.current("a").kick(1)
		w.until("thawed", func() bool { _, f := k.stood(); return len(f) == 1 })
		freezes, thaws := k.stood()
		if silence.left != 0 || len(freezes) != 1 || thaws[0]-freezes[0] < 5*time.Second {
			t.Errorf("frozen at %v, thawed at %v, %d left", freezes, thaws, silence.left)
		}
		if n, _ := a.event(EventReconnected); n < 3 {
			t.Errorf("%d reconnections", n)
		}
		k.expect(0, 0)
	})
}

// Nor does the answer to a check that was sent before.
func TestSuspendAnswerFromBefore(t *testing.T) {
	l := &leading{connected: true, suspend: suspend{doubt: true, backAt: 5}}
	if l.assure(4); !l.doubt {
		t.Error("assured by an older check")
	}
	if l.assure(5); l.doubt {
		t.Error("not assured")
	}
}

// The lease ends while the work is frozen: it is asked to stop and thawed, so
// that it can, and is dead before the session can expire.
func TestSuspendFreezeUntilLost(t *testing.T) {
	for name, plan := range map[string]fakePlan{"obeys": {stopTakes: time.Second, killTakes: 10 * ms}, "stubborn": stubborn} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *fakeWorld) {
				a, k := w.lead("a", plan, onSuspend(SuspendFreeze))
				time.Sleep(time.Minute)
				w.cut("a", true)
				if out := a.ended(); out.Cause != CauseLost || !out.Ran {
					t.Errorf("%+v", out)
				}
				freezes, thaws := k.stood()
				stops, kills, stop, _ := k.said()
				if len(freezes) != 1 || len(thaws) != 1 || stops != 1 || thaws[0] != stop || kills != map[bool]int{true: 1}[name == "stubborn"] {
					t.Errorf("frozen %v, thawed %v, %d stops at %v, %d kills", freezes, thaws, stops, stop, kills)
				}
			})
		})
	}
}

// A stop wakes a frozen work.
func TestSuspendStopWhileFrozen(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		a, k := w.lead("a", fakePlan{stopTakes: time.Second, killTakes: 10 * ms}, onSuspend(SuspendFreeze))
		time.Sleep(time.Minute)
		w.cut("a", false)
		a.awaitEvent(EventFrozen)
		time.Sleep(time.Second)
		a.Stop(0)
		at := w.now()
		within(t, "death", k.dead(), at+time.Second, 10*ms)
		k.expect(1, 0)
		w.heal("a")
		if out := a.ended(); out.Cause != CauseStopped {
			t.Errorf("%+v", out)
		}
	})
}

// A proven loss kills what is frozen as it is.
func TestSuspendLostWhileFrozen(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		a, k := w.lead("a", fakePlan{killTakes: 10 * ms}, onSuspend(SuspendFreeze))
		time.Sleep(time.Minute)
		w.cut("a", false)
		a.awaitEvent(EventFrozen)
		w.byHand(remove(k.term.Node))
		w.heal("a")
		if out := a.ended(); out.Cause != CauseLost {
			t.Errorf("%+v", out)
		}
		k.expect(0, 1)
		if _, thaws := k.stood(); len(thaws) != 0 {
			t.Error("thawed")
		}
	})
}

// A work that cannot be frozen is killed.
func TestSuspendWithoutFreezer(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		a := w.candidate("a", onSuspend(SuspendFreeze))
		a.plan = func(int) fakePlan { return stubborn }
		a.wrap = func(k *fakeWork) Work { return struct{ Work }{k} }
		a.begin()
		k := a.work(0)
		time.Sleep(time.Minute)
		w.cut("a", false)
		at := w.now()
		if out := a.ended(); out.Cause != CauseLost || w.now()-at > 8*time.Second {
			t.Errorf("%+v after %v", out, w.now()-at)
		}
		k.expect(0, 1)
	})
}

// Where a lost connection stops the work none is started without one; a term
// without a work goes on.
func TestSuspendStartsNothing(t *testing.T) {
	for _, o := range []OnSuspend{SuspendFreeze, SuspendKill} {
		inWorld(t, func(w *fakeWorld) {
			a := w.run("a", onSuspend(o), func(c *CandidateConfig) { c.TakeoverDelay = TakeoverAuto })
			at := a.opened()
			time.Sleep(takeoverWait - time.Second)
			w.cut("a", false)
			time.Sleep(5 * time.Second)
			if a.ran() != 0 {
				t.Error("started")
			}
			w.heal("a")
			within(t, "start", a.work(0).startedAt, at+takeoverWait+4*time.Second, 30*ms)
		})
	}
}

// A fence is frozen and killed as the work would be.
func TestSuspendFence(t *testing.T) {
	for _, o := range []OnSuspend{SuspendFreeze, SuspendKill} {
		inWorld(t, func(w *fakeWorld) {
			w.died("x")
			a := w.fencer("a", fakePlan{runs: 10 * time.Second, killTakes: 10 * ms}, onSuspend(o))
			a.begin()
			f := a.fence(0)
			time.Sleep(8 * time.Second)
			w.cut("a", false)
			time.Sleep(4 * time.Second)
			w.heal("a")
			if o == SuspendKill {
				if out := a.ended(); out.Cause != CauseLost || out.Ran {
					t.Errorf("%+v", out)
				}
				f.expect(0, 1)
				return
			}
			k := a.work(0)
			within(t, "end of the fence", f.endedAt, f.startedAt+12*time.Second, 50*ms)
			within(t, "start", k.startedAt, f.endedAt, 20*ms)
		})
	}
}
