package zkelect

import (
	"testing"
	"time"
)

// pulseBound is the longest silence of a candidate that does not hang: that of a
// session that is closed politely while nobody answers.
const pulseBound = 2 * time.Second

// watched has the candidate asked all its life whether it turns.
func (c *fakeCandidate) watched() {
	pulse := make(chan struct{})
	c.cfg.Pulse = pulse
	go func() {
		for {
			asked := time.Now()
			select {
			case pulse <- struct{}{}:
			case <-c.done:
				return
			}
			if silent := time.Since(asked); silent > pulseBound {
				c.w.mu.Lock()
				c.w.violated("%s did not answer for %v", c.id, silent)
				c.w.mu.Unlock()
			}
			select {
			case <-time.After(500 * time.Millisecond):
			case <-c.done:
				return
			}
		}
	}()
}

// asked asks once; it tells whether the answer came in time.
func (c *fakeCandidate) asked(pulse chan<- struct{}) bool {
	select {
	case pulse <- struct{}{}:
		return true
	case <-time.After(pulseBound):
		return false
	}
}

// TestPulse: a candidate answers in each state, and through an outage of any length;
// one that hangs does not.
func TestPulse(t *testing.T) {
	for _, recipe := range []Recipe{RecipeLatch, RecipePlain} {
		inWorldOf(t, recipe, func(w *fakeWorld) {
			asked := func(c *fakeCandidate, pulse chan<- struct{}, state string) {
				t.Helper()
				for range 10 {
					if !c.asked(pulse) {
						t.Errorf("%v: no answer while %s", recipe, state)
					}
					time.Sleep(7 * time.Second)
				}
			}
			outage := func(c *fakeCandidate, pulse chan<- struct{}, state string) {
				t.Helper()
				w.cut(c.id, true)
				c.suspendedAt()
				asked(c, pulse, state+", cut off")
				w.heal(c.id)
				time.Sleep(2 * time.Second)
			}
			watched := func(pulse chan struct{}, more ...func(*CandidateConfig)) []func(*CandidateConfig) {
				return append(more, func(c *CandidateConfig) { c.Pulse = pulse })
			}

			first, second := make(chan struct{}), make(chan struct{})
			w.cuts["a"] = true
			a := w.candidate("a", watched(first, func(c *CandidateConfig) { c.Requeue, c.RequeueDelay = RequeueAlways, time.Minute })...)
			a.plan = func(n int) fakePlan {
				if n == 0 {
					return fakePlan{runs: 5 * time.Minute, code: 1}
				}
				return fakePlan{}
			}
			a.begin()
			asked(a, first, "connecting")
			w.heal("a")
			a.work(0)
			asked(a, first, "leading")

			hung := make(chan struct{})
			b := w.candidate("b", watched(second, func(c *CandidateConfig) {
				observer := c.Observer
				c.Observer = func(e Event) {
					observer(e)
					if e.Kind == EventLeading {
						<-hung
					}
				}
			})...)
			b.begin()
			b.awaitEvent(EventWaiting)
			asked(b, second, "waiting")
			outage(b, second, "waiting")

			a.awaitEvent(EventRequeue)
			for range 5 {
				if !a.asked(first) {
					t.Errorf("%v: no answer in the pause before queueing again", recipe)
				}
				time.Sleep(time.Second)
			}
			b.awaitEvent(EventLeading)
			if b.asked(second) {
				t.Errorf("%v: an answer while hanging", recipe)
			}
			close(hung)
			b.work(0)
			asked(b, second, "leading after having hung")
			b.Kill()
			a.work(1)
			outage(a, first, "leading")
		})
	}
}

// A candidate that is first waits for the processes of the leader before.
func TestPulseBlocked(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		a, _ := w.lead("a", fakePlan{stopTakes: -1, killTakes: 20 * time.Second})
		pulse := make(chan struct{})
		b := w.wait("b", func(c *CandidateConfig) { c.Pulse = pulse })
		w.byHand(remove(w.place.node(a.node())))
		b.awaitEvent(EventBlocked)
		if !b.asked(pulse) {
			t.Error("no answer while blocked")
		}
	})
}
