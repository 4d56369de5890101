package zkelect

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestLatchClose(t *testing.T) {
	for name, test := range map[string]struct {
		close func(*fakeLatch)
		told  string
	}{
		"silent": {func(a *fakeLatch) { a.Close(CloseSilent) }, "is"},
		"notify": {func(a *fakeLatch) { a.Close(CloseNotifyLeader) }, "is not"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *fakeWorld) {
				a, d := w.led("a")
				a.takes = 2 * time.Second
				b := w.waits("b")
				a.heard("is")
				at := w.now()
				test.close(a)
				if a.hears(test.told); test.told == "is not" {
					at += a.takes
				}
				within(t, "close", w.now(), at, 50*ms)
				a.over(d, ErrClosed)
				if a.State() != LatchClosed || a.HasLeadership() || a.Latch.Node() != "" || a.node() != "" {
					t.Errorf("%v, leads %v, node %q", a.State(), a.HasLeadership(), a.Latch.Node())
				}
				b.leads()
				if err := a.Close(CloseNotifyLeader); err != ErrClosed {
					t.Errorf("closed again: %v", err)
				}
				a.hears(test.told)
			})
		})
	}
}

// The end of the context given to Start is a closing that is told.
func TestLatchContext(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		type key struct{}
		ctx, cancel := context.WithCancel(context.WithValue(context.Background(), key{}, "value"))
		a := w.latch("a")
		if err := a.Latch.Start(ctx); err != nil {
			t.Fatal(err)
		}
		d := a.leads()
		if d.Context().Value(key{}) != "value" {
			t.Error("the values are lost")
		}
		cancel()
		<-a.Latch.Done()
		a.hears("is not")
		a.over(d, ErrClosed)
	})
}

// In whatever it is, a closed latch leaves nothing behind.
func TestLatchCloseEarly(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		a := w.latch("a")
		if err := a.Close(CloseSilent); err != ErrClosed || a.State() != LatchLatent {
			t.Errorf("%v, %v", err, a.State())
		}
		w.cut("a", false)
		a.begin()
		if err := a.Latch.Start(context.Background()); !errors.Is(err, ErrConfig) {
			t.Errorf("started twice: %v", err)
		}
		time.Sleep(time.Second)
		if err := a.Close(CloseSilent); err != nil || a.State() != LatchClosed {
			t.Errorf("while connecting: %v, %v", err, a.State())
		}
		b, _ := w.led("b")
		c := w.waits("c")
		if err := c.Close(CloseNotifyLeader); err != nil || c.node() != "" {
			t.Errorf("while waiting: %v, node %q", err, c.node())
		}
		c.hears("")
		if !b.HasLeadership() {
			t.Error("b was disturbed")
		}
		d := w.latch("d")
		w.on("d", (*fakeRequest).joins, fault{delay: time.Second})
		d.begin()
		time.Sleep(500 * ms)
		if err := d.Close(CloseNotifyLeader); err != nil || d.node() != "" {
			t.Errorf("while joining: %v, node %q", err, d.node())
		}
		b.Close(CloseSilent)
		e := w.latch("e")
		w.on("e", w.opening, fault{delay: time.Second})
		e.begin()
		time.Sleep(500 * ms)
		if err := e.Close(CloseNotifyLeader); err != nil || e.node() != "" || w.live() != "" {
			t.Errorf("while opening: %v, node %q", err, e.node())
		}
		e.hears("")
	})
}

// Two closings at once both return, one of them in vain.
func TestLatchCloseTwiceAtOnce(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		a, _ := w.led("a")
		errs := make(chan error, 2)
		for range 2 {
			go func() { errs <- a.Close(CloseNotifyLeader) }()
		}
		if one, two := <-errs, <-errs; (one == nil) == (two == nil) {
			t.Error(one, two)
		}
		<-a.Latch.Done()
		a.hears("is not")
	})
}

// A term that was opened, or thawed, just when the latch was closed tells nobody
// that it leads.
func TestLatchClosedBeforeItLed(t *testing.T) {
	l, err := NewLatch(CandidateConfig{})
	if err != nil {
		t.Fatal(err)
	}
	l.AddListener(Listener{IsLeader: func(*Leadership) { t.Error("told") }})
	l.state, l.ctx = LatchClosed, context.Background()
	w, err := l.start(Term{})
	if err != nil || l.lead != nil {
		t.Errorf("leads: %v", err)
	}
	w.(Freezer).Freeze()
	w.(Freezer).Thaw()
	w.Stop()
	w.Kill()
	if <-w.Done(); l.lead != nil {
		t.Error("leads")
	}
}
