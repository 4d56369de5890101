package zkelect

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/go-zookeeper/zk"
)

// leading is one term seen from inside. Everything in it is owned by lead's
// loop; what waits for servers runs in goroutines that answer over channels,
// so that the loop is never late for the lease.
type leading struct {
	c    *Candidate
	t    *term
	ctx  context.Context // ends with the term
	work Work            // nil until it is started; the fence's, while that runs
	out  Outcome
	err  error // beside the outcome

	fence        // of the terms before
	suspend      // what becomes of the work meanwhile
	told    bool // that the work waits for the terms before

	leads    bool // the term's own work is started, or about to be
	starting bool // the work, beside the loop
	starts   chan startedWork

	connection int
	connected  bool
	beats      chan beat
	beating    bool
	proved     bool // a check was answered since the opening
	beatAt     time.Duration

	unheard    bool // by the guard, and told so
	budgetTold bool

	stopping bool
	asked    bool // the work was asked to stop
	killed   bool
	tellLeft time.Duration // when to tell what the kill has not ended; 0: not
	graceEnd time.Duration // of the stop, as the lease stood when it began
	exited   bool
}

// beat is the answer to one check.
type beat struct {
	sentAt, answeredAt time.Duration
	err                error
	gone               string // the node that a server says is gone
}

// unkilledAfter is how long after a kill it is told what is still there. What can't
// be killed sleeps uninterruptibly, or is another user's.
const unkilledAfter = 2 * time.Second

// listenAfter is how long a term has lasted before it is looked what others want of it
// and whether the queue node still stands, so that nothing keeps the work from its start.
const listenAfter = 10 * time.Millisecond

// never is further away than any lease.
const never = time.Duration(1<<63 - 1)

// lead holds an open term until its work is dead. It returns how the term
// ended; the caller closes it.
func (c *Candidate) lead(t *term, start func(Term) (Work, error)) (Outcome, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	l := &leading{c: c, t: t, ctx: ctx, beats: make(chan beat, 1), starts: make(chan startedWork, 1), connected: true, connection: t.connection,
		fence: fence{recorded: make(chan fenceRecord, 1)}}
	c.cfg.emit(EventLeading, slog.String("node", t.Node), slog.Int64("token", t.Token), slog.String("session", sessionHex(t.Session)))
	interrupted := c.standing.opened()
	defer c.standing.over()
	if t.opened == 0 {
		l.beat() // what was learned by reading renews nothing
	} else {
		l.beatAt = t.opened + t.lease.heartbeat()
	}

	timer := time.NewTimer(0)
	defer timer.Stop()
	stop, kill := c.stop, c.kill
	var own <-chan string
	var resigned <-chan *ordered
	listenDue := time.After(listenAfter)
	tickKnown, tickDue := c.tickAsked()
	for {
		_, _, changed := c.sess.status()
		l.followSession()
		now := c.now()
		l.tellHost(now)
		l.advance(now, start)
		if l.over() {
			return l.out, l.err
		}
		l.tellStanding()
		timer.Reset(l.next() - now)
		select {
		case b := <-l.beats:
			l.beaten(b)
		case r := <-l.recorded:
			l.fenced(r)
		case <-listenDue:
			own, resigned = l.watchOwn(), c.serveRequests(ctx, t)
		case gone := <-own:
			l.lost(LossNode, gone)
		case o := <-resigned:
			resigned = nil
			c.cfg.emit(EventResign, o.attrs()...)
			l.stop(CauseResigned)
		case <-interrupted:
			interrupted = nil
			l.stop(CauseResigned)
		case <-tickDue:
			tickKnown = c.learnTick()
		case <-tickKnown:
			tickKnown, tickDue = nil, l.learnt()
		case <-stop:
			stop = nil
			l.stop(CauseStopped)
		case <-kill:
			kill = nil
			l.kill("second signal")
		case s := <-l.starts:
			if err := l.workStarted(s); err != nil {
				return l.out, err
			}
		case <-l.lapsedC():
			l.lapsed()
		case <-l.exitedC():
			l.workExited()
		case <-l.doneC():
		case <-changed:
		case <-c.cfg.Pulse:
		case <-timer.C:
		}
	}
}

// over tells whether nothing of the work is alive, for good.
func (l *leading) over() bool {
	if l.work == nil {
		return l.stopping && !l.starting
	}
	select {
	case <-l.work.Done():
	default:
		return brokenRelease && l.stopping
	}
	if !l.exited {
		l.workExited()
	}
	if l.fencing != nil && !l.stopping {
		l.recordFence()
		return false
	}
	return true
}

// next is when something is due without any event.
func (l *leading) next() time.Duration {
	at := never
	if l.connected && !l.beating {
		at = l.beatAt
	}
	switch lease := &l.t.lease; {
	case l.killed:
	case l.stopping:
		at = min(at, l.killAt())
	case lease.deadline > 0:
		stopAt, _ := lease.stopAt()
		at = min(at, stopAt)
	}
	if at = min(at, l.due()); at == never {
		return l.c.now() + l.t.lease.heartbeat()
	}
	// Go's timers stand still while the host is suspended: look again in time.
	return min(at, l.c.now()+l.t.lease.heartbeat())
}

// tellHost tells the lease in force.
func (l *leading) tellHost(now time.Duration) {
	lease := &l.t.lease
	if lease.deadline == 0 {
		return
	}
	stop, _ := lease.stopAt()
	silent := l.c.host.leased(stop, lease.killAt(), lease.deadline, now+3*lease.heartbeat())
	if silent > lease.patience() && !l.unheard {
		l.c.cfg.emit(EventUnheard, slog.Duration("since", silent), slog.Duration("left", lease.deadline-now))
	}
	l.unheard = silent > lease.patience()
}

// advance does what is due at now.
func (l *leading) advance(now time.Duration, start func(Term) (Work, error)) {
	lease := &l.t.lease
	if l.connected && !l.beating && now >= l.beatAt {
		l.beat()
	}
	if !l.stopping && lease.deadline > 0 {
		if at, _ := lease.stopAt(); now >= at {
			l.tellLost(LossLease, "no check was answered for too long")
			l.stop(CauseLost)
		}
	}
	if l.stopping && !l.killed && l.work != nil && now >= l.killAt() {
		l.kill("the grace is over")
	}
	if l.tellLeft > 0 && now >= l.tellLeft && l.work != nil {
		l.tellLeft = 0
		if w, ok := l.work.(interface{ Left() []int }); ok {
			l.c.cfg.emit(EventUnkilled, slog.Any("pids", w.Left()))
		}
	}
	l.tidyFence(now)
	if l.work == nil && !l.starting && !l.stopping {
		l.begins(now, start)
	}
}

// beat sends one check. Its time is taken before it is sent.
func (l *leading) beat() {
	c, t := l.c, l.t
	sentAt := c.now()
	l.beating, l.beatAt = true, sentAt+t.lease.heartbeat()
	s := prompt{t.sess, t.unanswered}
	go func() {
		res, err := s.multi(l.ctx, c.place.heartbeat(t.name)...)
		b := beat{sentAt: sentAt, answeredAt: c.now(), err: err}
		if op := failedOp(res); op >= 0 && errors.Is(err, zk.ErrNoNode) {
			b.gone = []string{t.Node, c.place.live}[op]
		}
		if err == nil && c.cfg.Recipe == RecipePlain { // the check has told that there is a node
			var owned bool
			if owned, b.err = c.place.owned(l.ctx, s); b.err == nil && !owned {
				b.err, b.gone = zk.ErrNoNode, t.Node
			}
		}
		l.beats <- b
	}()
}

func (l *leading) beaten(b beat) {
	l.beating = false
	switch {
	case b.err == nil:
		l.proved = true
		l.assure(b.sentAt)
		l.shrink()
		l.t.lease.renew(b.sentAt, b.answeredAt)
	case b.gone != "":
		l.lost(LossNode, b.gone+" was deleted")
	case errors.Is(b.err, errSessionLost):
		l.lost(LossSession, "the session is over: "+l.c.sess.end())
	case ambiguous(b.err):
		// What matters is the lease. The next check follows at its time, or
		// with the next connection.
		l.c.cfg.emit(EventRetry, slog.String("what", "check"), slog.Any("error", b.err))
	default:
		l.lost(LossRefused, fmt.Sprintf("the servers refuse the check: %v", b.err))
	}
}

// shrink takes the session timeout that a new connection may have made smaller.
func (l *leading) shrink() {
	if timeout := l.c.sess.timeout(); timeout < l.t.lease.timeout {
		l.t.lease.shrink(timeout)
		l.tellBudget()
	}
}

// followSession looks at what became of the connection.
func (l *leading) followSession() {
	st, connection, _ := l.c.sess.status()
	switch {
	case st == sessionLost:
		l.lost(LossSession, "the session is over: "+l.c.sess.end())
	case st == sessionSuspended && l.connected:
		l.connected, l.lostAt = false, l.c.now()
		attrs := connectionOf(l.c.sess)
		if lease := &l.t.lease; lease.deadline > 0 {
			at, _ := lease.stopAt()
			attrs = append(attrs, slog.Duration("stop_in", at-l.lostAt), slog.Duration("left", lease.deadline-l.lostAt))
		}
		l.c.cfg.emit(EventSuspended, attrs...)
		l.suspended()
	case st == sessionConnected && connection != l.connection:
		away := time.Duration(0) // where it was back before anybody looked
		if !l.connected {
			away = l.c.now() - l.lostAt
		}
		l.connection, l.connected = connection, true
		l.reconnected()
		l.t.lease.reconnected()
		l.c.cfg.emit(EventReconnected, append(connectionOf(l.c.sess), slog.Duration("away", away))...)
		l.shrink()
		if !l.beating {
			l.beat()
		} else {
			l.beatAt = l.c.now() // as soon as the old one has failed
		}
	}
}

// watchOwn tells when the own queue node is deleted.
func (l *leading) watchOwn() <-chan string {
	gone := make(chan string, 1)
	t := l.t
	go func() {
		for {
			_, stat, ch, err := t.sess.getW(l.ctx, t.Node)
			if err == nil && stat.EphemeralOwner != t.Session {
				err = zk.ErrNoNode // another's, by the same name
			}
			switch {
			case err == nil:
				select {
				case <-ch: // deleted, or somebody wrote to it
				case <-l.ctx.Done():
					return
				}
			case errors.Is(err, zk.ErrNoNode):
				gone <- t.Node + " was deleted"
				return
			case ambiguous(err) && l.ctx.Err() == nil:
				if pauseAfter(l.ctx, t.sess) != nil {
					return
				}
			default:
				return // the checks tell what there is to tell
			}
		}
	}()
	return gone
}

// lost is a proven loss: another may lead already, so there is no grace.
func (l *leading) lost(loss Loss, reason string) {
	if l.killed {
		return
	}
	l.tellLost(loss, reason)
	l.begin(CauseLost)
	l.kill("leadership is lost")
}

func (l *leading) tellLost(loss Loss, reason string) {
	l.c.cfg.emit(EventLost, l.withLease(slog.String("loss", string(loss)), slog.String("reason", reason))...)
}

// tellStanding tells whether this candidate leads: while its work has not been
// asked to end and does not stand still.
func (l *leading) tellStanding() {
	ends := leaseEnds{deadline: l.t.lease.deadline}
	if ends.deadline > 0 {
		ends.stop, _ = l.t.lease.stopAt()
	}
	until := time.Duration(0)
	if l.leads && !l.stopping && l.frozen == nil {
		until = ends.stop
	}
	l.c.standing.leads(until, ends)
}

// begin marks the end of the term; the first cause stays.
func (l *leading) begin(cause Cause) {
	if l.stopping {
		return
	}
	l.stopping = true
	l.graceEnd = l.c.now() + l.c.cfg.StopTimeout
	if l.out.Cause == "" {
		l.out.Cause = cause
	}
	l.tellStanding() // before the work hears of it
}

// stop asks the work to end. It is never cancelled; renewals only lengthen
// the grace.
func (l *leading) stop(cause Cause) {
	if l.stopping {
		return
	}
	l.begin(cause)
	if l.work != nil {
		began := l.graceEnd - l.c.cfg.StopTimeout
		l.c.cfg.emit(EventStopping, l.withLease(slog.String("cause", string(cause)), slog.Duration("grace", l.killAt()-began))...)
		l.ask()
	}
}

// killAt is when the grace of the stop is over: never later than the lease
// allows.
func (l *leading) killAt() time.Duration {
	if l.t.lease.deadline == 0 {
		return l.graceEnd
	}
	return min(l.graceEnd, l.t.lease.killAt())
}

func (l *leading) kill(reason string) {
	if l.killed {
		return
	}
	l.begin(CauseStopped)
	l.killed = true
	if l.work != nil {
		l.c.cfg.emit(EventKilling, l.withLease(slog.String("reason", reason))...)
		l.work.Kill()
		l.tellLeft = l.c.now() + unkilledAfter
	}
}

// tellBudget tells the lease in force, and that the grace does not fit. Before
// the servers have told the tick there is nothing worth telling.
func (l *leading) tellBudget() {
	l.budgetTold = true
	b := l.t.lease.budget
	stop, grace := b.stopAfter(b.steady())
	firstStop, _ := b.stopAfter(b.first())
	l.c.cfg.emit(EventBudget, slog.Duration("timeout", b.timeout), slog.Duration("tick", b.tick),
		slog.Duration("heartbeat", b.heartbeat()), slog.Duration("deadline", b.steady()), slog.Duration("stop", stop),
		slog.Duration("grace", grace), slog.Duration("first_deadline", b.first()), slog.Duration("first_stop", firstStop))
	if !b.fits() && !l.c.warned {
		l.c.warned = true
		_, least := b.stopAfter(min(b.first(), b.steady()))
		l.c.cfg.emit(EventGrace, slog.Duration("asked", b.grace), slog.Duration("grace", least),
			slog.Duration("session_timeout_needed", b.smallest(budget.fits)))
	}
}
