package zkelect

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"zkelect/zkelect/internal/zkconn"
)

// tick is what is known of the ensemble's tickTime.
type tick struct {
	mu    sync.Mutex
	known time.Duration // 0 until the servers told
	done  chan struct{} // closed when the probe has ended; nil until it began
}

func (t *tick) get() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.known
}

// tickKnown tells whether the tick is what the servers or the configuration told.
func (c *Candidate) tickKnown() bool { return c.cfg.TickTime > 0 || c.tick.get() > 0 }

// budget is the lease's arithmetic with what is known now. Until the tick is,
// half the session timeout is assumed: no server grants less than two ticks
// unless it is told to, and then --tick-time is needed.
func (c *Candidate) budget() budget {
	b := budget{timeout: c.sess.timeout(), tick: c.cfg.TickTime, grace: c.cfg.StopTimeout}
	if b.tick == 0 {
		b.tick = c.tick.get()
	}
	if b.tick == 0 {
		b.tick = b.timeout / 2
	}
	return b
}

// prompt is the session for opening, leading and closing.
func (c *Candidate) prompt() prompt { return prompt{c.sess, c.budget().unanswered()} }

// learnTick asks the servers for the tick, once. The channel is closed when
// they have answered or failed to.
func (c *Candidate) learnTick() <-chan struct{} {
	c.tick.mu.Lock()
	defer c.tick.mu.Unlock()
	if c.tick.done != nil {
		return c.tick.done
	}
	done := make(chan struct{})
	c.tick.done = done
	if c.cfg.TickTime > 0 {
		close(done)
		return done
	}
	s := c.sess
	go func() {
		defer close(done)
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		smallest, err := c.probe(ctx, s)
		c.tick.mu.Lock()
		defer c.tick.mu.Unlock()
		if err != nil {
			c.tick.done = nil // asked again when it is needed again
			c.cfg.emit(EventRetry, slog.String("what", "asking for the tick"), slog.Any("error", err))
			return
		}
		c.tick.known = smallest / 2
	}()
	return done
}

// tickAfter is how long a term has lasted before the servers are asked for the tick
// because of it: that is a session of its own, and no short work needs it.
const tickAfter = 50 * time.Millisecond

// tickAsked is learnTick where nobody has to be asked any more; else due tells when to ask.
func (c *Candidate) tickAsked() (known <-chan struct{}, due <-chan time.Time) {
	c.tick.mu.Lock()
	asked := c.tick.done != nil || c.cfg.TickTime > 0
	c.tick.mu.Unlock()
	if asked {
		return c.learnTick(), nil
	}
	return nil, time.After(tickAfter)
}

// tickAgain is how long a term goes on with an assumed tick until the servers are asked
// again that did not tell.
const tickAgain = 10 * time.Second

// learnt takes what was learned of the tick. Where that is nothing, due tells when to ask
// again.
func (l *leading) learnt() (due <-chan time.Time) {
	l.t.lease.learn(l.c.budget().tick)
	if !l.c.tickKnown() {
		due = time.After(tickAgain)
	}
	if due == nil || !l.budgetTold {
		l.tellBudget()
	}
	return due
}

func probeTick(ctx context.Context, s session) (time.Duration, error) {
	z, ok := s.(*zkSession)
	if !ok {
		return 0, errors.New("no server to ask")
	}
	return zkconn.SmallestTimeout(ctx, z.link.Server(), z.link.Secure)
}

// affordable refuses a session timeout that cannot carry a lease, before the
// queue is joined.
func (c *Candidate) affordable(ctx context.Context) error {
	for try := 1; !c.budget().feasible(); try++ {
		if _, err := receive(ctx, c.learnTick()); err != nil {
			return err
		}
		if c.tickKnown() || try == tickTries {
			return c.budget().check()
		}
		// The servers did not answer.
		if err := sleep(ctx, time.Duration(try)*100*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// tickTries is how often the tick is asked for where the session timeout does
// not carry a lease with the one that is assumed.
const tickTries = 10
