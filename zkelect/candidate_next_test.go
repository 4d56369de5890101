package zkelect

import (
	"sync"
	"testing"
	"time"
)

// fakeHost remembers whether its candidate may lead next.
type fakeHost struct {
	free
	mu sync.Mutex
	at string
}

func (h *fakeHost) near(string) { h.set("near") }
func (h *fakeHost) far()        { h.set("far") }

func (h *fakeHost) set(at string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at = at
}

func (h *fakeHost) is(at string) func() bool {
	return func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.at == at
	}
}

// Whoever has become next prepares for it, though nothing wakes it but what happens
// further ahead; who has not, does not.
func TestNextOfManyIsNear(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		waits := func(id string) (*fakeCandidate, *fakeHost) {
			c, h := w.candidate(id), &fakeHost{}
			c.Candidate.host = h
			c.begin()
			c.awaitEvent(EventWaiting)
			return c, h
		}
		a, _ := w.lead("a", fakePlan{})
		b, atB := waits("b")
		c, atC := waits("c")
		_, atD := waits("d")
		_, atE := waits("e")
		for _, h := range []*fakeHost{atC, atD, atE} {
			w.until("it is far", h.is("far"))
		}
		w.until("the second is near", atB.is("near"))

		a.Stop(0)
		a.ended()
		b.work(0)
		w.until("the next is near", atC.is("near"))
		time.Sleep(time.Second)
		if !atD.is("far")() || !atE.is("far")() {
			t.Error("not only the next is near")
		}

		c.Stop(0) // in the middle of the queue
		c.ended()
		w.until("who followed it is near", atD.is("near"))
		time.Sleep(time.Second)
		if !atE.is("far")() {
			t.Error("one is near that is not next")
		}

		w.whenExecuted(func(s *fakeSession, r *fakeRequest, _ fakeAnswer) {
			if s.name != "b" && r.kind != "close" {
				t.Errorf("%s, which nothing concerns, asks: %s %s", s.name, r.kind, r.path)
			}
		})
		time.Sleep(time.Minute)
	})
}
