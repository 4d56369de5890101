package zkelect

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Latch is leadership for a program that does other things too, in the manner of
// Apache Curator's LeaderLatch: started once, it contends in the background, and
// again after each loss, until it is closed. Whoever wants to know awaits
// leadership, asks for it, or is told by a Listener.
//
// Unlike Curator's, it does not stop leading while the connection is lost, but
// leads for as long as its lease lasts (see below for two other ways), and it waits:
// a term is released when all calls of Listener.IsLeader, Listener.NotLeader and
// Leadership.Do have returned, and only then another leads. Where the lease runs
// out they have CandidateConfig.StopTimeout for that, as far as the lease holds
// it; Go cannot end what takes longer, so the fencing token (Term.Token) is for that.
//
// Of work that is done in no such call the latch knows nothing. It must look at
// Leadership.Context or HasLeadership and is not waited for: where leadership is
// ended on purpose, by Close or a request to resign, another may lead at once.
//
// CandidateConfig.OnSuspend says what a lost connection does:
//   - SuspendContinue, the default: nothing, until the lease demands the end. If
//     the same session is back in time, leadership goes on with the same node, and
//     no listener hears of it.
//   - SuspendFreeze: leadership is over at once, as with Curator's standard policy.
//     It begins anew, in the same term, when the same session is proved to live.
//   - SuspendKill: the term ends at once, and the latch joins the queue anew.
//
// All methods may be called by several goroutines at once.
type Latch struct {
	c *Candidate

	mu        sync.Mutex
	state     LatchState
	err       error           // why it closed by itself
	ctx       context.Context // what contexts of leadership take their values from
	lead      *Leadership     // nil while not leading
	changed   chan struct{}   // closed and replaced with each change of the above
	listeners []*listening
	done      chan struct{}
}

// LatchState is how far a Latch has come.
type LatchState int

// The states of a Latch, in their order. None is ever left backwards.
const (
	LatchLatent  LatchState = iota // not started
	LatchStarted                   // it contends or leads
	LatchClosed                    // by Close, by the end of its context, or by a failure
)

// String is the state's name.
func (s LatchState) String() string {
	return [...]string{LatchLatent: "latent", LatchStarted: "started", LatchClosed: "closed"}[s]
}

// CloseMode says what the listeners of a leader hear of the closing.
type CloseMode int

// The close modes, as Curator's.
const (
	// CloseSilent tells them nothing; calls that are under way are waited for all
	// the same. Who closes so has ended what the listeners have begun: another
	// may lead at once.
	CloseSilent CloseMode = iota
	// CloseNotifyLeader has their NotLeader called, and waits for it.
	CloseNotifyLeader
)

// Listener is told when leadership begins and ends. Either may be nil. The calls
// of one listener come one after the other, in order, those of several beside each
// other.
type Listener struct {
	// IsLeader is called when leadership has begun. It may do the work itself,
	// until the context of leadership is done.
	IsLeader func(*Leadership)
	// NotLeader is called when leadership is over for this participant but
	// nobody else leads yet: that waits for its return, which says that all
	// that IsLeader began is over.
	NotLeader func(*Leadership)
}

// listening is a listener that was added.
type listening struct {
	Listener
	last chan struct{} // closed when its last call has returned
	gone bool          // nothing is called any more
}

// call has f called after all earlier calls of this listener. The latch's lock is
// held.
func (x *listening) call(f func(*Leadership), lead *Leadership) {
	if f == nil {
		return
	}
	before, done := x.last, make(chan struct{})
	x.last = done
	lead.term.busy.Go(func() {
		defer close(done)
		<-before
		lead.latch.mu.Lock()
		gone := x.gone
		lead.latch.mu.Unlock()
		if !gone {
			f(lead)
		}
	})
}

// NewLatch checks the configuration; nothing is sent yet. Requeue is RequeueLost
// whatever is given. Where Wait or NoWait ends a wait for leadership the latch
// closes by itself, and so it does after any error.
func NewLatch(cfg CandidateConfig) (*Latch, error) {
	cfg.Requeue = RequeueLost
	if cfg.SkipIfRunWithin != 0 {
		return nil, fmt.Errorf("%w: a latch has no work that could have run lately", ErrConfig)
	}
	c, err := NewCandidate(cfg)
	if err != nil {
		return nil, err
	}
	return &Latch{c: c, changed: make(chan struct{}), done: make(chan struct{})}, nil
}

// Start has the latch contend in the background, without waiting for anything;
// where no server answers it goes on trying for CandidateConfig.ConnectTimeout.
// The end of ctx closes it as Close with CloseNotifyLeader does. A latch is
// started once: the error of a second call, or after Close, wraps ErrConfig.
func (l *Latch) Start(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state != LatchLatent {
		return fmt.Errorf("%w: the latch is %v and cannot be started", ErrConfig, l.state)
	}
	l.state, l.ctx = LatchStarted, context.WithoutCancel(ctx)
	go func() {
		defer context.AfterFunc(ctx, func() { _ = l.Close(CloseNotifyLeader) })()
		_, err := l.c.Run(l.ctx, l.start)
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.state == LatchStarted {
			l.state, l.err = LatchClosed, err
			l.announce()
		}
		close(l.done)
	}()
	return nil
}

// Close leaves the queue, or ends leadership as the mode says, and returns when
// the session is closed, after everything that a release waits for (see Latch).
// So a listener, or the function of Leadership.Do, must not call it but have a
// goroutine do so. A latch that is closed or was never started is left as it is:
// then the error is ErrClosed, or the one that closed it.
func (l *Latch) Close(mode CloseMode) error {
	l.mu.Lock()
	if l.state != LatchStarted {
		defer l.mu.Unlock()
		return l.failure()
	}
	l.state = LatchClosed
	if mode == CloseSilent {
		l.forget(func(*listening) bool { return true })
	}
	l.ends(ErrClosed)
	l.announce()
	l.mu.Unlock()
	l.c.Stop(0)
	<-l.done
	return nil
}

// Done is closed when the latch is closed and its session is over.
func (l *Latch) Done() <-chan struct{} { return l.done }

// State is how far the latch has come.
func (l *Latch) State() LatchState {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state
}

// Await returns the leadership of this latch, as soon as it leads. The end of ctx
// bounds the wait; then the error is the cause of that. Where the latch is closed,
// or closes meanwhile, it is ErrClosed, or that with which the latch closed by
// itself.
func (l *Latch) Await(ctx context.Context) (*Leadership, error) {
	for {
		l.mu.Lock()
		err, lead, changed := l.failure(), l.lead, l.changed
		l.mu.Unlock()
		if err != nil {
			return nil, err
		}
		var again <-chan time.Time
		if lead != nil {
			if l.c.HasLeadership() {
				return lead, nil
			}
			again = time.After(10 * time.Millisecond) // a late answer may still save it
		}
		select {
		case <-changed:
		case <-again:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// HasLeadership tells whether this latch leads; see Candidate.HasLeadership for how
// much that says.
func (l *Latch) HasLeadership() bool {
	l.mu.Lock()
	leads := l.lead != nil
	l.mu.Unlock()
	return leads && l.c.HasLeadership()
}

// AddListener has the listener told of each change from now on; what is so already
// it is not told. The function that it returns removes it: what has not begun of its
// calls is left out, NotLeader too.
func (l *Latch) AddListener(x Listener) (remove func()) {
	added := &listening{Listener: x, last: make(chan struct{})}
	close(added.last)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state != LatchClosed {
		l.listeners = append(l.listeners, added)
	}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.forget(func(x *listening) bool { return x == added })
	}
}

// ID is the participant's name, as others see it.
func (l *Latch) ID() string { return l.c.ID() }

// Node is the full path of the latch's node in the queue; see Candidate.Node.
func (l *Latch) Node() string { return l.c.Node() }

// Leader is who leads the election now; see Candidate.Leader. The latch need not
// be started for it.
func (l *Latch) Leader(ctx context.Context) (*Participant, error) { return l.c.Leader(ctx) }

// Participants are all who stand in the queue; see Candidate.Participants.
func (l *Latch) Participants(ctx context.Context) ([]Participant, error) {
	return l.c.Participants(ctx)
}

// Leadership is one span in which a latch leads: that of a term or, with
// SuspendFreeze, a part of it.
type Leadership struct {
	Term
	ctx    context.Context
	cancel context.CancelCauseFunc
	latch  *Latch
	term   *latchTerm
}

// Context is done when leadership is over. Its cause is then ErrNotLeading, or
// ErrClosed. Its values are those of the context given to Latch.Start.
func (d *Leadership) Context() context.Context { return d.ctx }

// Do calls f and returns its error. The term is not released before f has returned.
// ctx is Leadership.Context: f must return soon after its end. Where leadership is
// over, f is not called, and the error is ErrNotLeading or ErrClosed.
func (d *Leadership) Do(f func(ctx context.Context) error) error {
	d.latch.mu.Lock()
	if d.latch.lead != d {
		d.latch.mu.Unlock()
		return context.Cause(d.ctx)
	}
	d.term.busy.Add(1)
	d.latch.mu.Unlock()
	defer d.term.busy.Done()
	return f(d.ctx)
}

// failure is why nothing is to be expected of the latch; nil where it is started.
// The lock is held, as in all that follows.
func (l *Latch) failure() error {
	switch {
	case l.state == LatchStarted:
		return nil
	case l.err != nil:
		return l.err
	}
	return ErrClosed
}

// announce wakes those who await a change.
func (l *Latch) announce() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// begins begins leadership.
func (l *Latch) begins(w *latchTerm) {
	l.lead = &Leadership{Term: w.term, latch: l, term: w}
	l.lead.ctx, l.lead.cancel = context.WithCancelCause(l.ctx)
	for _, x := range l.listeners {
		x.call(x.IsLeader, l.lead)
	}
	l.announce()
}

// ends ends leadership, if it is there.
func (l *Latch) ends(cause error) {
	lead := l.lead
	if lead == nil {
		return
	}
	l.lead = nil
	lead.cancel(cause)
	for _, x := range l.listeners {
		x.call(x.NotLeader, lead)
	}
	l.announce()
}

// forget has no call of a listener begin any more.
func (l *Latch) forget(gone func(*listening) bool) {
	l.listeners = slices.DeleteFunc(l.listeners, func(x *listening) bool {
		x.gone = x.gone || gone(x)
		return x.gone
	})
}

// latchTerm is the Work of one term: nothing but that leadership is told, and the
// wait for all who heard of it. It can be frozen: then nobody leads meanwhile.
type latchTerm struct {
	latch   *Latch
	term    Term
	busy    sync.WaitGroup // the calls of listeners and of Do
	stopped bool
	done    chan struct{}
}

// start is what the candidate starts in each term.
func (l *Latch) start(t Term) (Work, error) {
	w := &latchTerm{latch: l, term: t, done: make(chan struct{})}
	w.Thaw()
	return w, nil
}

// Thaw begins leadership, unless it is to end for good.
func (w *latchTerm) Thaw() {
	w.latch.mu.Lock()
	defer w.latch.mu.Unlock()
	if !w.stopped && w.latch.state == LatchStarted {
		w.latch.begins(w)
	}
}

func (w *latchTerm) Freeze() {
	w.latch.mu.Lock()
	defer w.latch.mu.Unlock()
	w.latch.ends(ErrNotLeading)
}

func (w *latchTerm) Stop() {
	w.latch.mu.Lock()
	defer w.latch.mu.Unlock()
	if w.stopped {
		return
	}
	w.stopped = true
	w.latch.ends(ErrNotLeading)
	go func() {
		w.busy.Wait() // nobody can join them any more
		close(w.done)
	}()
}

func (w *latchTerm) Kill()                         { w.Stop() }
func (w *latchTerm) Exited() <-chan struct{}       { return w.done }
func (w *latchTerm) Done() <-chan struct{}         { return w.done }
func (w *latchTerm) Status() (int, syscall.Signal) { return 0, 0 }
