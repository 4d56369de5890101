package zkelect

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A latch of which nobody asks anything leads as a candidate does.
func TestLatchLeads(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		a := w.latch("a")
		if a.State() != LatchLatent || a.HasLeadership() || a.Latch.Node() != "" || a.Latch.ID() != "a" {
			t.Errorf("before the start: %v, %q", a.State(), a.Latch.Node())
		}
		a.begin()
		d := a.leads()
		if !a.HasLeadership() || a.State() != LatchStarted || d.ID != "a" || d.Path != fakePath || d.Token == 0 ||
			d.Node != a.Latch.Node() || d.Context().Err() != nil {
			t.Errorf("%v, leads %v, %+v, node %q", a.State(), a.HasLeadership(), d.Term, a.Latch.Node())
		}
		if again := a.leads(); again != d {
			t.Error("another leadership without an end of the first")
		}
		time.Sleep(5 * time.Minute)
		if a.heard("is"); !a.HasLeadership() {
			t.Error("over by itself")
		}
		b := w.waits("b")
		if b.HasLeadership() || b.Latch.Node() == "" {
			t.Errorf("b: leads %v, node %q", b.HasLeadership(), b.Latch.Node())
		}
	})
}

// The next one leads when all that leadership was told to has returned.
func TestLatchReleaseWaits(t *testing.T) {
	for name, hold := range map[string]func(*fakeLatch, *Leadership){
		"NotLeader": func(a *fakeLatch, _ *Leadership) { a.takes = 3 * time.Second },
		"IsLeader": func(a *fakeLatch, d *Leadership) {
			a.AddListener(Listener{IsLeader: func(d *Leadership) {
				<-d.Context().Done()
				time.Sleep(3 * time.Second)
			}})
			a.Interrupt()
			a.w.until("led again", func() bool { return a.Latch.HasLeadership() })
		},
		"Do": func(a *fakeLatch, d *Leadership) {
			go d.Do(func(ctx context.Context) error {
				<-ctx.Done()
				time.Sleep(3 * time.Second)
				return nil
			})
			synctest.Wait()
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *fakeWorld) {
				a, d := w.led("a")
				hold(a, d)
				b := w.waits("b")
				at := w.now()
				a.Interrupt()
				if a.Latch.HasLeadership() {
					t.Error("leads after the call")
				}
				next := b.leads()
				within(t, "takeover", w.now(), at+3*time.Second, 50*ms)
				if next.Token <= d.Token {
					t.Error("the token fell")
				}
				a.over(d, ErrNotLeading)
			})
		})
	}
}

// Who holds nothing is not waited for.
func TestLatchReleaseWithoutListeners(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		a, d := w.led("a")
		b := w.waits("b")
		at := w.now()
		a.Interrupt()
		b.leads()
		within(t, "takeover", w.now(), at, 50*ms)
		a.over(d, ErrNotLeading)
		a.heard("is not")
		b.Interrupt() // as after a request to resign: it stands in the queue again
		a.leads()
		a.heard("is not is")
	})
}

// Whether it leads is a matter of this host's clock, not of what the loop has
// come to: after a pause of the whole process nothing has run yet.
func TestLatchHasLeadershipLooksAtTheClock(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		var paused atomic.Int64
		a := w.latch("a")
		a.c.now = func() time.Duration { return w.now() + time.Duration(paused.Load()) }
		a.begin()
		a.leads()
		time.Sleep(time.Minute)
		synctest.Wait()
		paused.Store(int64(30 * time.Second))
		if a.HasLeadership() || a.c.HasLeadership() {
			t.Error("leads by a lease that is over")
		}
		if d, err := a.await(time.Nanosecond); err == nil {
			t.Errorf("awaited %+v", d.Term)
		}
		saved := make(chan error, 1)
		go func() {
			_, err := a.await(time.Second)
			saved <- err
		}()
		synctest.Wait()
		paused.Store(0)
		if err := <-saved; err != nil {
			t.Errorf("a lease that goes on after all: %v", err)
		}
		if !a.HasLeadership() {
			t.Error("does not lead")
		}
		if _, err := a.await(time.Second); err != nil {
			t.Error(err)
		}
	})
}

// Without an answer from the servers it leads no longer than its lease, and all
// it told is over before another could lead.
func TestLatchLost(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		a, d := w.led("a")
		a.takes = 5 * time.Second // the whole grace
		b := w.waits("b")
		node := a.Latch.Node()
		time.Sleep(time.Minute)
		w.cut("a", true)
		good := w.current("a").lastGood()
		next := b.leads()
		at := w.now()
		calls := a.heard("is not")
		within(t, "NotLeader", calls[1].at, good+19*time.Second, 50*ms)
		if calls[1].till > good+25*time.Second || calls[1].till >= at {
			t.Errorf("told at %v, over at %v, the lease at %v, b led at %v", calls[1].at, calls[1].till, good+25*time.Second, at)
		}
		a.over(d, ErrNotLeading)
		w.heal("a")
		w.until("in the queue again", func() bool { return a.Latch.Node() != "" && a.Latch.Node() != node })
		if a.State() != LatchStarted || a.HasLeadership() {
			t.Errorf("%v, leads %v", a.State(), a.HasLeadership())
		}
		b.Close(CloseSilent)
		if d := a.leads(); d.Token <= next.Token || d.Node != a.Latch.Node() {
			t.Errorf("%+v after %+v", d.Term, next.Term)
		}
		a.heard("is not is")
	})
}

// A lost connection alone ends nothing, unless it is asked to.
func TestLatchSuspended(t *testing.T) {
	suspend := func(w *fakeWorld, a *fakeLatch) (at time.Duration) {
		time.Sleep(time.Minute)
		w.cut("a", false)
		at = w.now()
		time.Sleep(4 * time.Second)
		w.heal("a")
		return at
	}
	t.Run("continue", func(t *testing.T) {
		inWorld(t, func(w *fakeWorld) {
			a, d := w.led("a")
			suspend(w, a)
			time.Sleep(time.Minute)
			if a.hears("is"); !a.HasLeadership() || a.leads() != d {
				t.Error("over")
			}
		})
	})
	t.Run("freeze", func(t *testing.T) {
		inWorld(t, func(w *fakeWorld) {
			a, d := w.led("a", onSuspend(SuspendFreeze))
			a.takes = 6 * time.Second // longer than the connection is away
			b := w.waits("b")
			at := suspend(w, a)
			calls := a.heard("is not is")
			within(t, "NotLeader", calls[1].at, at, 10*ms)
			within(t, "IsLeader", calls[2].at, at+6*time.Second, 10*ms)
			a.over(d, ErrNotLeading)
			if again := a.leads(); again == d || again.Term != d.Term || !a.HasLeadership() {
				t.Errorf("%+v after %+v", again.Term, d.Term)
			}
			time.Sleep(time.Minute)
			if b.hears(""); b.HasLeadership() {
				t.Error("b leads")
			}
			w.cut("a", false)
			synctest.Wait()
			if a.HasLeadership() {
				t.Error("leads without a connection")
			}
		})
	})
	t.Run("kill", func(t *testing.T) {
		inWorld(t, func(w *fakeWorld) {
			a, d := w.led("a", onSuspend(SuspendKill))
			b := w.waits("b")
			at := suspend(w, a)
			within(t, "NotLeader", a.heard("is not")[1].at, at, 10*ms)
			a.over(d, ErrNotLeading)
			if b.leads().Token <= d.Token {
				t.Error("the token fell")
			}
			w.until("in the queue again", func() bool { return a.Latch.Node() != "" && a.Latch.Node() != d.Node })
		})
	})
}

// A latch that closes while it stands still does not lead once more.
func TestLatchClosedWhileFrozen(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		a, _ := w.led("a", onSuspend(SuspendFreeze))
		time.Sleep(time.Minute)
		w.cut("a", false)
		a.heard("is not")
		a.Close(CloseNotifyLeader)
		a.hears("is not")
	})
}

func TestLatchAwait(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		w.led("a")
		b := w.latch("b")
		if _, err := b.await(time.Hour); !errors.Is(err, ErrClosed) {
			t.Errorf("before the start: %v", err)
		}
		b.begin()
		at := w.now()
		if _, err := b.await(3 * time.Second); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		within(t, "time-out", w.now(), at+3*time.Second, ms)
		ctx, cancel := context.WithCancelCause(context.Background())
		mine := errors.New("mine")
		cancel(mine)
		if _, err := b.Await(ctx); err != mine {
			t.Error(err)
		}
		time.AfterFunc(time.Second, func() { b.Close(CloseSilent) })
		if _, err := b.await(time.Hour); !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	})
}

// What ends a wait by the configuration closes the latch.
func TestLatchFails(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		w.led("a")
		b := w.latch("b", func(c *CandidateConfig) { c.Wait = time.Minute })
		b.begin()
		if _, err := b.await(time.Hour); !errors.Is(err, ErrNotLeader) {
			t.Error(err)
		}
		<-b.Latch.Done()
		if b.State() != LatchClosed {
			t.Error(b.State())
		}
		if err := b.Close(CloseNotifyLeader); !errors.Is(err, ErrNotLeader) {
			t.Error(err)
		}
		if err := b.Latch.Start(context.Background()); !errors.Is(err, ErrConfig) {
			t.Error(err)
		}
	})
	if _, err := NewLatch(CandidateConfig{Wait: -1}); !errors.Is(err, ErrConfig) {
		t.Error(err)
	}
}

func TestLatchListeners(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		a := w.latch("a")
		var early, late, gone atomic.Int32
		a.AddListener(Listener{IsLeader: func(*Leadership) { early.Add(1); time.Sleep(time.Hour) }})
		remove := a.AddListener(Listener{
			IsLeader:  func(d *Leadership) { gone.Add(1); <-d.Context().Done(); time.Sleep(time.Second) },
			NotLeader: func(*Leadership) { gone.Add(100) },
		})
		a.AddListener(Listener{})
		a.begin()
		a.leads()
		synctest.Wait()
		a.AddListener(Listener{IsLeader: func(*Leadership) { late.Add(1) }, NotLeader: func(*Leadership) { late.Add(100) }})
		if early.Load() != 1 || gone.Load() != 1 || late.Load() != 0 {
			t.Errorf("told %d, %d, %d times", early.Load(), gone.Load(), late.Load())
		}
		go a.Close(CloseNotifyLeader)
		a.heard("is not") // nobody has to wait for another's call
		if late.Load() != 100 {
			t.Errorf("told %d", late.Load())
		}
		remove()
		remove()
		<-a.Latch.Done()
		if gone.Load() != 1 {
			t.Errorf("told %d after its removal", gone.Load())
		}
		a.AddListener(Listener{IsLeader: func(*Leadership) { t.Error("told by a closed latch") }})
	})
}
