package zkelect

import (
	"testing"
	"time"
)

// shortSession is a session in which the grace does not fit.
func shortSession(w *fakeWorld) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timeout = 10 * time.Second
}

// The stop begins exactly when the lease demands it, and the kill comes exactly
// a reserve before the deadline, however the connection was lost.
func TestLeaseLoss(t *testing.T) {
	for _, c := range []struct {
		name       string
		silent     bool
		after      time.Duration // of leading, before the loss
		stop, kill float64       // after the last good check
	}{
		{"first lease", false, 10 * ms, 12, 17},
		{"first lease, silent", true, 10 * ms, 12, 17},
		{"steady", false, time.Minute, 19, 24},
		{"steady, silent", true, time.Minute, 19, 24},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, func(w *fakeWorld) {
				a, k := w.lead("a", stubborn)
				b := w.wait("b")
				time.Sleep(c.after)
				w.cut("a", c.silent)
				out := a.ended()
				good := w.sessions[0].lastGood()
				_, _, stop, kill := k.said()
				k.expect(1, 1)
				within(t, "stop", stop-good, seconds(c.stop), ms)
				within(t, "kill", kill-good, seconds(c.kill), ms)
				if out.Cause != CauseLost || !out.Ran || a.err != nil {
					t.Errorf("%+v, %v", out, a.err)
				}
				if next := b.work(0); next.startedAt < k.endedAt {
					t.Errorf("b started at %v, a was dead at %v", next.startedAt, k.endedAt)
				}
				if r := w.record(); len(r.Unclean) != 1 || r.Unclean[0].ID != "a" || r.Unclean[0].Lease != 30_000 || r.Last.Cause != CauseUnclean {
					t.Errorf("record %s", r.encode())
				}
			})
		})
	}
}

// A check without an answer closes the socket, so that another server is tried
// within the patience.
func TestSilentServerIsLeft(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		_, k := w.lead("a", stubborn)
		time.Sleep(time.Minute)
		w.on("a", (*fakeRequest).beats, fault{loss: silentBefore})
		time.Sleep(time.Minute)
		k.expect(0, 0)
		if s := w.current("a"); s.kicks != 1 || s.number != 2 {
			t.Errorf("%d kicks, connection %d", s.kicks, s.number)
		}
	})
}

func TestSuspendedAndBackInTime(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		a, k := w.lead("a", stubborn)
		time.Sleep(time.Minute)
		for range 5 {
			w.cut("a", false)
			time.Sleep(14 * time.Second)
			w.heal("a")
			time.Sleep(20 * time.Second)
		}
		k.expect(0, 0)
		if n, _ := a.event(EventReconnected); n != 5 || w.openings != 1 || a.ran() != 1 {
			t.Errorf("%d reconnections, %d openings, %d works", n, w.openings, a.ran())
		}
		// After the reconnection a first lease, then steady ones again.
		w.cut("a", false)
		k.dead()
		_, _, stop, _ := k.said()
		within(t, "stop", stop-w.sessions[0].lastGood(), seconds(19), ms)
	})
}

// Right after a reconnection nothing but the pings' spacing is proved.
func TestLostAgainAfterReconnection(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		_, k := w.lead("a", stubborn)
		time.Sleep(time.Minute)
		w.cut("a", false)
		time.Sleep(15 * time.Second)
		w.heal("a")
		time.Sleep(100 * ms)
		w.cut("a", true)
		k.dead()
		_, _, stop, kill := k.said()
		good := w.sessions[0].lastGood()
		within(t, "stop", stop-good, seconds(12), ms)
		within(t, "kill", kill-good, seconds(17), ms)
	})
}

// Renewals during a stop do not cancel it; they lengthen the grace alone.
func TestRenewalLengthensTheGraceOnly(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		shortSession(w)
		a, k := w.lead("a", stubborn)
		time.Sleep(time.Minute)
		w.cut("a", false)
		for stops := 0; stops == 0; stops, _, _, _ = k.said() {
			time.Sleep(10 * ms)
		}
		w.heal("a")
		k.dead()
		_, _, stop, kill := k.said()
		k.expect(1, 1)
		// In a lease of 6.67s: 2.5s of patience, 3.17s of grace, 1s reserve.
		within(t, "grace", kill-stop, 5*time.Second, ms)
		if out := a.ended(); out.Cause != CauseLost {
			t.Errorf("%+v", out)
		}
		w.released(k)
	})
}

func TestGraceThatDoesNotFit(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		shortSession(w)
		a, k := w.lead("a", stubborn)
		time.Sleep(time.Minute)
		w.cut("a", false)
		k.dead()
		_, _, stop, kill := k.said()
		good := w.sessions[0].lastGood()
		within(t, "stop", stop-good, seconds(2.5), ms)
		// The heartbeat is as long as half a tick: the check before is always
		// answered a little too late to count, the one before that counts.
		within(t, "kill", kill-good, seconds(10-1-2-1./3-1), ms)
		if n, _ := a.event(EventGrace); n != 1 {
			t.Errorf("warned %d times", n)
		}
	})
}

// One stop is asked for, whatever else ends the term meanwhile.
func TestStopIsAskedForOnce(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		a, k := w.lead("a", fakePlan{stopTakes: -1, killTakes: 10 * ms, runs: 64 * time.Second}, func(c *CandidateConfig) { c.StopTimeout = 10 * time.Second })
		w.wait("b")
		time.Sleep(time.Minute)
		w.ask(w.session("resigner"), k.name(), "")
		time.Sleep(time.Second)
		a.Stop(0)
		time.Sleep(time.Second)
		w.cut("a", false)
		if out := a.ended(); out.Cause != CauseResigned {
			t.Errorf("%+v", out)
		}
		k.expect(1, 0)
	})
}

// Proven losses have no grace.
func TestProvenLossKillsAtOnce(t *testing.T) {
	for _, c := range []struct {
		name string
		lose func(w *fakeWorld, k *fakeWork)
		soon time.Duration
	}{
		{"own node deleted", func(w *fakeWorld, k *fakeWork) { w.byHand(remove(k.term.Node)) }, 5 * ms},
		{"live deleted", func(w *fakeWorld, k *fakeWork) { w.byHand(remove(w.place.live)) }, 3010 * ms},
		{"expired", func(w *fakeWorld, k *fakeWork) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.early = true
			w.expire(w.sessions[0])
		}, 20 * ms},
		{"own node deleted while suspended", func(w *fakeWorld, k *fakeWork) {
			w.cut("a", false)
			w.byHand(remove(k.term.Node))
			time.Sleep(10 * time.Second)
			w.heal("a")
		}, 20*ms + 10*time.Second},
		{"own node deleted during the grace", func(w *fakeWorld, k *fakeWork) {
			k.c.Stop(0)
			time.Sleep(time.Second)
			w.byHand(remove(k.term.Node))
		}, 5*ms + time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, func(w *fakeWorld) {
				a, k := w.lead("a", stubborn)
				b := w.wait("b")
				time.Sleep(30*time.Second + 100*ms)
				at := w.now()
				stopped := c.name == "own node deleted during the grace"
				c.lose(w, k)
				k.dead()
				stops, kills, _, kill := k.said()
				if kills != 1 || stops != 0 && !stopped {
					t.Errorf("%d stops, %d kills", stops, kills)
				}
				if kill-at > c.soon {
					t.Errorf("killed after %v, want %v", kill-at, c.soon)
				}
				if out := a.ended(); out.Cause != CauseLost && !stopped {
					t.Errorf("%+v", out)
				}
				within(t, "takeover", b.work(0).startedAt, k.endedAt, 50*ms)
				if c.name != "expired" {
					w.released(k)
				}
			})
		})
	}
}

// Another server grants less: the work must be dead when that is over.
func TestTimeoutShrinks(t *testing.T) {
	for _, answered := range []bool{true, false} {
		inWorld(t, func(w *fakeWorld) {
			_, k := w.lead("a", stubborn)
			time.Sleep(time.Minute)
			shortSession(w)
			s := w.current("a")
			if !answered {
				w.on("a", (*fakeRequest).beats, fault{loss: silentBefore, delay: 20 * ms})
			}
			s.kick(1)
			time.Sleep(10 * ms)
			if answered {
				time.Sleep(10 * ms)
			}
			w.cut("a", true)
			k.dead()
			w.until("the session expires", func() bool { w.mu.Lock(); defer w.mu.Unlock(); return s.gone })
		})
	}
}

// The end of a term leaves the connection alone, even where a check is under
// way: the closing is sent on it.
func TestCheckUnderWayAtTheEnd(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		a, k := w.lead("a", fakePlan{})
		time.Sleep(time.Minute)
		w.on("a", (*fakeRequest).beats, fault{delay: 300 * ms})
		w.until("a check is under way", func() bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.faults[0].left == 0
		})
		s := w.current("a")
		a.Stop(0)
		a.ended()
		w.released(k)
		if s.kicks != 0 {
			t.Errorf("the connection was closed %d times", s.kicks)
		}
	})
}
