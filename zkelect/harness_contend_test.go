package zkelect

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"zkelect/zkelect/zktest"
)

// workPlan is how a participant's work behaves. The zero value runs until it is
// asked to stop, and then ends at once.
type workPlan struct {
	Exits     time.Duration // ends by itself this long after its start; 0: never
	Code      int           // with this exit code
	StopTakes time.Duration // from Stop to the end; negative: Stop is ignored
	KillTakes time.Duration // from Kill to the end
}

// stampedWork is work without a process: it is alive from the call that starts
// it until its Done is closed.
type stampedWork struct {
	term    Term
	plan    workPlan
	started int64
	// stamps, 0 while it has not happened
	stopped, killed, exitedAt, ended atomic.Int64

	once         sync.Once
	exited, done chan struct{}
	code         int
	signal       syscall.Signal
}

func startStamped(term Term, plan workPlan) *stampedWork {
	w := &stampedWork{term: term, plan: plan, started: zktest.Stamp(), exited: make(chan struct{}), done: make(chan struct{})}
	if plan.Exits > 0 {
		time.AfterFunc(plan.Exits, func() { w.end(plan.Code, 0) })
	}
	return w
}

// end ends the work; the first call counts.
func (w *stampedWork) end(code int, signal syscall.Signal) {
	w.once.Do(func() {
		w.code, w.signal = code, signal
		w.exitedAt.Store(zktest.Stamp())
		close(w.exited)
		w.ended.Store(zktest.Stamp()) // before anybody can learn of it
		close(w.done)
	})
}

func (w *stampedWork) Stop() {
	w.stopped.CompareAndSwap(0, zktest.Stamp())
	if w.plan.StopTakes >= 0 {
		time.AfterFunc(w.plan.StopTakes, func() { w.end(0, syscall.SIGTERM) })
	}
}

func (w *stampedWork) Kill() {
	w.killed.CompareAndSwap(0, zktest.Stamp())
	time.AfterFunc(w.plan.KillTakes, func() { w.end(0, syscall.SIGKILL) })
}

func (w *stampedWork) Exited() <-chan struct{}                { return w.exited }
func (w *stampedWork) Done() <-chan struct{}                  { return w.done }
func (w *stampedWork) Status() (code int, sig syscall.Signal) { return w.code, w.signal }
func (w *stampedWork) alive() bool                            { return w.ended.Load() == 0 }

// participant is a candidate that runs, and what became of it.
type participant struct {
	*eventLog
	t    testing.TB
	id   string
	c    *Candidate
	plan workPlan

	mu    sync.Mutex
	works []*stampedWork

	over chan struct{} // closed when Run has returned
	out  Outcome
	err  error
}

// contend runs a candidate until it ends by itself or the test does. Its work
// behaves as the plan says.
func contend(t testing.TB, cfg CandidateConfig, plan ...workPlan) *participant {
	t.Helper()
	p := &participant{eventLog: &eventLog{t: t, who: cfg.ID}, t: t, id: cfg.ID, over: make(chan struct{})}
	if len(plan) > 0 {
		p.plan = plan[0]
	}
	cfg.Observer = p.observe
	c, err := NewCandidate(cfg)
	noError(t, err)
	p.c = c
	go func() {
		defer close(p.over)
		p.out, p.err = c.Run(t.Context(), p.start)
	}()
	t.Cleanup(func() { // t.Context has ended, so it is stopping
		c.Kill()
		select {
		case <-p.over:
		case <-time.After(harnessPatience):
			t.Errorf("%s: Run has not returned %v after Kill", p.id, harnessPatience)
		}
		p.show()
	})
	return p
}

func (p *participant) start(term Term) (Work, error) {
	w := startStamped(term, p.plan)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.works = append(p.works, w)
	return w, nil
}

// all is every work so far, one a term.
func (p *participant) all() []*stampedWork {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.works)
}

// awaitWork waits until the n-th work (from 0) was started.
func (p *participant) awaitWork(n int) *stampedWork {
	p.t.Helper()
	awaitTrue(p.t, fmt.Sprintf("work %d of %s was started", n, p.id), func() bool { return len(p.all()) > n || p.isOver() })
	if len(p.all()) <= n {
		p.t.Fatalf("%s ended before its work %d: %+v, %v", p.id, n, p.out, p.err)
	}
	return p.all()[n]
}

// isOver tells whether Run has returned.
func (p *participant) isOver() bool {
	select {
	case <-p.over:
		return true
	default:
		return false
	}
}

// awaitEnd waits until Run has returned, and returns what it did.
func (p *participant) awaitEnd() (Outcome, error) {
	p.t.Helper()
	awaitTrue(p.t, "the end of "+p.id, p.isOver)
	return p.out, p.err
}

// leave asks the participant to stop and waits until it has.
func (p *participant) leave() Outcome {
	p.t.Helper()
	p.c.Stop(0)
	out, err := p.awaitEnd()
	noError(p.t, err)
	return out
}

// checkExclusion tells of works that were alive at once, and of tokens that do
// not rise with the terms.
func checkExclusion(t testing.TB, participants ...*participant) {
	t.Helper()
	type life struct {
		who string
		*stampedWork
	}
	var lives []life
	for _, p := range participants {
		for _, w := range p.all() {
			lives = append(lives, life{p.id, w})
		}
	}
	slices.SortFunc(lives, func(a, b life) int { return int(a.started - b.started) })
	for i := 1; i < len(lives); i++ {
		before, after := lives[i-1], lives[i]
		if end := before.ended.Load(); end == 0 || end > after.started {
			t.Errorf("two works at once: %s (token %d) ended %v after %s (token %d) was started; 0 is never: %d",
				before.who, before.term.Token, time.Duration(end-after.started), after.who, after.term.Token, end)
		}
		if after.term.Token <= before.term.Token {
			t.Errorf("the token fell from %d (%s) to %d (%s)", before.term.Token, before.who, after.term.Token, after.who)
		}
	}
}

// eventLog keeps what an observer was told.
type eventLog struct {
	t   testing.TB
	who string

	mu   sync.Mutex
	told []stampedEvent
}

type stampedEvent struct {
	Event
	at int64
}

// attr is the value of an event's attribute, the zero Value where it has none.
func (e stampedEvent) attr(key string) slog.Value {
	for _, a := range e.Attrs {
		if a.Key == key {
			return a.Value
		}
	}
	return slog.Value{}
}

func (l *eventLog) observe(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told = append(l.told, stampedEvent{e, zktest.Stamp()})
}

// events are those so far of one of these kinds, all where none is given.
func (l *eventLog) events(kinds ...Kind) []stampedEvent {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []stampedEvent
	for _, e := range l.told {
		if len(kinds) == 0 || slices.Contains(kinds, e.Kind) {
			found = append(found, e)
		}
	}
	return found
}

// awaitEvent waits for the first event of the kind.
func (l *eventLog) awaitEvent(kind Kind) stampedEvent { l.t.Helper(); return l.awaitEvents(kind, 1) }

// awaitEvents waits for the n-th event of the kind (from 1) and returns it.
func (l *eventLog) awaitEvents(kind Kind, n int) stampedEvent {
	l.t.Helper()
	awaitTrue(l.t, fmt.Sprintf("event %q of %s, %d times", kind, l.who, n), func() bool { return len(l.events(kind)) >= n })
	return l.events(kind)[n-1]
}

// show prints the log of a test that has failed.
func (l *eventLog) show() {
	if !l.t.Failed() {
		return
	}
	var b strings.Builder
	for _, e := range l.events() {
		fmt.Fprintf(&b, "%.3f %s: %v %v\n", float64(e.at)/1e9, l.who, e.Kind, e.Attrs)
	}
	l.t.Logf("what %s told:\n%s", l.who, b.String())
}
