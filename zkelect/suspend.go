package zkelect

import (
	"log/slog"
	"time"
)

// Freezer is a Work that can stand still. Neither method may block. A frozen
// work is woken by Stop where Thaw follows it, and dies by Kill as it is.
type Freezer interface {
	Freeze() // nothing of the work runs from a moment later on, until Thaw
	Thaw()   // what Freeze made stand still goes on
}

// suspend is what is done to the work while the connection is lost, beside the
// lease, which goes on by itself.
type suspend struct {
	doubt  bool          // the connection was lost, and no check was answered since
	backAt time.Duration // when it was last made again
	lostAt time.Duration // when its loss was seen last
	frozen Freezer       // what is to be thawed
}

// suspended meets the loss of the connection. Without the choice of another way
// the work goes on until the lease demands the stop.
func (l *leading) suspended() {
	l.doubt = true
	switch {
	case l.work == nil || l.killed:
	case l.c.cfg.OnSuspend == SuspendKill:
		l.lost(LossSuspended, "the connection is lost, and the command is not to run without one")
	case l.c.cfg.OnSuspend == SuspendFreeze && l.frozen == nil && !l.stopping && !l.asked:
		f, ok := l.work.(Freezer)
		if !ok {
			l.lost(LossSuspended, "the connection is lost, and the work cannot be frozen")
			return
		}
		l.frozen = f
		l.tellStanding() // before the work stands still
		f.Freeze()
		l.c.cfg.emit(EventFrozen, slog.String("node", l.t.Node))
	}
}

// reconnected meets a new connection. The old one may have been lost and made
// again before anybody looked.
func (l *leading) reconnected() {
	if !l.doubt && l.c.cfg.OnSuspend == SuspendKill {
		l.suspended()
	}
	l.doubt, l.backAt = true, l.c.now()
}

// assure takes a check that was answered: if it was sent over the connection
// that is back, the session lives. A connection alone proves less: a server
// that is cut off from the others makes one too.
func (l *leading) assure(sentAt time.Duration) {
	if l.connected && sentAt >= l.backAt {
		l.doubt = false
		l.thaw()
	}
}

// unsure tells whether nothing may be started now.
func (l *leading) unsure() bool { return l.doubt && l.c.cfg.OnSuspend != SuspendContinue }

// thaw has a frozen work go on.
func (l *leading) thaw() {
	if l.frozen == nil {
		return
	}
	l.frozen.Thaw()
	l.frozen = nil
	l.c.cfg.emit(EventThawed, slog.String("node", l.t.Node))
}
