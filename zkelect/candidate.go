package zkelect

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"syscall"
	"time"
)

// Term is one span of leadership, as the work of it sees it.
type Term struct {
	Path    string // the latch path
	ID      string // this participant
	Node    string // full path of its node in the queue
	Session int64  // the ZooKeeper session
	// Token is the fencing token, the zxid of the transaction that opened the
	// term: greater in each later term, within one history of the ensemble.
	Token int64
	Since time.Time // the servers' time of the opening
}

// Work is what runs during a term. It is started when leadership is certain.
// None of its methods may block.
type Work interface {
	Stop()                                     // asks for the end; called once
	Kill()                                     // forces the end; may be called again
	Exited() <-chan struct{}                   // closed when the main part has ended
	Done() <-chan struct{}                     // closed when nothing of it is alive any more
	Status() (code int, signal syscall.Signal) // how the main part ended, after Exited
}

// host is told what whoever runs the works has to know. near, far and
// leased may not block.
type host interface {
	// near: this candidate leads next; or at once, by the queue node of this name (or
	// beginning, before the servers have numbered it), if that is given. It may be told
	// again.
	near(name string)
	// far: others lead before. It may be told again.
	far()
	// armed returns when the death of this process would end the work and close
	// the term, which is about to be opened by the queue node of this name or beginning.
	armed(ctx context.Context, name string) error
	// leased tells the lease in force: whoever hears nothing more has the work
	// stopped at stop, killed at kill and dead at end. The next word comes before
	// own unless this process hangs. It returns for how long nobody has heard.
	leased(stop, kill, end, own time.Duration) (silent time.Duration)
	// released: the term is over, or none is wanted any more.
	released()
}

// free is the host of works that need none.
type free struct{}

func (free) near(string)                                   {}
func (free) far()                                          {}
func (free) armed(context.Context, string) error           { return nil }
func (free) leased(_, _, _, _ time.Duration) time.Duration { return 0 }
func (free) released()                                     {}

// guarded is a Work that others may end.
type guarded interface {
	// Lapsed is closed when it is being ended because no lease is known to go on.
	Lapsed() <-chan struct{}
	// Orphaned tells, after Exited, that what held it together was killed.
	Orphaned() bool
}

// errWorkLost: what was to hold the work together is dead.
var errWorkLost = errors.New("the guard process died")

// Candidate contends in one election, again and again as configured, and runs
// work in each of its terms. One goroutine, that of Run, owns its state.
type Candidate struct {
	cfg   CandidateConfig
	place place
	host  host

	standing standing

	// What tests replace.
	now     func() time.Duration
	connect func(context.Context, *Config) (session, error)
	probe   func(context.Context, session) (time.Duration, error)

	stopOnce, killOnce sync.Once
	stop, kill         chan struct{}
	signal             syscall.Signal // why stop was closed; read after it was

	sess      session
	connected bool // once
	joined    joining
	prepared  bool // the side node, in this session
	warned    bool // that the grace does not fit
	endTold   bool // that the sequence nears its end
	heirs     bool // wait behind the term that was just closed
	yields    bool // to those who wait, with RecipePlain: it has just led
	tick      tick
	hostPID   bool // the id is the default one
	// unsaid is how terms of ours ended whose closing could not be said, by their
	// queue node: the next opening says it.
	unsaid map[string]conclusion
	// blockedBy is the leader before, while its tree keeps us from leading.
	blockedBy string
	// held is the hold that was told of and keeps us from leading, by its key.
	held string
}

// Why a wait ends.
var (
	errStopped        = errors.New("asked to stop")
	errWaited         = errors.New("waited long enough")
	errConnectTimeout = errors.New("connect timeout")
)

// Why a queueing ends without a term; the candidate then queues again.
var (
	errPlaceLost = errors.New("own node in the queue is gone")
	errAside     = errors.New("stepped aside")
	// errDoubt: a node of this session may be left where it must not be; only
	// the end of the session is sure to remove it.
	errDoubt = errors.New("what is left of this session is not known")
)

// NewCandidate checks the configuration; nothing is sent yet.
func NewCandidate(cfg CandidateConfig) (*Candidate, error) {
	cfg.setDefaults()
	cfg.Observer = serial(cfg.Observer)
	hostPID := cfg.ID == ""
	if hostPID {
		cfg.ID = DefaultID()
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Candidate{
		cfg:     cfg,
		place:   placeOf(cfg.Path, cfg.Recipe),
		host:    free{},
		now:     bootTime,
		connect: func(ctx context.Context, cfg *Config) (session, error) { return newSession(ctx, cfg) },
		probe:   probeTick,
		stop:    make(chan struct{}),
		kill:    make(chan struct{}),
		unsaid:  map[string]conclusion{},
		hostPID: hostPID,
	}, nil
}

// Stop leaves the queue, or ends the term: the work is asked to stop, has its
// grace, and is killed. sig, if not 0, is told in the Outcome where no work ran.
func (c *Candidate) Stop(sig syscall.Signal) {
	c.stopOnce.Do(func() { c.signal = sig; close(c.stop) })
}

// Kill is Stop without grace.
func (c *Candidate) Kill() {
	c.Stop(0)
	c.killOnce.Do(func() { close(c.kill) })
}

// Run contends until the configuration says that it is over. It returns when
// nothing of any work is alive and the session is closed. The end of ctx is as
// a call of Stop. The error is nil unless Cause is CauseError,
// CauseNotLeader or CauseFenceFailed. Unless Stop was called, Run may be called
// again after it has returned: that queues for one more turn.
func (c *Candidate) Run(ctx context.Context, start func(Term) (Work, error)) (Outcome, error) {
	if err := c.standing.runs(); err != nil {
		return Outcome{Cause: CauseError}, err
	}
	defer c.standing.ran()
	c.connected, c.joined = false, joining{} // the connect timeout is for each turn
	defer context.AfterFunc(ctx, func() { c.Stop(0) })()
	// Not a child of ctx: what must be said to the servers after the end of
	// ctx, closing foremost, is said.
	waiting, cancel := context.WithCancelCause(c.awake(context.WithoutCancel(ctx)))
	defer cancel(nil)
	go func() {
		select {
		case <-c.stop:
			cancel(errStopped)
		case <-waiting.Done():
		}
	}()
	defer c.leave()
	defer c.host.released()

	delay := c.cfg.RequeueDelay
	for {
		t, err := c.contend(waiting)
		if err != nil {
			return c.gaveUp(err)
		}
		out, err := c.lead(t, start)
		if out.Cause == CauseStopped && !out.Ran {
			out.Signal = c.signal
		}
		c.release(t, out)
		again := err == nil && c.requeues(out)
		c.standing.queued("")
		if c.heirs {
			c.heirs = false
			_ = sleep(c.awake(context.Background()), makeWay)
		}
		c.host.released()
		if !again {
			return out, err
		}
		pause := time.Duration(0)
		if out.Cause == CauseExited && out.Code != 0 || out.Cause == CauseSignalled {
			pause = delay
			delay = min(2*delay, maxRequeueDelay)
		} else {
			delay = c.cfg.RequeueDelay
		}
		attrs := []slog.Attr{slog.String("cause", string(out.Cause)), slog.Duration("after", pause)}
		if out.Ran {
			attrs = append(attrs, slog.Int("code", out.Code))
		}
		if out.Ran && out.Signal != 0 {
			attrs = append(attrs, slog.String("signal", signalName(out.Signal)))
		}
		if out.Err != nil {
			attrs = append(attrs, slog.Any("error", out.Err))
		}
		c.cfg.emit(EventRequeue, attrs...)
		if err := sleep(waiting, pause); err != nil {
			return c.gaveUp(err)
		}
	}
}

// requeues tells whether the candidate contends again after a term.
func (c *Candidate) requeues(out Outcome) bool {
	select {
	case <-c.stop:
		return false
	default:
	}
	switch out.Cause {
	case CauseLost, CauseResigned:
		return c.cfg.Requeue != RequeueNever
	case CauseExited, CauseSignalled:
		return c.cfg.Requeue == RequeueAlways
	}
	return false
}

// gaveUp is the outcome of a wait that ended without a term.
func (c *Candidate) gaveUp(err error) (Outcome, error) {
	var nl *notLeader
	var sk *skipped
	switch {
	case errors.Is(err, errStopped):
		return Outcome{Cause: CauseStopped, Signal: c.signal}, nil
	case errors.As(err, &sk):
		return Outcome{Cause: CauseSkipped, Skipped: sk.run.past()}, nil
	case errors.As(err, &nl):
		return Outcome{Cause: CauseNotLeader, Leader: nl.leader}, err
	}
	return Outcome{Cause: CauseError}, err
}

// contend waits for leadership: it queues until a term is open. It joins again
// after a loss of the session or of its place.
func (c *Candidate) contend(ctx context.Context) (*term, error) {
	if c.cfg.Wait > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, c.cfg.Wait, errWaited)
		defer cancel()
	}
	for {
		t, err := c.attempt(ctx)
		switch {
		case err == nil:
			return t, nil
		case errors.Is(err, errSessionLost), errors.Is(err, errDoubt):
			c.expired(err)
		case errors.Is(err, errPlaceLost):
			c.cfg.emit(EventPlaceLost, slog.String("node", c.Node()))
		case errors.Is(err, errAside):
		case c.connected && (errors.Is(err, errWaited) || errors.Is(err, ErrUnreachable) && ctx.Err() != nil):
			return nil, c.conflict("", c.cfg.Wait)
		default:
			return nil, err
		}
		c.standing.queued("")
		c.host.released() // at the back of the queue nobody needs it
	}
}

// attempt is one queueing from the connection to the open term.
func (c *Candidate) attempt(ctx context.Context) (*term, error) {
	if err := c.ensureSession(ctx); err != nil {
		return nil, err
	}
	if err := c.affordable(ctx); err != nil {
		return nil, err
	}
	var seen *sight
	uuid := newUUID(c.hostPID)
	if !c.prepared {
		var err error
		if c.enters() {
			c.host.near(c.cfg.Recipe.prefix(uuid))
		}
		if seen, err = c.arrive(ctx); err != nil {
			return nil, err
		}
		c.prepared = true
	}
	if err := c.place.room(ctx, c.sess, seen); err != nil {
		return nil, err
	}
	name, turn, err := c.queue(ctx, seen, uuid)
	if err != nil {
		return nil, err
	}
	t, err := c.open(ctx, name, turn)
	if err != nil {
		return nil, err
	}
	if turn.listed != nil {
		err = c.confirm(ctx, name, turn.listed, turn.entry != nil)
	}
	if c.cfg.Recipe == RecipePlain {
		var owned bool
		if owned, err = c.place.owned(ctx, c.sess); err == nil && !owned {
			err = errDoubt // the opening found the node of another
		}
	}
	if err != nil {
		c.release(t, Outcome{Cause: CauseError}) // nothing was started
		return nil, err
	}
	return t, nil
}

// queue returns when the candidate is first, with the name of its queueing.
func (c *Candidate) queue(ctx context.Context, seen *sight, uuid string) (name string, first turn, err error) {
	switch {
	case c.cfg.Recipe == RecipePlain:
		name, err = c.take(ctx)
	case seen != nil && c.enters() && seen.free():
		name, first, err = c.enter(ctx, seen, uuid)
	default:
		name, err = c.join(ctx, uuid)
	}
	if err == nil {
		err = c.noteJoined(ctx, name)
	}
	if err != nil {
		return "", turn{}, err
	}
	c.standing.queued(c.place.node(name))
	if c.cfg.Recipe != RecipePlain && first.entry == nil {
		first, err = c.await(ctx, name)
	}
	return name, first, err
}

func (c *Candidate) ensureSession(ctx context.Context) error {
	if c.sess != nil {
		if st, _, _ := c.sess.status(); st != sessionLost {
			return nil
		}
		c.drop()
	}
	if !c.connected && c.cfg.ConnectTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, c.cfg.ConnectTimeout, errConnectTimeout)
		defer cancel()
	}
	s, err := c.connect(ctx, &c.cfg.Config)
	for errors.Is(err, ErrUnreachable) && ctx.Err() == nil {
		_ = sleep(ctx, time.Second) // the session was over before it was used
		s, err = c.connect(ctx, &c.cfg.Config)
	}
	if err != nil {
		return err
	}
	granted := s.timeout()
	c.cfg.emit(EventConnected, append(connectionOf(s), slog.Duration("timeout", granted))...)
	if !c.connected && granted != c.cfg.SessionTimeout {
		c.cfg.emit(EventTimeout, slog.Duration("asked", c.cfg.SessionTimeout), slog.Duration("granted", granted))
	}
	c.sess, c.connected, c.prepared = s, true, false
	return nil
}

// drop gives the session up without a word to the servers where they do not
// answer at once.
func (c *Candidate) drop() {
	if c.sess != nil {
		c.sess.close(500 * time.Millisecond)
		c.sess = nil
	}
}

// leave ends the session, politely where it can: with it goes whatever is left of us in ZooKeeper.
func (c *Candidate) leave() {
	if c.sess == nil {
		return
	}
	// A connection that is just being made again is worth a moment: without it
	// our nodes hold up everybody behind until the session expires.
	ctx, cancel := context.WithTimeout(c.awake(context.Background()), time.Second)
	go func() {
		select {
		case <-c.kill:
			cancel()
		case <-ctx.Done():
		}
	}()
	_ = awaitConnected(ctx, c.sess)
	cancel()
	c.sess.close(time.Second)
	c.sess = nil
}

func sessionHex(id int64) string { return fmt.Sprintf("0x%x", uint64(id)) }
