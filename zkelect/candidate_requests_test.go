package zkelect

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
)

func TestResign(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		a, k := w.lead("a", fakePlan{stopTakes: time.Second})
		b := w.wait("b")
		time.Sleep(time.Minute)
		at := w.now()
		request := w.ask(w.session("resigner"), k.name(), "")
		out := a.ended()
		_, _, stop, _ := k.said()
		k.expect(1, 0)
		within(t, "stop", stop, at, 30*ms)
		if out.Cause != CauseResigned || !out.Ran || a.err != nil {
			t.Errorf("%+v, %v", out, a.err)
		}
		w.released(k)
		b.work(0)
		if r := w.record(); r.Last.Cause != CauseResigned || r.Last.ID != "a" || r.Term.Begun != nil {
			t.Errorf("record %s", r.encode())
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if _, ok := w.store.nodes[request]; !ok {
			t.Error("the request was deleted by another")
		}
	})
}

// The mark stands, or it does not, but the term ends where it stands.
func TestMarkUnanswered(t *testing.T) {
	lossesOf(t, func(w *fakeWorld, l fakeLoss) {
		a, k := w.lead("a", fakePlan{})
		w.wait("b")
		rule := w.on("a", (*fakeRequest).marks, fault{loss: l})
		marks := 0
		w.whenExecuted(func(_ *fakeSession, r *fakeRequest, a fakeAnswer) {
			if r.marks() && a.err == nil {
				marks++
			}
		})
		w.ask(w.session("resigner"), k.name(), "")
		if out := a.ended(); out.Cause != CauseResigned {
			t.Errorf("%+v", out)
		}
		k.expect(1, 0)
		w.released(k)
		if rule.left != 0 || marks != 1 {
			t.Errorf("fault left %d, marked %d times", rule.left, marks)
		}
	})
}

// A request that is withdrawn before it is marked does nothing; the withdrawal
// is the resigner's multi: delete the request, check the record's version.
func TestRequestWithdrawn(t *testing.T) {
	withdraw := func(w *fakeWorld) error {
		node := w.place.requests + "/" + w.store.children(w.place.requests)[0]
		_, err := w.store.multi(0, []any{remove(node), &zk.CheckVersionRequest{Path: w.place.side, Version: w.store.nodes[w.place.side].version}})
		w.committed(nil, nil)
		return err
	}
	for _, l := range []fakeLoss{answeredLoss, lostBefore, lostAfter, silentBefore, silentAfter} {
		t.Run(fmt.Sprint("mark with loss ", l), func(t *testing.T) {
			inWorld(t, func(w *fakeWorld) {
				a, k := w.lead("a", fakePlan{stopTakes: 100 * ms})
				w.wait("b")
				var withdrawn error
				rule := w.on("a", (*fakeRequest).marks, fault{loss: l, delay: 5 * ms}, func() {
					if l == answeredLoss || l == lostBefore || l == silentBefore {
						withdrawn = withdraw(w)
					}
				})
				w.whenExecuted(func(_ *fakeSession, r *fakeRequest, a fakeAnswer) {
					if r.marks() && a.err == nil {
						time.AfterFunc(0, func() { w.mu.Lock(); defer w.mu.Unlock(); withdrawn = withdraw(w) })
					}
				})
				w.ask(w.session("resigner"), k.name(), "")
				time.Sleep(time.Minute)
				w.mu.Lock()
				if withdrawn != nil {
					t.Error(withdrawn)
				}
				w.mu.Unlock()
				if l == lostAfter || l == silentAfter { // it was begun: nothing helps any more
					if out := a.ended(); out.Cause != CauseResigned {
						t.Errorf("%+v", out)
					}
					k.expect(1, 0)
					return
				}
				k.expect(0, 0)
				if r := w.record(); r.Term.Begun != nil || rule.left != 0 {
					t.Errorf("fault left %d, record %s", rule.left, r.encode())
				}
				w.ask(w.session("another"), k.name(), "") // still served
				if out := a.ended(); out.Cause != CauseResigned {
					t.Errorf("%+v", out)
				}
			})
		})
	}
}

// Only the oldest request is honoured, and who asked for it is told.
func TestTwoRequests(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		_, k := w.lead("a", fakePlan{stopTakes: time.Second})
		w.wait("b")
		w.cut("a", false)
		first, second := w.session("first"), w.session("second")
		nodes := []string{w.ask(first, k.name(), ""), w.ask(second, k.name(), "")}
		w.heal("a")
		w.until("the mark", func() bool { return w.record().Term.Begun != nil })
		if b := w.record().Term.Begun; b.Request != nodes[0] || b.By != "first" {
			t.Errorf("%+v, want %s", b, nodes[0])
		}
		k.dead()
		k.expect(1, 0)
	})
}

// What is not a request for this very term ends nothing.
func TestRequestsPassedOver(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		a, k := w.lead("a", fakePlan{})
		w.wait("b")
		s := w.session("resigner")
		w.ask(s, "_c_an-earlier-term", "")
		w.ask(s, "", "")
		for i, data := range []string{"", "{", "null", `{"term":7}`, `[]`} {
			s.create(context.Background(), fmt.Sprint(w.place.requests, "/", i), []byte(data), zk.FlagEphemeral)
		}
		s.create(context.Background(), w.place.requests+"/kept", []byte(`{"format":1,"term":"`+k.name()+`"}`), zk.FlagPersistent)
		time.Sleep(time.Minute)
		k.expect(0, 0)
		// A resigner that dies before the mark has withdrawn.
		w.cut("a", false)
		dying := w.session("dying")
		w.ask(dying, k.name(), "")
		w.mu.Lock()
		w.expire(dying)
		w.mu.Unlock()
		w.heal("a")
		time.Sleep(time.Minute)
		k.expect(0, 0)
		w.ask(s, k.name(), "")
		if out := a.ended(); out.Cause != CauseResigned {
			t.Errorf("%+v", out)
		}
	})
}

// Waiters ahead of the target step aside, the leader goes on meanwhile, and
// stops when the target is the next.
func TestTransfer(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		a, k := w.lead("a", fakePlan{stopTakes: time.Second})
		b, c, d, e := w.wait("b"), w.wait("c"), w.wait("d"), w.wait("e")
		target := d.node()
		// The one that is right behind the leader is slow to step aside.
		w.cut("b", false)
		w.ask(w.session("resigner"), k.name(), target)
		time.Sleep(10 * time.Second)
		k.expect(0, 0)
		w.heal("b")
		if out := a.ended(); out.Cause != CauseResigned {
			t.Errorf("%+v", out)
		}
		k.expect(1, 0)
		next := d.work(0)
		if next.name() != target || next.startedAt < k.endedAt {
			t.Errorf("%+v after %+v", next.term, k.term)
		}
		time.Sleep(time.Minute)
		for _, other := range []*fakeCandidate{b, c} {
			if n, _ := other.event(EventAside); n != 1 || other.node() == "" {
				t.Errorf("%s stepped aside %d times, node %q", other.id, n, other.node())
			}
		}
		if n, _ := e.event(EventAside); n != 0 {
			t.Error("e was behind")
		}
		if q := w.queue(); len(q) != 4 || q[0].name != target || q[1].name != e.node() {
			t.Errorf("%v", q)
		}
	})
}

// Of two transfers at once the older is followed, by all.
func TestTwoTransfers(t *testing.T) {
	for _, order := range []string{"cd", "dc"} {
		t.Run(order, func(t *testing.T) {
			inWorld(t, func(w *fakeWorld) {
				_, k := w.lead("a", fakePlan{})
				all := map[string]*fakeCandidate{"b": w.wait("b"), "c": w.wait("c"), "d": w.wait("d")}
				first, second := all[order[:1]], all[order[1:]]
				for _, id := range []string{"a", "b", "c", "d"} {
					w.cut(id, false)
				}
				w.ask(w.session("one"), k.name(), first.node())
				w.ask(w.session("two"), k.name(), second.node())
				for _, id := range []string{"d", "c", "b", "a"} {
					w.heal(id)
				}
				first.work(0)
				time.Sleep(time.Minute)
				if w.openings != 2 || second.ran() != 0 {
					t.Errorf("%d openings", w.openings)
				}
			})
		})
	}
}

// A target that leaves ends nothing; its resigner then withdraws, and the leader
// serves the next.
func TestTransferWithoutTarget(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		_, k := w.lead("a", fakePlan{})
		b, c := w.wait("b"), w.wait("c")
		w.cut("b", false)
		resigner := w.session("resigner")
		node := w.ask(resigner, k.name(), c.node())
		time.Sleep(time.Second)
		c.Stop(0)
		c.ended()
		w.heal("b")
		time.Sleep(time.Minute)
		k.expect(0, 0)
		if b.node() == "" {
			t.Error("b has left the queue")
		}
		resigner.remove(context.Background(), node)
		w.ask(w.session("another"), k.name(), b.node())
		b.work(0)
	})
}

// A target that has joined since a waiter ahead listed the queue is stepped
// aside for like any other.
func TestTransferToOneWhoJustJoined(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		_, k := w.lead("a", fakePlan{})
		looks := 0
		w.on("b", func(r *fakeRequest) bool {
			if r.kind == "children" && r.path == w.place.transfer {
				looks++
			}
			return looks == 3
		}, fault{delay: time.Second})
		b := w.wait("b")
		time.Sleep(20 * ms)
		resigner := w.session("resigner")
		w.ask(resigner, "_c_an-earlier-term", "_c_nobody") // b lists the queue and looks for the third time
		time.Sleep(20 * ms)
		c := w.wait("c")
		w.ask(resigner, k.name(), c.node())
		time.Sleep(20 * time.Second) // a resigner's patience is 30
		if c.ran() != 1 {
			n, _ := b.event(EventAside)
			t.Errorf("c does not lead; b has stepped aside %d times", n)
		}
	})
}

// Folders of requests that are missing must not keep anybody busy.
func TestFolderOfTransfersMissing(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		w.lead("a", fakePlan{})
		if err := w.byHand(remove(w.place.transfer)); err != nil {
			t.Fatal(err)
		}
		requests := 0
		w.mu.Lock()
		w.seen = func(s *fakeSession, _ *fakeRequest, _ fakeAnswer) {
			if s.name == "b" {
				requests++
			}
		}
		w.mu.Unlock()
		w.run("b")
		time.Sleep(time.Minute)
		w.mu.Lock()
		defer w.mu.Unlock()
		if requests > 600 {
			t.Errorf("%d requests in a minute", requests)
		}
	})
}
