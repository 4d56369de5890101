package zkelect

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"
)

// fakeLatch is a Latch in a fakeWorld, and what its listener was told.
type fakeLatch struct {
	*fakeCandidate // what is inside, for its events and its node
	*Latch
	told  []toldLatch
	takes time.Duration // how long NotLeader takes
}

// toldLatch is a call of a listener, from its beginning to its end.
type toldLatch struct {
	what     string
	at, till time.Duration
	lead     *Leadership
}

// latch makes a latch with a listener; it is not started.
func (w *fakeWorld) latch(id string, changes ...func(*CandidateConfig)) *fakeLatch {
	f := &fakeLatch{}
	f.fakeCandidate = w.contender(id, func(cfg CandidateConfig) (*Candidate, error) {
		var err error
		if f.Latch, err = NewLatch(cfg); err != nil {
			return nil, err
		}
		return f.c, nil
	}, changes...)
	f.AddListener(Listener{
		IsLeader:  func(d *Leadership) { f.tell("is", 0, d) },
		NotLeader: func(d *Leadership) { f.tell("not", f.takes, d) },
	})
	return f
}

func (f *fakeLatch) tell(what string, takes time.Duration, d *Leadership) {
	call := toldLatch{what: what, at: f.w.now(), lead: d}
	time.Sleep(takes)
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	call.till = f.w.now()
	f.told = append(f.told, call)
	f.w.note("%s: told: %s leader", f.id, what)
}

// begin starts the latch. Its end is awaited by the world's.
func (f *fakeLatch) begin() {
	f.w.t.Helper()
	if err := f.Latch.Start(context.Background()); err != nil {
		f.w.t.Fatal(err)
	}
	f.begun = true
	go func() {
		<-f.Latch.Done()
		close(f.fakeCandidate.done)
	}()
}

// led starts a latch and waits until it leads.
func (w *fakeWorld) led(id string, changes ...func(*CandidateConfig)) (*fakeLatch, *Leadership) {
	w.t.Helper()
	f := w.latch(id, changes...)
	f.begin()
	return f, f.leads()
}

// waits starts a latch and waits until it stands in the queue behind another.
func (w *fakeWorld) waits(id string, changes ...func(*CandidateConfig)) *fakeLatch {
	w.t.Helper()
	f := w.latch(id, changes...)
	f.begin()
	f.awaitEvent(EventWaiting)
	return f
}

// leads awaits leadership.
func (f *fakeLatch) leads() *Leadership {
	f.w.t.Helper()
	d, err := f.await(10 * time.Minute)
	if err != nil {
		f.w.t.Fatalf("%s: %v\n%s", f.ID(), err, f.w.story())
	}
	return d
}

func (f *fakeLatch) await(bound time.Duration) (*Leadership, error) {
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	return f.Await(ctx)
}

// calls are what the listener was told so far.
func (f *fakeLatch) calls() []toldLatch {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	return slices.Clone(f.told)
}

// heard waits until the listener was told all of this: "is not is".
func (f *fakeLatch) heard(want string) []toldLatch {
	f.w.t.Helper()
	f.w.until(f.ID()+" was told: "+want, func() bool { return len(f.calls()) >= len(strings.Fields(want)) })
	f.hears(want)
	return f.calls()
}

// hears checks that the listener was told just this.
func (f *fakeLatch) hears(want string) {
	f.w.t.Helper()
	var got []string
	for _, c := range f.calls() {
		got = append(got, c.what)
	}
	if strings.Join(got, " ") != want {
		f.w.t.Errorf("%s was told %q, want %q", f.ID(), got, want)
	}
}

// over checks that a span of leadership has ended, by its own account too.
func (f *fakeLatch) over(d *Leadership, cause error) {
	f.w.t.Helper()
	if d.Context().Err() == nil || !errors.Is(context.Cause(d.Context()), cause) {
		f.w.t.Errorf("%s: the context: %v", f.ID(), context.Cause(d.Context()))
	}
	if err := d.Do(func(context.Context) error { return errors.New("called") }); !errors.Is(err, cause) {
		f.w.t.Errorf("%s: Do: %v", f.ID(), err)
	}
}
