package zkelect

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
)

// inPlainWorld is inWorld with RecipePlain.
func inPlainWorld(t *testing.T, test func(*fakeWorld)) {
	t.Helper()
	inWorldOf(t, RecipePlain, test)
}

// takenByHand deletes the one node and has another program make it, at once.
func (w *fakeWorld) takenByHand() {
	w.byHand(remove(w.place.latch))
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, err := w.store.multi(77, []any{create(w.place.latch, "classic", zk.FlagEphemeral)}); err != nil {
		w.t.Fatal(err)
	}
	w.committed(nil, nil)
}

// holder is the session that has made the one node, 0 where there is none.
func (w *fakeWorld) holder() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.store.nodes[w.place.latch].owner
}

// One leads, and when its session is over one of the others does, and only then.
func TestPlainTakesOver(t *testing.T) {
	inPlainWorld(t, func(w *fakeWorld) {
		a, work := w.lead("a", fakePlan{runs: 5 * time.Second})
		if w.holder() != work.term.Session || work.term.Node != fakePath || a.node() != fakePath {
			t.Errorf("%+v, held by %x", work.term, w.holder())
		}
		others := []*fakeCandidate{w.wait("b"), w.wait("c"), w.wait("d"), w.wait("e")}
		if out := a.ended(); out.Cause != CauseExited || a.err != nil {
			t.Errorf("%+v, %v", out, a.err)
		}
		ended := work.dead()
		var next *fakeWork
		w.until("another leads", func() bool {
			for _, c := range others {
				if c.ran() > 0 {
					next = c.work(0)
				}
			}
			return next != nil
		})
		if gap := next.startedAt - ended; gap > herdDelay+20*ms {
			t.Errorf("the next one led %v later", gap)
		}
		time.Sleep(time.Minute)
		ran := 0
		for _, c := range others {
			ran += c.ran()
		}
		if ran != 1 || !next.alive() {
			t.Errorf("%d of the others ran", ran)
		}
	})
}

// The node is another's now, though it has the same name: the work is killed, and
// nothing of the other's is touched.
func TestPlainTakenByAnother(t *testing.T) {
	inPlainWorld(t, func(w *fakeWorld) {
		a, work := w.lead("a", fakePlan{})
		w.takenByHand()
		if out := a.ended(); out.Cause != CauseLost || a.err != nil {
			t.Errorf("%+v, %v", out, a.err)
		}
		if stops, kills, _, _ := work.said(); stops != 0 || kills == 0 {
			t.Errorf("%d stops, %d kills: a proven loss has no grace", stops, kills)
		}
		if w.holder() != 77 || w.live() != "" || !w.record().Term.Clean {
			t.Errorf("held by %x, live %q, %+v", w.holder(), w.live(), w.record().Term)
		}
	})
}

// The same where the watch tells nothing: the check looks whose it is.
func TestPlainTakenUnseen(t *testing.T) {
	inPlainWorld(t, func(w *fakeWorld) {
		a, _ := w.lead("a", fakePlan{})
		w.on("a", func(r *fakeRequest) bool { return r.kind == "get" && r.path == fakePath }, fault{loss: swallowed}).left = 1000
		w.takenByHand()
		if out := a.ended(); out.Cause != CauseLost {
			t.Errorf("%+v, %v", out, a.err)
		}
		if w.holder() != 77 {
			t.Errorf("held by %x", w.holder())
		}
	})
}

// The node becomes another's between the taking and the opening, whose check sees
// that there is one: nothing is started, and the other's stays.
func TestPlainOpensBesideAnother(t *testing.T) {
	inPlainWorld(t, func(w *fakeWorld) {
		w.on("a", w.opening, fault{delay: 50 * ms})
		a := w.candidate("a")
		a.begin()
		a.awaitEvent(EventJoined)
		w.takenByHand()
		a.awaitEvent(EventWaiting)
		if a.ran() != 0 || w.holder() != 77 || w.live() != "" {
			t.Errorf("%d works, held by %x, live %q", a.ran(), w.holder(), w.live())
		}
		w.byHand(remove(fakePath))
		a.work(0)
	})
}

// The answer to the create is lost: the node's owner says that it was executed.
func TestPlainLostCreate(t *testing.T) {
	for _, loss := range []fakeLoss{lostBefore, lostAfter, silentBefore, silentAfter} {
		inPlainWorld(t, func(w *fakeWorld) {
			w.on("a", func(r *fakeRequest) bool { return r.kind == "create" && r.path == fakePath }, fault{loss: loss})
			a := w.run("a")
			if k := a.work(0); k.term.Session != w.holder() {
				t.Errorf("loss %d: %+v", loss, k.term)
			}
		})
	}
}

// Whoever has led lets those who wait come first.
func TestPlainYields(t *testing.T) {
	inPlainWorld(t, func(w *fakeWorld) {
		a, first := w.lead("a", fakePlan{}, func(c *CandidateConfig) { c.Requeue = RequeueLost })
		b := w.wait("b")
		s := w.session("r")
		w.until("connected", func() bool { st, _, _ := s.status(); return st == sessionConnected })
		w.ask(s, w.live(), "")
		b.work(0)
		if first.alive() || a.ran() != 1 {
			t.Errorf("%d works of a", a.ran())
		}
		b.Stop(0)
		w.until("a leads again", func() bool { return a.ran() == 2 })
	})
}

// One deletion wakes all who wait, and most of them only read.
func TestPlainHerd(t *testing.T) {
	inPlainWorld(t, func(w *fakeWorld) {
		const waiters = 40
		a, _ := w.lead("a", fakePlan{})
		for i := range waiters {
			w.wait(fmt.Sprint("w", i))
		}
		creates := 0
		w.whenExecuted(func(_ *fakeSession, r *fakeRequest, _ fakeAnswer) {
			if r.kind == "create" && r.path == fakePath {
				creates++
			}
		})
		a.Stop(0)
		w.until("another leads", func() bool { return w.live() != "" && w.record().Term.ID != "a" })
		time.Sleep(time.Second)
		w.mu.Lock()
		defer w.mu.Unlock()
		if creates == 0 || creates > waiters/4 {
			t.Errorf("%d of %d tried to make the node", creates, waiters)
		}
	})
}

// What is no ephemeral node is not waited for, and not touched.
func TestPlainRefuses(t *testing.T) {
	for name, children := range map[string][]string{
		"persistent": nil, "strangers": {"config"}, "latch": {latchName(curatorUUID, 0)},
	} {
		inPlainWorld(t, func(w *fakeWorld) {
			w.make(fakePath)
			for _, c := range children {
				w.make(fakePath + "/" + c)
			}
			a := w.run("a")
			if out := a.ended(); out.Cause != CauseError || !errors.Is(a.err, ErrNode) && !errors.Is(a.err, ErrUnsafe) {
				t.Errorf("%s: %+v, %v", name, out, a.err)
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			if _, made := w.store.nodes[w.place.side]; made {
				t.Errorf("%s: a side node was made", name)
			}
		})
	}
}

// A node that is not ephemeral is gone when it is looked at again: the wait goes on.
func TestPlainPersistentForAMoment(t *testing.T) {
	inPlainWorld(t, func(w *fakeWorld) {
		byHand := func(op any) func() {
			return func() {
				if _, err := w.store.multi(0, []any{op}); err != nil {
					t.Error(err)
				}
				w.committed(nil, nil)
			}
		}
		got := w.on("a", func(r *fakeRequest) bool { return r.kind == "get" && r.path == fakePath }, fault{},
			byHand(create(fakePath, "", zk.FlagPersistent)))
		w.on("a", func(r *fakeRequest) bool { return r.kind == "children" && r.path == fakePath && got.left == 0 }, fault{},
			byHand(remove(fakePath)))
		a := w.run("a")
		if k := a.work(0); k.term.Session != w.holder() || w.live() == "" {
			t.Errorf("%+v, held by %x, live %q", k.term, w.holder(), w.live())
		}
		if n, _ := a.event(EventRetry); n > 0 {
			t.Error("it went on without having made the node")
		}
	})
}
