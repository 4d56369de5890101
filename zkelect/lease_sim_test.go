package zkelect

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// The simulation in this file is of one session on an ensemble, seen from
// outside: a client that pings each T/3 and sends checks, a follower that
// passes touches on to the leader each half tick and can die at any time, and
// the leader's tracker, which lets the session expire at
// roundUp(last touch + T, tick).

// arithmetic is a lease, or a mutant of one.
type arithmetic interface {
	renew(sentAt, answeredAt time.Duration)
	reconnected()
	until() time.Duration
}

type realLease struct{ lease }

func (l *realLease) renew(sentAt, answeredAt time.Duration) { answered(&l.lease, sentAt, answeredAt) }
func (l *realLease) until() time.Duration                   { return l.deadline }

// mutant is a copy of the lease's arithmetic from which a part can be left out.
type mutant struct {
	budget
	noHalfTick, noSpacing bool
	anySent               bool // an earlier check counts from its sending on, not from its answer
	sent, answers         []time.Duration
	deadline              time.Duration
}

func (m *mutant) renew(sentAt, answeredAt time.Duration) {
	spacing := m.timeout / 3
	for i := len(m.sent) - 1; i >= 0; i-- {
		from := m.answers[i]
		if m.anySent {
			from = m.sent[i]
		}
		if sentAt-from >= m.tick/2 {
			spacing = sentAt - m.sent[i]
			break
		}
	}
	if m.noSpacing {
		spacing = 0
	}
	margin := max(m.heartbeat(), spacing) + m.jitter()
	if !m.noHalfTick {
		margin += m.tick / 2
	}
	m.sent, m.answers = append(m.sent, sentAt), append(m.answers, answeredAt)
	m.deadline = max(m.deadline, sentAt+m.timeout-margin)
}

func (m *mutant) reconnected()         { m.sent, m.answers = nil, nil }
func (m *mutant) until() time.Duration { return m.deadline }

func upTo(r *rand.Rand, d time.Duration) time.Duration { return time.Duration(r.Int64N(int64(d))) }

// ensemble is the leader's side of the simulation.
type ensemble struct {
	budget
	r       *rand.Rand
	phase   time.Duration // of the leader's expiry buckets
	rounded bool          // else the bound that holds for every phase
	expiry  time.Duration
}

func (e *ensemble) touch(at time.Duration) {
	e.expiry = at + e.timeout
	if e.rounded {
		e.expiry = (e.expiry-e.phase+e.tick-1)/e.tick*e.tick + e.phase
	}
}

// connection simulates one connection that is made at from: checks begin at
// first, each message is under way for up to delay. It returns when the
// follower died, or the session did.
func (e *ensemble) connection(l arithmetic, from, first, delay time.Duration) (died time.Duration) {
	e.touch(from) // a reconnection touches at once
	r := e.r
	half := e.tick / 2
	dies := from + upTo(r, e.timeout*2)
	forward := from + upTo(r, half)
	pending, arrived, answered := false, from, from
	sample := func() time.Duration {
		switch r.IntN(4) {
		case 0:
			return upTo(r, delay)
		case 1:
			return delay - upTo(r, delay/10)
		}
		return upTo(r, delay/20) // the network is mostly good
	}
	// pass lets the follower do what it does until at.
	pass := func(at time.Duration) bool {
		for ; forward <= min(at, dies); forward += half {
			if forward > e.expiry {
				return false
			}
			if pending {
				e.touch(forward)
				pending = false
			}
		}
		return at <= dies && at <= e.expiry
	}
	ping, check := from+e.timeout/3, first
	for {
		at := min(ping, check)
		arrived = max(arrived, at+sample())
		if check <= ping && r.IntN(8) == 0 {
			dies = min(dies, arrived+upTo(r, half)/8) // the worst moment
		}
		if !pass(arrived) {
			return min(dies, e.expiry)
		}
		pending = true
		if at == ping {
			ping += e.timeout / 3
			continue
		}
		answered = max(answered, arrived) + sample()
		if answered-at > e.unanswered() {
			return min(answered, e.expiry) // the client closes the socket
		}
		l.renew(at, answered)
		check = max(at+e.heartbeat(), answered)
	}
}

// outlived runs one history by seed and tells how far the lease went beyond
// the server's expiry at worst.
func outlived(seed uint64, make func(budget) arithmetic, delay func(budget) time.Duration) (worst time.Duration, b budget) {
	r := rand.New(rand.NewPCG(seed, 1))
	b.tick = []time.Duration{200, 500, 1000, 2000, 3000}[r.IntN(5)] * time.Millisecond
	b.timeout = b.tick*2 + upTo(r, b.tick*18)
	if !b.feasible() {
		return 0, b
	}
	e := &ensemble{budget: b, r: r, phase: upTo(r, b.tick), rounded: r.IntN(2) == 0}
	l := make(b)
	now, first := time.Hour, time.Hour+upTo(r, 2*b.timeout)
	for range 1 + r.IntN(4) {
		died := e.connection(l, now, first, delay(b))
		worst = max(worst, l.until()-e.expiry)
		now = died + upTo(r, b.timeout/4)
		if now >= e.expiry {
			break
		}
		l.reconnected()
		first = now + upTo(r, 20*time.Millisecond)
	}
	return worst, b
}

// histories looks for the worst of n histories, with messages under way for up
// to delay. It stops at the first lease that outlives its session.
func histories(n uint64, make func(budget) arithmetic, delay func(budget) time.Duration) string {
	for seed := range n {
		if worst, b := outlived(seed, make, delay); worst > 0 {
			return fmt.Sprintf("seed %d: with T %v and tick %v the lease outlives the session by %v", seed, b.timeout, b.tick, worst)
		}
	}
	return ""
}

const manyHistories = 60_000

// The deadline is never later than the server's expiry while messages are under
// way no longer than the jitter that the margin holds.
func TestLeaseNeverOutlivesSession(t *testing.T) {
	if bad := histories(manyHistories, func(b budget) arithmetic { return &realLease{lease{budget: b}} }, budget.jitter); bad != "" {
		t.Error(bad)
	}
}

// Each part of the margin is needed, and the simulation is able to tell.
func TestSimulationSeesMissingMargin(t *testing.T) {
	for name, m := range map[string]mutant{
		"half tick":   {noHalfTick: true},
		"spacing":     {noSpacing: true},
		"late answer": {anySent: true},
	} {
		bad := histories(manyHistories, func(b budget) arithmetic { m := m; m.budget = b; return &m }, budget.jitter)
		if bad == "" {
			t.Errorf("%s: left out, and no lease outlived its session", name)
		}
		t.Log(name, bad)
	}
	if bad := histories(manyHistories, func(b budget) arithmetic { return &mutant{budget: b} }, budget.jitter); bad != "" {
		t.Error("nothing left out, and yet", bad)
	}
}
