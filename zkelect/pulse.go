package zkelect

import (
	"context"
	"time"
)

// Whoever watches over a process asks whether its state machine still turns, not
// whether some timer does. So the question is answered by the goroutine of Run and no
// other, in each of its waits: it goes with the context of that goroutine.

type pulseKey struct{}

// awake has the waits of this context answer CandidateConfig.Pulse. It is for the
// goroutine of Run alone.
func (c *Candidate) awake(ctx context.Context) context.Context {
	return context.WithValue(ctx, pulseKey{}, c.cfg.Pulse)
}

// asleep is for another goroutine, whose answer would prove nothing.
func asleep(ctx context.Context) context.Context {
	return context.WithValue(ctx, pulseKey{}, nil)
}

// pulse is what a wait answers; nil, for ever silent, where nobody may ask it.
func pulse(ctx context.Context) <-chan struct{} {
	ch, _ := ctx.Value(pulseKey{}).(<-chan struct{})
	return ch
}

// receive waits for ch, no longer than ctx.
func receive[T any](ctx context.Context, ch <-chan T) (T, error) {
	for {
		select {
		case v := <-ch:
			return v, nil
		case <-pulse(ctx):
		case <-ctx.Done():
			var none T
			return none, context.Cause(ctx)
		}
	}
}

// sleep waits, no longer than ctx.
func sleep(ctx context.Context, d time.Duration) error {
	_, err := receive(ctx, time.After(d))
	return err
}
