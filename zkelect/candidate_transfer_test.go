package zkelect

import (
	"context"
	"maps"
	"testing"
	"time"
)

// A transfer that has begun is kept to, though its request goes with its
// resigner while the leader is still stopping, and a younger one is then the
// oldest (docs/model, aside-alone).
func TestChosenOneStaysWhenItsResignerIsGone(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		_, k := w.lead("a", fakePlan{stopTakes: 3 * time.Second})
		b, c := w.wait("b"), w.wait("c")
		chosen := b.node()
		w.cut("a", false)
		first := w.session("first")
		w.ask(first, k.name(), chosen)
		w.ask(w.session("second"), k.name(), c.node())
		w.heal("a")
		w.until("the mark", func() bool { return w.record().Term.Begun != nil })
		w.mu.Lock()
		w.expire(first)
		w.mu.Unlock()
		if got := b.work(0).name(); got != chosen {
			t.Errorf("%s leads, and %s was chosen", got, chosen)
		}
		if n, _ := b.event(EventAside); n != 0 || c.ran() != 0 {
			t.Errorf("b stepped aside %d times, c led %d times", n, c.ran())
		}
	})
}

// A waiter that is slow to step aside for a request does not do so any more when
// that was withdrawn and another has begun, which chose the waiter.
func TestStepAsideThatIsLate(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		a, k := w.lead("a", fakePlan{stopTakes: 3 * time.Second})
		b, c := w.wait("b"), w.wait("c")
		chosen := b.node()
		late := w.on("b", func(r *fakeRequest) bool {
			return len(r.ops) > 0 && deletes(r.ops[len(r.ops)-1], w.place.node(chosen))
		}, fault{delay: time.Second})
		resigner := w.session("resigner")
		request := w.ask(resigner, k.name(), c.node())
		time.Sleep(500 * ms)
		w.mu.Lock()
		left := late.left
		w.mu.Unlock()
		if left != 0 {
			t.Error("b has not begun to step aside")
		}
		if err := resigner.remove(context.Background(), request); err != nil {
			t.Fatal(err)
		}
		w.ask(w.session("another"), k.name(), chosen)
		if out := a.ended(); out.Cause != CauseResigned {
			t.Errorf("%+v", out)
		}
		if got := b.work(0).name(); got != chosen || c.ran() != 0 {
			t.Errorf("%s leads, and %s was chosen; c led %d times", got, chosen, c.ran())
		}
	})
}

// A withdrawal whose request is gone, and whose server is behind, does not take
// that for a yes (docs/model, gone-is-withdrawn).
func TestWithdrawalOfWhatIsGone(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		_, k := w.lead("a", fakePlan{stopTakes: 3 * time.Second})
		w.wait("b")
		w.mu.Lock()
		before := maps.Clone(w.store.nodes)
		w.mu.Unlock()
		first := w.session("first")
		request := w.ask(first, k.name(), "")
		w.until("the mark", func() bool { return w.record().Term.Begun != nil })
		w.mu.Lock()
		w.expire(first)
		w.mu.Unlock()
		second := w.session("second")
		time.Sleep(100 * ms)
		w.mu.Lock()
		second.conn.view = before
		w.mu.Unlock()
		r := &resignation{i: &Inspector{sess: second}, place: w.place, term: k.name(), node: request}
		if got := r.withdraw(); got != Begun {
			t.Errorf("told %s, and the leader is stopping", got)
		}
	})
}
