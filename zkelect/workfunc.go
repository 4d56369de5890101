package zkelect

import (
	"context"
	"errors"
	"syscall"
)

// WorkFunc makes of a function what Candidate.Run starts in each term: the
// function runs in a goroutine of its own while the candidate leads, and its
// return ends the term. ctx is done when the term is to end. The function must
// return soon then, since Go cannot end a goroutine from outside: the next
// participant leads when it has returned, or when the session is over. Give the
// time that it takes as CandidateConfig.StopTimeout: where the lease is about to
// run out, ctx is done so long before.
//
// Its error is the exit code 1 and is told as Outcome.Err; after the end of ctx
// the error of ctx counts as none.
func WorkFunc(f func(ctx context.Context, t Term) error) func(Term) (Work, error) {
	return func(t Term) (Work, error) {
		ctx, cancel := context.WithCancel(context.Background())
		w := &funcWork{cancel: cancel, done: make(chan struct{})}
		go func() {
			defer close(w.done)
			defer cancel()
			w.err = f(ctx, t)
			if errors.Is(w.err, ctx.Err()) { // also where both are nil
				w.err = nil
			}
		}()
		return w, nil
	}
}

// funcWork is a function that runs. Nobody can kill it.
type funcWork struct {
	cancel context.CancelFunc
	done   chan struct{}
	err    error // of the function; to be read after done
}

func (w *funcWork) Stop()                   { w.cancel() }
func (w *funcWork) Kill()                   { w.cancel() }
func (w *funcWork) Exited() <-chan struct{} { return w.done }
func (w *funcWork) Done() <-chan struct{}   { return w.done }
func (w *funcWork) Err() error              { return w.err }

func (w *funcWork) Status() (code int, signal syscall.Signal) {
	if w.err != nil {
		return 1, 0
	}
	return 0, 0
}
