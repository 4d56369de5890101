package zkelect

import (
	"errors"
	"fmt"
	"log/slog"
)

// startedWork is a work, or why there is none.
type startedWork struct {
	work   Work
	err    error
	fences *termRecord // the term that it is the fence of
}

// begun has a work started beside the loop: its exec may take long. previous is
// the term that it is the fence of, nil for the term's own work.
func (l *leading) begun(previous *termRecord, start func() (Work, error)) {
	l.starting = true
	go func() {
		work, err := start()
		l.starts <- startedWork{work, err, previous}
	}()
}

// workStarted takes the work, or tells why there is none.
func (l *leading) workStarted(s startedWork) error {
	l.starting = false
	switch {
	case errors.Is(s.err, errWorkLost):
		l.lost(s.err.Error())
		return nil
	case s.err != nil && l.stopping: // killed while it was being started
		return nil
	case s.err != nil && s.fences != nil:
		l.out.Cause = CauseFenceFailed
		return fmt.Errorf("%w: %w", ErrFence, s.err)
	case s.err != nil:
		l.out.Cause = CauseError
		return s.err
	}
	l.work, l.fencing, l.exited, l.asked = s.work, s.fences, false, false
	l.out.Ran = l.out.Ran || s.fences == nil
	// What has come up meanwhile.
	if l.unsure() {
		l.suspended()
	}
	if l.stopping {
		l.ask()
	}
	if l.killed {
		l.work.Kill()
	}
	return nil
}

func (l *leading) exitedC() <-chan struct{} {
	if l.work == nil || l.exited {
		return nil
	}
	return l.work.Exited()
}

func (l *leading) lapsedC() <-chan struct{} {
	if g, ok := l.work.(guarded); ok && !l.stopping {
		return g.Lapsed()
	}
	return nil
}

func (l *leading) doneC() <-chan struct{} {
	if l.work == nil {
		return nil
	}
	return l.work.Done()
}

// lapsed is for a work that is being ended without us: this process stood still.
func (l *leading) lapsed() {
	l.c.cfg.emit(EventLost, l.withLease(slog.String("reason", "the guard heard of no lease that goes on"))...)
	l.stop(CauseLost)
}

// workExited notes how the main part of the work ended. What is left of it is
// asked to end too.
func (l *leading) workExited() {
	l.exited = true
	if g, ok := l.work.(guarded); ok && !l.stopping {
		select {
		case <-g.Lapsed():
			l.lapsed()
		default:
		}
		if g.Orphaned() {
			l.lost(errWorkLost.Error())
		}
	}
	if l.fencing != nil {
		l.fenceExited()
		return
	}
	l.out.Code, l.out.Signal = l.work.Status()
	if w, ok := l.work.(interface{ Err() error }); ok {
		l.out.Err = w.Err()
	}
	cause := CauseExited
	if l.out.Signal != 0 {
		cause = CauseSignalled
	}
	if l.stopping {
		return
	}
	l.begin(cause)
	l.askRest()
}

// askRest asks what is left of a work to end too.
func (l *leading) askRest() {
	select {
	case <-l.work.Done():
	default:
		l.ask()
	}
}

// ask has the work end, once. What is frozen must run for that: the signal
// comes first, so that it is the first thing that the work sees.
func (l *leading) ask() {
	if !l.asked {
		l.asked = true
		l.work.Stop()
	}
	l.thaw()
}
