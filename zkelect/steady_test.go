package zkelect

import (
	"testing"
	"time"
)

// TestSteadyState: who leads and who waits tell nothing, at any level, while nothing
// changes.
func TestSteadyState(t *testing.T) {
	for _, recipe := range []Recipe{RecipeLatch, RecipePlain} {
		inWorldOf(t, recipe, func(w *fakeWorld) {
			a, _ := w.lead("a", fakePlan{})
			b, c := w.wait("b"), w.wait("c")
			time.Sleep(time.Minute)
			count := func() int {
				w.mu.Lock()
				defer w.mu.Unlock()
				return len(a.events) + len(b.events) + len(c.events)
			}
			before := count()
			beats := 0
			w.whenExecuted(func(_ *fakeSession, r *fakeRequest, _ fakeAnswer) {
				if r.beats() {
					beats++
				}
			})
			time.Sleep(time.Hour)
			if after := count(); after != before || beats < 20 {
				t.Errorf("%v: %d events in %d heartbeats", recipe, after-before, beats)
			}
		})
	}
}
