package zkelect

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// Who comes to an empty queue has three round trips to its work: what is there; node,
// opening and list; and that is all. It asks for no right that an open ACL tells of.
func TestEnterAlone(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		w.known()
		var sent []time.Duration
		var kinds []string
		w.whenExecuted(func(s *fakeSession, r *fakeRequest, _ fakeAnswer) {
			if s.name != "a" || w.aliveOf(s.sid) != nil {
				return
			}
			kinds = append(kinds, r.kind)
			if !slices.Contains(sent, r.sentAt) {
				sent = append(sent, r.sentAt)
			}
		})
		a, k := w.lead("a", fakePlan{})
		w.mu.Lock()
		if len(sent) != 2 {
			t.Errorf("%d round trips after the session: %v", len(sent), kinds)
		}
		slices.Sort(kinds[:4])
		if got := fmt.Sprint(kinds); got != "[children exists exists get create multi children]" {
			t.Errorf("requests %v", got)
		}
		w.mu.Unlock()
		a.Stop(0)
		a.ended()
		w.released(k)
	})
}

// Any of what is sent in one go may be lost: in the end there is one term, in the same
// session, and its closing leaves nothing.
func TestEnterUnanswered(t *testing.T) {
	list := func(r *fakeRequest) bool { return r.kind == "children" }
	for what, which := range map[string]func(*fakeWorld) func(*fakeRequest) bool{
		"node":    func(*fakeWorld) func(*fakeRequest) bool { return (*fakeRequest).joins },
		"opening": func(w *fakeWorld) func(*fakeRequest) bool { return w.opening },
		"list":    func(*fakeWorld) func(*fakeRequest) bool { return list },
	} {
		t.Run(what, func(t *testing.T) {
			lossesOf(t, func(w *fakeWorld, l fakeLoss) {
				w.known()
				sessions := len(w.sessions)
				var rule *rule
				if what == "list" { // the second, which goes behind the opening
					w.on("a", list, fault{}, func() { rule = w.added("a", list, fault{loss: l}) })
				} else {
					rule = w.on("a", which(w), fault{loss: l})
				}
				before := w.openings
				a, k := w.lead("a", fakePlan{})
				w.mu.Lock()
				if rule.left != 0 || w.openings != before+1 || len(w.sessions) != sessions+1 {
					t.Errorf("fault left %d, %d openings, %d sessions", rule.left, w.openings-before, len(w.sessions)-sessions)
				}
				w.mu.Unlock()
				if n, _ := a.event(EventJoined); n != 1 {
					t.Errorf("told %d times that it had joined", n)
				}
				b := w.wait("b")
				a.Stop(0)
				a.ended()
				w.released(k)
				b.work(0)
			})
		})
	}
}

// Who comes in between gets the number that was expected. Then nothing was opened, and
// the place is one behind.
func TestEnterBeside(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		w.known()
		opened := 0
		w.whenExecuted(func(s *fakeSession, r *fakeRequest, a fakeAnswer) {
			if r.opens(w.place) && s.name == "a" && a.err == nil {
				opened++
			}
		})
		w.on("a", (*fakeRequest).joins, fault{delay: time.Second})
		a := w.run("a")
		time.Sleep(100 * ms) // a has seen an empty queue
		b, k := w.lead("b", fakePlan{})
		a.awaitEvent(EventWaiting)
		if n := len(w.queue()); n != 2 || opened != 0 {
			t.Errorf("%d in the queue, a has opened %d terms", n, opened)
		}
		b.Stop(0)
		b.ended()
		w.released(k)
		a.work(0)
	})
}

// Nothing hangs on how servers number: should they do it otherwise, the list tells, and
// nobody's work starts out of turn.
func TestEnterMisnumbered(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		w.known()
		w.store.misnumbers = 1 // so that the one who comes second gets what was expected
		w.on("a", (*fakeRequest).joins, fault{delay: time.Second})
		a := w.run("a")
		time.Sleep(100 * ms)
		// b expects the same number and gets the one before. It is first, but a opens.
		w.on("b", w.opening, fault{delay: 2 * time.Second})
		b := w.candidate("b")
		b.begin()
		b.work(0)
		if n, _ := a.event(EventStarted); n != 0 {
			t.Error("a's work has started")
		}
		b.Stop(0)
		b.ended()
		a.work(0)
	})
}
