package zkelect

import (
	"context"
	"fmt"
	"path"
	"runtime/debug"
	"slices"
	"syscall"
	"time"

	"github.com/go-zookeeper/zk"
)

// Invariants. All of this is called with the world's lock held.

func (w *fakeWorld) aliveOf(session int64) *fakeWork {
	for _, work := range w.works {
		if work.alive() && work.term.Session == session {
			return work
		}
	}
	return nil
}

// checkEnd: a work never outlives its session.
func (w *fakeWorld) checkEnd(s *fakeSession, how string) {
	if work := w.aliveOf(s.sid); work != nil {
		w.violated("session %x of %s %s while its work is alive", s.sid, s.name, how)
	}
}

// checkDeletion: a session deletes its own nodes alone; of a term, only when
// its tree is dead; live never without a versioned write of the record.
func (w *fakeWorld) checkDeletion(by *fakeSession, r *fakeRequest, change fakeChange) {
	if change.node.owner != by.sid {
		w.violated("%s deletes %s, which is of session %x", by.name, change.path, change.node.owner)
	}
	switch {
	case change.path == w.place.live:
		if work := w.aliveOf(by.sid); work != nil {
			w.violated("%s deletes live while its work is alive", by.name)
		}
		if r.kind != "close" && !slices.ContainsFunc(r.ops, func(op any) bool { return sets(op, w.place.side) }) {
			w.violated("%s deletes live alone: %s", by.name, describe(r.ops))
		}
	case path.Dir(change.path) == w.place.latch:
		if work := w.aliveOf(by.sid); work != nil && work.term.Node == change.path {
			w.violated("%s deletes its queue node while its work is alive", by.name)
		}
	}
}

// opened: tokens rise strictly; nobody else's work is alive.
func (w *fakeWorld) opened(s *fakeSession, r *fakeRequest) {
	w.openings++
	if token := w.store.nodes[w.place.live].czxid; token <= w.token {
		w.violated("token %d after %d", token, w.token)
	} else {
		w.token = token
	}
	for _, work := range w.works {
		if work.alive() && !w.early {
			w.violated("%s opens a term while %s's work is alive", s.name, work.c.id)
		}
	}
	own := 0
	for p, n := range w.store.nodes {
		if path.Dir(p) == w.place.latch && n.owner == s.sid {
			own++
		}
	}
	if own != 1 {
		w.violated("%s opens a term with %d nodes in the queue", s.name, own)
	}
	if q := newQueue(w.store.children(w.place.latch)); w.place.node(q[0].name) != r.ops[opQueue].(*zk.CheckVersionRequest).Path {
		w.violated("%s opens a term and is not the first of %v", s.name, q)
	}
}

// started: a work is started in an open term alone, and never beside another.
func (w *fakeWorld) started(work *fakeWork) {
	for _, other := range w.works {
		if other != work && other.alive() && !w.early {
			w.violated("%s starts its work while that of %s is alive", work.c.id, other.c.id)
		}
	}
	for _, s := range w.sessions {
		if s.sid == work.term.Session && s.gone && !w.early {
			w.violated("%s starts its work in a session that is over", work.c.id)
		}
	}
	if work.term.Token > w.token {
		w.violated("%s starts its work with token %d, the last is %d", work.c.id, work.term.Token, w.token)
	}
}

// fakePlan is how a work behaves.
type fakePlan struct {
	runs      time.Duration // 0: until it is stopped
	code      int
	stopTakes time.Duration // from Stop to its end; -1: it ignores Stop
	killTakes time.Duration
	leaves    bool // something of it stays alive when the main part ends
	fails     error
}

// fakeWork is the work of one term, its own lock inside the world's.
type fakeWork struct {
	w    *fakeWorld
	c    *fakeCandidate
	term Term
	plan fakePlan

	startedAt, endedAt time.Duration
	stops, kills       []time.Duration
	exited, done       chan struct{}
	over               bool
	mainOver           bool
	code               int
	signal             syscall.Signal
}

func (k *fakeWork) alive() bool { return !k.over }

func (k *fakeWork) locked(f func()) func() {
	return func() {
		k.w.mu.Lock()
		defer k.w.mu.Unlock()
		f()
	}
}

func (k *fakeWork) exit(code int, signal syscall.Signal) {
	if k.mainOver {
		return
	}
	k.mainOver, k.code, k.signal = true, code, signal
	close(k.exited)
}

func (k *fakeWork) end(code int, signal syscall.Signal) {
	if k.over {
		return
	}
	k.exit(code, signal)
	k.over, k.endedAt = true, k.w.now()
	k.w.note("%s: work is dead", k.c.id)
	close(k.done)
}

func (k *fakeWork) Stop() {
	k.locked(func() {
		k.stops = append(k.stops, k.w.now())
		k.w.note("%s: work is stopped", k.c.id)
		if k.plan.stopTakes >= 0 {
			time.AfterFunc(k.plan.stopTakes, k.locked(func() { k.end(0, syscall.SIGTERM) }))
		}
	})()
}

func (k *fakeWork) Kill() {
	k.locked(func() {
		k.kills = append(k.kills, k.w.now())
		k.w.note("%s: work is killed", k.c.id)
		time.AfterFunc(k.plan.killTakes, k.locked(func() { k.end(0, syscall.SIGKILL) }))
	})()
}

func (k *fakeWork) Exited() <-chan struct{} { return k.exited }
func (k *fakeWork) Done() <-chan struct{}   { return k.done }
func (k *fakeWork) Status() (int, syscall.Signal) {
	k.w.mu.Lock()
	defer k.w.mu.Unlock()
	return k.code, k.signal
}

// fakeCandidate is a Candidate that runs.
type fakeCandidate struct {
	*Candidate
	w     *fakeWorld
	id    string
	plan  func(n int) fakePlan // of its nth work
	works []*fakeWork
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
	c := &fakeCandidate{w: w, id: id, done: make(chan struct{}), plan: func(int) fakePlan { return fakePlan{} }}
	cfg := CandidateConfig{Config: Config{Path: fakePath, Observer: c.observe}, ID: id, StopTimeout: 5 * time.Second, TickTime: w.tick}
	for _, change := range changes {
		change(&cfg)
	}
	var err error
	if c.Candidate, err = NewCandidate(cfg); err != nil {
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
	w := c.w
	w.mu.Lock()
	defer w.mu.Unlock()
	plan := c.plan(len(c.works))
	if plan.fails != nil {
		return nil, plan.fails
	}
	k := &fakeWork{w: w, c: c, term: t, plan: plan, startedAt: w.now(), exited: make(chan struct{}), done: make(chan struct{})}
	c.works, w.works = append(c.works, k), append(w.works, k)
	w.note("%s: work starts, token %x", c.id, t.Token)
	w.started(k)
	if plan.runs > 0 {
		time.AfterFunc(plan.runs, k.locked(func() {
			if plan.leaves {
				k.exit(plan.code, 0)
			} else {
				k.end(plan.code, 0)
			}
		}))
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
	for _, name := range c.w.store.children(c.w.place.latch) {
		if string(c.w.store.nodes[c.w.place.node(name)].data) == c.id {
			return name
		}
	}
	return ""
}

// said is how often the work was asked to stop and was killed, and when first.
func (k *fakeWork) said() (stops, kills int, stop, kill time.Duration) {
	k.w.mu.Lock()
	defer k.w.mu.Unlock()
	if stops = len(k.stops); stops > 0 {
		stop = k.stops[0]
	}
	if kills = len(k.kills); kills > 0 {
		kill = k.kills[0]
	}
	return stops, kills, stop, kill
}

// dead waits for the end of the work and tells when it came.
func (k *fakeWork) dead() time.Duration {
	k.w.t.Helper()
	k.w.until("the work of "+k.c.id+" is dead", func() bool {
		k.w.mu.Lock()
		defer k.w.mu.Unlock()
		return !k.alive()
	})
	return k.endedAt
}

// name is that of the work's queue node.
func (k *fakeWork) name() string { return path.Base(k.term.Node) }
