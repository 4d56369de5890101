package zkelect

import (
	"fmt"
	"time"
)

// Times in this file are on this host's clock that counts suspend, since boot.

// budget is the arithmetic of a lease: how long leadership may be relied on
// after an acknowledged check, and how that span is divided.
//
// The server counts a session's timeout from the last touch that its *leader*
// knows of. A check answered by the quorum proves that the session lived when
// it was sent, but does not itself touch that tracker when it went through a
// follower: touches travel with the leader's ping each half tick, and an
// earlier request may be the last one that was carried. Hence the margin.
// Source: ZooKeeper's LearnerHandler and SessionTrackerImpl; docs/protocol.md.
type budget struct {
	timeout time.Duration // the smallest negotiated session timeout, T
	tick    time.Duration // the ensemble's tickTime
	grace   time.Duration // what the caller wants between stop and kill
}

// heartbeat is the interval of checks.
func (b budget) heartbeat() time.Duration { return max(b.timeout/10, 100*time.Millisecond) }

// reserve is kept between the kill and the deadline.
func (b budget) reserve() time.Duration { return min(time.Second, b.timeout/10) }

// jitter covers what neither clock tells: scheduling here and there.
func (b budget) jitter() time.Duration { return max(b.timeout/30, 250*time.Millisecond) }

// patience is the least time from the last good check's sending to the stop.
func (b budget) patience() time.Duration { return b.heartbeat() * 5 / 2 }

// unanswered is how long a check may stay without an answer before the socket
// is closed, so that another server is tried within the patience.
func (b budget) unanswered() time.Duration { return min(b.heartbeat()*3/2, 2*time.Second) }

// margin is what is taken off the session timeout. spacing is the time between
// the last acknowledged check and the newest earlier one that a follower had
// surely passed on, 0 where there is none: then the session was touched by the
// library's pings alone, each T/3.
func (b budget) margin(spacing time.Duration) time.Duration {
	if spacing == 0 {
		spacing = b.timeout / 3
	}
	return b.tick/2 + max(b.heartbeat(), spacing) + b.jitter()
}

// first is how long a lease lasts whose first check is its only one.
func (b budget) first() time.Duration { return b.timeout - b.margin(0) }

// steady is how long a lease lasts while every heartbeat is answered.
func (b budget) steady() time.Duration {
	h := b.heartbeat()
	const answer = 10 * time.Millisecond // half a tick counts from there
	spacing := h * ((b.tick/2+answer)/h + 1)
	return b.timeout - b.margin(spacing)
}

// stopAfter divides a lease of span: how long after the check's sending the
// stop begins, and the grace that is left then.
func (b budget) stopAfter(span time.Duration) (after, grace time.Duration) {
	room := span - b.reserve() - b.patience()
	grace = max(0, min(b.grace, room))
	return span - b.reserve() - grace, grace
}

// feasible tells whether every lease leaves the patience.
func (b budget) feasible() bool {
	return min(b.first(), b.steady()) >= b.reserve()+b.patience()
}

// fits tells whether every lease holds the whole grace too.
func (b budget) fits() bool {
	return min(b.first(), b.steady()) >= b.reserve()+b.patience()+b.grace
}

// smallest is the smallest session timeout, in steps of 100 ms, for which ok
// holds; the tick stays.
func (b budget) smallest(ok func(budget) bool) time.Duration {
	const step = 100 * time.Millisecond
	low, high := time.Duration(0), time.Duration(1)
	at := func(steps time.Duration) bool { c := b; c.timeout = steps * step; return ok(c) }
	for !at(high) {
		if high > 1<<32 {
			return 0
		}
		low, high = high, high*2
	}
	for high-low > 1 {
		if mid := (low + high) / 2; at(mid) {
			high = mid
		} else {
			low = mid
		}
	}
	return high * step
}

// check refuses a session timeout that cannot carry a lease.
func (b budget) check() error {
	if b.feasible() {
		return nil
	}
	return fmt.Errorf("%w: a session timeout of %v with a tick of %v leaves a lease of %v, and %v are needed to notice a loss and to kill; use --session-timeout %v or more (the servers grant 2 to 20 ticks unless configured otherwise)",
		ErrUnsafe, b.timeout, b.tick, max(0, min(b.first(), b.steady())), b.reserve()+b.patience(),
		b.smallest(budget.feasible))
}

// lease is one span of leadership as it can be proved on this host.
type lease struct {
	budget
	acked    []acked       // checks on this connection, oldest first
	renewed  time.Duration // the newest acknowledged check's sending
	spacing  time.Duration // of that check from an earlier one; 0 where there is none
	deadline time.Duration // moves back only with the timeout
}

// acked is a check that was answered.
type acked struct{ sent, answered time.Duration }

// renew takes a check that was sent at sentAt and acknowledged at answeredAt.
//
// An earlier check counts for the spacing once it had been *answered* for half
// a tick when this one was sent: only then has the follower surely received it
// before the last ping to its leader that it may have lived to answer.
func (l *lease) renew(sentAt, answeredAt time.Duration) {
	spacing := time.Duration(0)
	for i := len(l.acked) - 1; i >= 0; i-- {
		if sentAt-l.acked[i].answered >= l.tick/2 {
			spacing = max(sentAt-l.acked[i].sent, 1)
			l.acked = l.acked[i:] // older ones can never be the newest again
			break
		}
	}
	l.acked = append(l.acked, acked{sentAt, answeredAt})
	if sentAt >= l.renewed {
		l.renewed, l.spacing = sentAt, spacing
	}
	l.extend()
}

func (l *lease) extend() {
	if brokenNoLease {
		l.deadline = never
		return
	}
	l.deadline = max(l.deadline, l.renewed+l.timeout-l.margin(l.spacing))
}

// learn takes the tick in place of the one that was assumed, which was larger.
func (l *lease) learn(tick time.Duration) {
	l.tick = tick
	if l.deadline > 0 {
		l.extend()
	}
}

// shrink takes a smaller session timeout, which the server of a new connection
// has granted: from then on the servers count that one.
func (l *lease) shrink(timeout time.Duration) {
	if timeout >= l.timeout {
		return
	}
	l.timeout = timeout
	if l.deadline > 0 {
		l.deadline = min(l.deadline, l.renewed+timeout-l.margin(0))
	}
}

// reconnected forgets the spacing: what the old connection's server had passed
// on is unknown.
func (l *lease) reconnected() { l.acked = nil }

// killAt is the latest moment for the kill.
func (l *lease) killAt() time.Duration { return l.deadline - l.reserve() }

// stopAt is when the stop must begin without a further renewal, and the grace
// that it leaves.
func (l *lease) stopAt() (at, grace time.Duration) {
	after, grace := l.stopAfter(l.deadline - l.renewed)
	return l.renewed + after, grace
}

// startable tells whether work may be started at now. The lease of an opening
// must still hold patience, grace and reserve; a check that was answered
// afterwards (proved) at least one more heartbeat. A grace that was cut has left no more
// than the patience from the opening's sending: half a heartbeat of it may go by until
// the answer.
func (l *lease) startable(now time.Duration, proved bool) bool {
	at, grace := l.stopAt()
	ahead := l.patience()
	switch {
	case proved:
		ahead = l.heartbeat()
	case grace < l.grace:
		ahead -= l.heartbeat() / 2
	}
	return l.deadline > 0 && now+ahead <= at
}
