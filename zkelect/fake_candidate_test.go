package zkelect

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"
)

// fakeCandidate is a Candidate that runs.
type fakeCandidate struct {
	*Candidate
	w     *fakeWorld
	id    string
	plan  func(n int) fakePlan // of its nth work
	works []*fakeWork
	// The same of what it fences.
	fencePlan  func(n int) fakePlan
	fenceWorks []*fakeWork
	wrap       func(*fakeWork) Work

	out   Outcome
	err   error
	done  chan struct{}
	begun bool

	events []fakeSeen
}

type fakeSeen struct {
	Event
	at time.Duration
}

// candidate makes a candidate that does not run yet.
func (w *fakeWorld) candidate(id string, changes ...func(*CandidateConfig)) *fakeCandidate {
	return w.contender(id, NewCandidate, changes...)
}

// contender makes what is a candidate inside.
func (w *fakeWorld) contender(id string, inside func(CandidateConfig) (*Candidate, error), changes ...func(*CandidateConfig)) *fakeCandidate {
	c := &fakeCandidate{w: w, id: id, done: make(chan struct{}), plan: func(int) fakePlan { return fakePlan{} }}
	cfg := CandidateConfig{Config: Config{Path: fakePath, Recipe: w.place.recipe, Observer: c.observe}, ID: id, StopTimeout: 5 * time.Second, TickTime: w.tick}
	for _, change := range changes {
		change(&cfg)
	}
	var err error
	if c.Candidate, err = inside(cfg); err != nil {
		w.t.Fatal(err)
	}
	w.mu.Lock()
	w.candidates = append(w.candidates, c)
	w.mu.Unlock()
	c.Candidate.now = w.now
	c.Candidate.connect = func(ctx context.Context, _ *Config) (session, error) {
		s := w.session(id)
		if err := awaitConnected(ctx, s); err != nil {
			s.close(0)
			return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
		}
		return s, nil
	}
	c.Candidate.probe = func(context.Context, session) (time.Duration, error) { return 2 * w.tick, nil }
	return c
}

func (c *fakeCandidate) observe(e Event) {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	c.events = append(c.events, fakeSeen{e, c.w.now()})
	text := ""
	for _, a := range e.Attrs {
		text += fmt.Sprintf(" %s=%v", a.Key, a.Value)
	}
	c.w.note("%s: event: %v%s", c.id, e.Kind, text)
}

// run lets a candidate contend.
func (w *fakeWorld) run(id string, changes ...func(*CandidateConfig)) *fakeCandidate {
	c := w.candidate(id, changes...)
	c.begin()
	return c
}

func (c *fakeCandidate) begin() {
	c.begun = true
	go func() {
		defer close(c.done)
		defer func() { // a panic here would end the tests of everybody
			if p := recover(); p != nil {
				c.w.t.Errorf("%s panics: %v\n%s", c.id, p, debug.Stack())
			}
		}()
		c.out, c.err = c.Run(context.Background(), c.start)
		c.w.mu.Lock()
		defer c.w.mu.Unlock()
		c.w.note("%s: over: %+v, %v", c.id, c.out, c.err)
	}()
}

func (c *fakeCandidate) start(t Term) (Work, error) {
	k, err := c.starts(t, nil)
	switch {
	case k == nil:
		return nil, err
	case c.wrap != nil:
		return c.wrap(k), err
	}
	return k, err
}

// starts starts a work, or the fence for a term before.
func (c *fakeCandidate) starts(t Term, previous *Previous) (*fakeWork, error) {
	w := c.w
	w.mu.Lock()
	defer w.mu.Unlock()
	works, plan := &c.works, c.plan
	if previous != nil {
		works, plan = &c.fenceWorks, c.fencePlan
	}
	p := plan(len(*works))
	if p.fails != nil {
		return nil, p.fails
	}
	k := &fakeWork{w: w, c: c, term: t, plan: p, previous: previous, startedAt: w.now(), exited: make(chan struct{}), done: make(chan struct{})}
	*works, w.works = append(*works, k), append(w.works, k)
	w.note("%s: work starts, token %x, fence %+v", c.id, t.Token, previous)
	w.started(k)
	if p.runs > 0 {
		time.AfterFunc(p.runs, k.locked(k.unfrozen(func() {
			if p.leaves {
				k.exit(p.code, 0)
			} else {
				k.end(p.code, 0)
			}
		})))
	}
	return k, nil
}

// event is how often the candidate told of something, and when last.
func (c *fakeCandidate) event(k Kind) (n int, last time.Duration) {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	for _, e := range c.events {
		if e.Kind == k {
			n, last = n+1, e.at
		}
	}
	return n, last
}

func (c *fakeCandidate) awaitEvent(k Kind) {
	c.w.t.Helper()
	c.w.until(fmt.Sprintf("%s tells %q", c.id, k), func() bool { n, _ := c.event(k); return n > 0 })
}

// work is the candidate's nth work, once it was started.
func (c *fakeCandidate) work(n int) (k *fakeWork) {
	c.w.t.Helper()
	c.w.until(fmt.Sprintf("work %d of %s", n, c.id), func() bool {
		c.w.mu.Lock()
		defer c.w.mu.Unlock()
		if len(c.works) > n {
			k = c.works[n]
		}
		return k != nil
	})
	return k
}

// ran is how many works were started.
func (c *fakeCandidate) ran() int {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	return len(c.works)
}

// ended waits for the end of Run.
func (c *fakeCandidate) ended() Outcome {
	c.w.t.Helper()
	c.w.until("the end of "+c.id, func() bool {
		select {
		case <-c.done:
			return true
		default:
			return false
		}
	})
	<-c.done
	return c.out
}

// lead lets a candidate contend and waits until its work runs.
func (w *fakeWorld) lead(id string, plan fakePlan, changes ...func(*CandidateConfig)) (*fakeCandidate, *fakeWork) {
	w.t.Helper()
	c := w.candidate(id, changes...)
	c.plan = func(int) fakePlan { return plan }
	c.begin()
	return c, c.work(0)
}

// wait lets a candidate contend and waits until it stands in the queue.
func (w *fakeWorld) wait(id string, changes ...func(*CandidateConfig)) *fakeCandidate {
	w.t.Helper()
	c := w.run(id, changes...)
	c.awaitEvent(EventWaiting)
	return c
}

// node is the name of the candidate's node in the queue, "" where there is none.
func (c *fakeCandidate) node() string {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	if string(c.w.store.nodes[c.w.place.latch].data) == c.id {
		return c.w.place.latch
	}
	for _, name := range c.w.store.children(c.w.place.latch) {
		if string(c.w.store.nodes[c.w.place.node(name)].data) == c.id {
			return name
		}
	}
	return ""
}
