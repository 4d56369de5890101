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

// inOrder makes requests that do not wait for each other's answers: each call makes one,
// in a goroutine of its own, and is begun once the one before is on its way. It returns
// when all have.
func inOrder(ctx context.Context, s session, calls ...func(context.Context)) {
	each(ctx, s.written, calls)
}

// together is inOrder where the order does not matter.
func together(ctx context.Context, calls ...func(context.Context)) {
	at := make(chan struct{})
	close(at)
	each(ctx, func() <-chan struct{} { return at }, calls)
}

func each(ctx context.Context, written func() <-chan struct{}, calls []func(context.Context)) {
	var all []<-chan struct{}
	for _, call := range calls {
		begun, over := written(), make(chan struct{})
		go func() {
			defer close(over)
			call(asleep(ctx))
		}()
		for waiting := true; waiting; {
			select {
			case <-begun:
				waiting = false
			case <-over:
				waiting = false
			case <-pulse(ctx):
			}
		}
		all = append(all, over)
	}
	for _, over := range all {
		_, _ = receive(context.WithoutCancel(ctx), over)
	}
}
