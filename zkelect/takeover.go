package zkelect

import (
	"log/slog"
	"time"
)

// clockRate bounds by how much the rate of a host's clock that counts suspend
// differs from that of true time. Quartz is off by less than 1e-4, and Linux
// lets NTP slew it by 5e-4 at most. That two clocks keep to it is all that the
// proof of a takeover delay assumes: see docs/protocol.md.
const clockRate = 1e-3

// bothRates is a time by one host's clock as the clock of another may count it
// at most: the one slow, the other fast.
func bothRates(d time.Duration) time.Duration {
	return d + time.Duration(2*clockRate*float64(d))
}

// takeoverDelay is how long after the candidate saw itself first the work of a
// term may start, for all that is still carried from terms before.
//
// Whoever else led held a lease on a check that was executed before its queue
// node was gone, hence before we saw ourselves first. It ends its work by its
// own clock no later than its lease, whatever the servers do with its session.
func (c *Candidate) takeoverDelay(t *term) time.Duration {
	if c.cfg.TakeoverDelay == 0 || len(t.unclean) == 0 && !t.missing {
		return 0
	}
	wait := max(c.cfg.TakeoverDelay, 0)
	own := t.sess.timeout()
	for _, u := range t.unclean {
		wait = max(wait, u.outlived(own))
	}
	if t.missing {
		wait = max(wait, bothRates(own))
	}
	return wait
}

// takeover is how long the work has to wait yet, 0 or less where it has not.
func (l *leading) takeover(now time.Duration) time.Duration {
	return l.c.takeoverDelay(l.t) - (now - l.t.first)
}

// tellTakeover tells of the wait as it begins: how long, and because of whom.
func (l *leading) tellTakeover(left time.Duration) {
	if l.told {
		return
	}
	l.told = true
	var ids []string
	for _, u := range l.t.unclean {
		ids = append(ids, printable([]byte(u.ID)))
	}
	attrs := []slog.Attr{
		slog.Duration("for", left), slog.Duration("delay", l.c.takeoverDelay(l.t)),
		slog.Time("until", time.Now().Add(left).UTC().Truncate(time.Millisecond)),
	}
	if len(ids) > 0 {
		l.c.cfg.emit(EventTakeover, append(attrs, slog.Any("unclean", ids))...)
	}
	if l.t.missing {
		l.c.cfg.emit(EventMissing, attrs...)
	}
}

// due is when something other than a check or the stop is, never where nothing
// is.
func (l *leading) due() time.Duration {
	switch now := l.c.now(); {
	case l.tidyAt > 0:
		return l.tidyAt
	case l.work == nil && !l.stopping && l.takeover(now) > 0:
		return now + min(l.takeover(now), l.t.lease.heartbeat())
	}
	return never
}

// begins starts what is due of the term's work: a fence for each term before
// that did not end cleanly, then, after their leases, the work itself.
func (l *leading) begins(now time.Duration, start func(Term) (Work, error)) {
	if l.recording || l.unsure() {
		return
	}
	previous := l.unfenced()
	if left := l.takeover(now); previous == nil && left > 0 {
		l.tellTakeover(left)
		return
	}
	// The lease of a tick that is only assumed holds no more than the patience, and that
	// from the sending on. It is told long before that is over.
	if !l.t.lease.startable(now, l.proved || !l.c.tickKnown()) {
		if l.connected && !l.beating && !l.proved {
			l.beat() // the opening took too long to be the proof
		}
		return
	}
	select {
	case <-l.c.stop: // asked to stop meanwhile: nothing is started any more
		return
	default:
	}
	if previous != nil {
		l.startFence(*previous)
		return
	}
	l.leads = true
	l.tellStanding() // before the work can ask
	t := l.t.Term
	l.begun(nil, func() (Work, error) { return start(t) })
}
