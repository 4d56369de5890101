package zkelect

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// standing is what others than the goroutine of Run learn of a candidate, and how
// they end its term.
type standing struct {
	mu        sync.Mutex
	running   bool
	node      string          // in the queue, its full path; "" where there is none
	until     time.Duration   // leading until then, by the candidate's clock; 0: not leading
	lease     leaseEnds       // of the open term; zero where there is none
	interrupt chan<- struct{} // ends the open term; nil where there is none, or it was used
	ending    bool            // of the open term, by Interrupt
}

// leaseEnds are, by the candidate's clock, when the work is asked to stop, and when
// it has to be dead, unless a check is answered before.
type leaseEnds struct{ stop, deadline time.Duration }

// errRunning: a candidate has one place in the queue.
var errRunning = fmt.Errorf("%w: Run is called while it runs", ErrConfig)

// runs notes that Run begins; it fails where one runs.
func (s *standing) runs() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running {
		return errRunning
	}
	s.running = true
	return nil
}

// ran notes that Run returns.
func (s *standing) ran() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running, s.node = false, ""
}

// queued notes the own node in the queue, "" where there is none any more.
func (s *standing) queued(node string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.node = node
}

// opened notes that a term is open. What it returns asks, once, for its end.
func (s *standing) opened() <-chan struct{} {
	interrupt := make(chan struct{}, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.interrupt, s.ending = interrupt, false
	return interrupt
}

// over notes that the open term has no work any more.
func (s *standing) over() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.until, s.lease, s.interrupt = 0, leaseEnds{}, nil
}

// leads notes until when the work may go on as things are, 0 where it may not, and
// the lease.
func (s *standing) leads(until time.Duration, lease leaseEnds) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.until, s.lease = until, lease
}

// ID is the participant's name, as others see it.
func (c *Candidate) ID() string { return c.cfg.ID }

// Node is the full path of the candidate's node in the queue, "" while it has
// none. It has a new one after each term, and after each loss of its session.
func (c *Candidate) Node() string {
	c.standing.mu.Lock()
	defer c.standing.mu.Unlock()
	return c.standing.node
}

// HasLeadership tells whether the candidate leads: true from the start of a term's
// work until that is asked to stop. It is no memory of what the servers said
// last: the lease is compared with this host's clock at each call, so that it is
// false at once after a pause of the process or of the host in which the lease's
// end came. What it told may be over a moment later; the reserve of the lease, a
// tenth of the session timeout and at most a second, and CandidateConfig.StopTimeout
// as far as the lease holds it, are left for what relies on it, unless the term
// is ended on purpose: by Stop, Interrupt or a request to resign.
func (c *Candidate) HasLeadership() bool {
	select {
	case <-c.stop:
		return false
	default:
	}
	s := &c.standing
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.ending && s.until > 0 && c.now() < s.until
}

// LeaseLeft is how long the open term lasts if no further heartbeat is answered: until
// its work is asked to stop, and until the lease is over, when that has to be dead. Both
// are 0 where no term is open, and where the time has passed.
func (c *Candidate) LeaseLeft() (stop, end time.Duration) {
	s := &c.standing
	s.mu.Lock()
	defer s.mu.Unlock()
	now := c.now()
	return max(0, s.lease.stop-now), max(0, s.lease.deadline-now)
}

// Interrupt ends the term, as a request to resign does: the work is asked to stop,
// has its grace, is killed, and then the next participant leads. The candidate
// contends again where CandidateConfig.Requeue is RequeueLost or RequeueAlways;
// else Run returns with CauseResigned. It does not wait for any of this. It
// returns false, and does nothing, where no term is open or it was called before
// in this one: a wait in the queue is not interrupted.
func (c *Candidate) Interrupt() bool {
	s := &c.standing
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.interrupt == nil {
		return false
	}
	s.interrupt <- struct{}{} // has room
	s.interrupt, s.ending = nil, true
	return true
}

// Leader is who leads the election now, nil where nobody does: as status shows
// it, read from the servers over a session of its own, which lasts for the call.
// Who asks often keeps an Inspector. Errors wrap ErrUnreachable or ErrDenied.
func (c *Candidate) Leader(ctx context.Context) (*Participant, error) {
	e, err := c.cfg.look(ctx)
	if err != nil {
		return nil, err
	}
	return e.Leader, nil
}

// Participants are all who stand in the queue, this candidate among them, in the
// order in which they lead; none where the path does not exist. It is read, and
// fails, as Leader does.
func (c *Candidate) Participants(ctx context.Context) ([]Participant, error) {
	e, err := c.cfg.look(ctx)
	if err != nil {
		return nil, err
	}
	return e.Participants, nil
}

// look reads the election once. It is not done over the session of a candidate,
// whose checks would wait behind the listing of a long queue.
func (c *Config) look(ctx context.Context) (*Election, error) {
	cfg := *c
	cfg.Observer = nil
	i, err := Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer i.Close()
	e, err := i.Inspect(ctx, cfg.Path)
	if errors.Is(err, ErrNoElection) {
		return &newSnapshot(cfg.Path).Election, nil
	}
	return e, err
}
