package zkelect

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

const ms = time.Millisecond

// seconds makes the tables below readable.
func seconds(s float64) time.Duration {
	return time.Duration(s * float64(time.Second)).Round(time.Microsecond)
}

// defaults is the budget of the command line's defaults on a default ensemble.
var defaults = budget{timeout: seconds(30), tick: seconds(2), grace: seconds(5)}

// good gives the lease a check that was sent at sentAt and answered at once.
func good(l *lease, sentAt time.Duration) { answered(l, sentAt, sentAt) }

// answered gives the lease a check that was sent at sentAt and answered at at.
func answered(l *lease, sentAt, at time.Duration) { l.renew(sentAt, at) }

// negotiated tells the lease another session timeout.
func negotiated(l *lease, timeout time.Duration) { l.shrink(timeout) }

func near(t *testing.T, what string, got, want time.Duration) {
	t.Helper()
	if (got - want).Abs() > ms {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func TestBudgetTable(t *testing.T) {
	for _, c := range []struct {
		name                                    string
		b                                       budget
		heartbeat, unanswered, patience, jitter float64
		reserve, first, steady                  float64
		feasible, fits                          bool
	}{
		{"defaults", defaults, 3, 2, 7.5, 1, 1, 30 - 1 - 10 - 1, 30 - 1 - 3 - 1, true, true},
		{"two ticks", budget{seconds(4), seconds(2), seconds(5)}, .4, .6, 1, .25, .4, 4 - 1 - 4./3 - .25, 4 - 1 - 1.2 - .25, true, false},
		{"T that SPEC's measurements had", budget{seconds(15), seconds(2), seconds(5)}, 1.5, 2, 3.75, .5, 1, 15 - 1 - 5 - .5, 15 - 1 - 1.5 - .5, true, false},
		{"twenty ticks", budget{seconds(40), seconds(2), seconds(5)}, 4, 2, 10, 4. / 3, 1, 40 - 1 - 40./3 - 4./3, 40 - 1 - 4 - 4./3, true, true},
		{"heartbeat clamped, infeasible", budget{seconds(.5), seconds(.05), 0}, .1, .15, .25, .25, .05, .5 - .025 - .5/3 - .25, .5 - .025 - .1 - .25, false, false},
		{"reserve of T/10", budget{seconds(6), seconds(2), seconds(2)}, .6, .9, 1.5, .25, .6, 6 - 1 - 2 - .25, 6 - 1 - 1.2 - .25, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			near(t, "heartbeat", c.b.heartbeat(), seconds(c.heartbeat))
			near(t, "unanswered", c.b.unanswered(), seconds(c.unanswered))
			near(t, "patience", c.b.patience(), seconds(c.patience))
			near(t, "jitter", c.b.jitter(), seconds(c.jitter))
			near(t, "reserve", c.b.reserve(), seconds(c.reserve))
			near(t, "first", c.b.first(), seconds(c.first))
			near(t, "steady", c.b.steady(), seconds(c.steady))
			if c.b.feasible() != c.feasible || c.b.fits() != c.fits {
				t.Errorf("feasible %v, fits %v; want %v, %v", c.b.feasible(), c.b.fits(), c.feasible, c.fits)
			}
		})
	}
}

// The numbers that SPEC promises for the defaults.
func TestLeaseAtDefaults(t *testing.T) {
	l := lease{budget: defaults}
	if l.startable(0, true) {
		t.Error("startable without any check")
	}
	sent := time.Hour
	good(&l, sent)
	stop, grace := l.stopAt()
	near(t, "first deadline", l.deadline-sent, seconds(18))
	near(t, "first stop", stop-sent, seconds(12))
	near(t, "first kill", l.killAt()-sent, seconds(17))
	near(t, "grace in the first lease", grace, seconds(5))
	for range 5 {
		sent += l.heartbeat()
		good(&l, sent)
		stop, grace = l.stopAt()
		near(t, "deadline", l.deadline-sent, seconds(25))
		near(t, "stop", stop-sent, seconds(19))
		near(t, "kill", l.killAt()-sent, seconds(24))
		near(t, "grace", grace, seconds(5))
	}
}

func TestLeaseMargin(t *testing.T) {
	short := budget{timeout: seconds(10), tick: seconds(4), grace: seconds(1)} // h = 1s, half a tick = 2s, jitter = 1/3
	jitter := 1. / 3
	for _, c := range []struct {
		name   string
		b      budget
		sent   []float64 // -1: a reconnection
		margin float64   // after the last check
	}{
		{"one check: the pings' third", defaults, []float64{0}, 1 + 10 + 1},
		{"every heartbeat", defaults, []float64{0, 3, 6}, 1 + 3 + 1},
		{"closer than a heartbeat", defaults, []float64{0, 3, 6, 8}, 1 + 3 + 1}, // 2s apart, h counts
		{"closer than half a tick: the one before", defaults, []float64{0, 3, 6, 6.9}, 1 + 3.9 + 1},
		{"half a tick is enough", defaults, []float64{0, 3, 6, 7}, 1 + 3 + 1},
		{"a check was not answered", defaults, []float64{0, 3, 9}, 1 + 6 + 1},
		{"several were not", defaults, []float64{0, 3, 15}, 1 + 12 + 1}, // never capped
		{"two at once: none earlier", defaults, []float64{0, .5}, 1 + 10 + 1},
		{"reconnected", defaults, []float64{0, 3, 6, -1, 9}, 1 + 10 + 1},
		{"reconnected, then steady", defaults, []float64{0, 3, 6, -1, 9, 12}, 1 + 3 + 1},
		{"h below half a tick, second", short, []float64{0, 1}, 2 + 10./3 + jitter},
		{"h below half a tick, third", short, []float64{0, 1, 2}, 2 + 2 + jitter},
		{"h below half a tick, steady", short, []float64{0, 1, 2, 3, 4, 5}, 2 + 2 + jitter},
		{"h below half a tick, jittered", short, []float64{0, 1, 2, 3, 3.9}, 2 + 2.9 + jitter},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, before, last := lease{budget: c.b}, time.Duration(0), time.Duration(0)
			for _, at := range c.sent {
				if at < 0 {
					l.reconnected()
					continue
				}
				before, last = l.deadline, time.Hour+seconds(at)
				good(&l, last)
			}
			near(t, "deadline", l.deadline-last, max(before-last, c.b.timeout-seconds(c.margin)))
		})
	}
}

// A check whose answer took long may have reached the follower late, after its
// last report to the leader: only one that was answered half a tick before the
// newest was sent has surely been passed on.
func TestLeaseLateAnswerIsNoSpacing(t *testing.T) {
	l := lease{budget: budget{timeout: seconds(10), tick: seconds(2)}}
	answered(&l, time.Hour, time.Hour+seconds(1.4))
	at := time.Hour + seconds(1.4)
	answered(&l, at, at)
	// Nothing but a ping up to T/3 before may have been passed on.
	near(t, "deadline", l.deadline-at, l.first())
}

// steady promises no more than the checks of a fast ensemble achieve.
func TestSteadyIsAchieved(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 4))
		b := budget{tick: seconds(.1 + 5*r.Float64())}
		b.timeout = time.Duration(float64(b.tick) * (2 + 18*r.Float64()))
		switch seed {
		case 0:
			b = defaults
		case 1: // a heartbeat as long as half a tick
			b = budget{timeout: seconds(10), tick: seconds(2)}
		case 2: // half as long
			b = budget{timeout: seconds(10), tick: seconds(4)}
		}
		l := lease{budget: b}
		sent := time.Hour
		for range 30 {
			sent += b.heartbeat()
			answered(&l, sent, sent+5*ms)
		}
		if got := l.deadline - sent; got < b.steady() {
			t.Fatalf("seed %d: T %v, tick %v: a lease of %v, promised %v", seed, b.timeout, b.tick, got, b.steady())
		}
	}
}

func TestLeaseNeverMovesBack(t *testing.T) {
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 2))
		l := lease{budget: budget{timeout: seconds(4 + 36*r.Float64()), tick: seconds(2), grace: seconds(5 * r.Float64())}}
		sent := time.Hour
		for range 50 {
			before, stopBefore := l.deadline, time.Duration(0)
			if before > 0 {
				stopBefore, _ = l.stopAt()
			}
			if r.IntN(8) == 0 {
				l.reconnected()
			}
			good(&l, sent)
			stop, grace := l.stopAt()
			switch {
			case l.deadline < before:
				t.Fatalf("seed %d: the deadline moved back from %v to %v", seed, before, l.deadline)
			case stop < stopBefore-ms:
				t.Fatalf("seed %d: the stop moved back from %v to %v", seed, stopBefore, stop)
			case l.deadline > sent+l.timeout-l.tick/2-l.heartbeat()-l.jitter():
				t.Fatalf("seed %d: deadline %v after sending, more than any margin allows", seed, l.deadline-sent)
			case grace < 0 || grace > l.grace || stop+grace != l.killAt() || l.killAt()+l.reserve() != l.deadline:
				t.Fatalf("seed %d: stop %v, grace %v, kill %v, deadline %v do not fit", seed, stop, grace, l.killAt(), l.deadline)
			}
			sent += seconds(.01 + 2*r.Float64()*l.heartbeat().Seconds())
		}
	}
}

// Another server may grant less: then the tracker counts that from the
// reconnection on, and what the old timeout promised holds no more.
func TestLeaseTimeoutShrinks(t *testing.T) {
	l := lease{budget: defaults}
	for i := range 3 {
		good(&l, time.Hour+time.Duration(i)*seconds(3))
	}
	l.reconnected()
	negotiated(&l, seconds(10))
	at := time.Hour + seconds(7)
	good(&l, at)
	if longest := seconds(10) - l.margin(0); l.deadline-at > longest+ms {
		t.Errorf("deadline %v after a check in a session of 10s, want at most %v", l.deadline-at, longest)
	}
	if at+l.timeout < l.deadline {
		t.Errorf("the servers may end the session at %v, the deadline is %v", at+l.timeout, l.deadline)
	}
}

func TestGraceShrinks(t *testing.T) {
	for _, c := range []struct {
		b           budget
		span        float64
		after, left float64
	}{
		{defaults, 25, 19, 5},
		{defaults, 18, 12, 5},
		{defaults, 13.5, 7.5, 5}, // just fits
		{defaults, 12, 7.5, 3.5},
		{defaults, 8.5, 7.5, 0}, // patience alone
		{defaults, 8, 7, 0},     // not feasible: the kill is never later
		{budget{seconds(30), seconds(2), 0}, 25, 24, 0},
		{budget{seconds(10), seconds(2), seconds(5)}, 16. / 3, 2.5, 16./3 - 3.5},
	} {
		after, left := c.b.stopAfter(seconds(c.span))
		near(t, "stop", after, seconds(c.after))
		near(t, "grace", left, seconds(c.left))
		near(t, "whole", after+left+c.b.reserve(), seconds(c.span))
	}
}

func TestBudgetRefusal(t *testing.T) {
	if err := defaults.check(); err != nil {
		t.Error(err)
	}
	b := budget{timeout: seconds(3), tick: seconds(2), grace: seconds(5)}
	err := b.check()
	if !errors.Is(err, ErrUnsafe) {
		t.Fatalf("%v, want ErrUnsafe", err)
	}
	for _, number := range []string{"timeout of 3s", "tick of 2s", "lease of 550ms", "1.05s are needed", "--session-timeout 4s"} {
		if !strings.Contains(err.Error(), number) {
			t.Errorf("%q does not say %q", err, number)
		}
	}
	if b.smallest(func(budget) bool { return false }) != 0 {
		t.Error("something is the smallest of nothing")
	}
}

// smallest is really the smallest step, for every tick and grace.
func TestSmallest(t *testing.T) {
	const step = 100 * ms
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 3))
		b := budget{tick: time.Duration(r.Int64N(int64(seconds(5)))), grace: time.Duration(r.Int64N(int64(seconds(10))))}
		for name, ok := range map[string]func(budget) bool{"feasible": budget.feasible, "fits": budget.fits} {
			got := b.smallest(ok)
			want := b
			for want.timeout = step; !ok(want); want.timeout += step {
			}
			if got != want.timeout {
				t.Fatalf("seed %d: %+v is %s from %v on, not from %v", seed, b, name, want.timeout, got)
			}
			if want.timeout = got; name == "feasible" && want.check() != nil {
				t.Fatalf("seed %d: the advice does not help: %v", seed, want.check())
			}
		}
	}
}

func TestStartable(t *testing.T) {
	at, tight := time.Hour, budget{seconds(10), seconds(2), seconds(5)} // its grace does not fit
	for _, c := range []struct {
		name   string
		b      budget
		after  float64 // the check's sending
		proved bool
		want   bool
	}{
		{"at once", defaults, .01, false, true},
		{"the last moment", defaults, 12 - 7.5, false, true},
		{"too late an answer", defaults, 12 - 7.5 + .01, false, false},
		{"proved, late", defaults, 12 - 3, true, true},
		{"proved, too late", defaults, 12 - 3 + .01, true, false},
		{"no grace to spare, the opening alone", tight, .01, false, true},
		{"no grace to spare, the opening took too long", tight, .51, false, false},
		{"no grace to spare, proved", tight, 1.5, true, true},
		{"no grace to spare, proved too late", tight, 1.51, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := lease{budget: c.b}
			good(&l, at)
			if got := l.startable(at+seconds(c.after), c.proved); got != c.want {
				t.Errorf("startable %v", got)
			}
		})
	}
}
