package zkelect

import (
	"cmp"
	"errors"
	"log/slog"
	"syscall"

	"golang.org/x/sys/unix"
)

// connectionOf names a connection to people.
func connectionOf(s session) []slog.Attr {
	return []slog.Attr{slog.String("session", sessionHex(s.id())), slog.String("server", s.server())}
}

// withLease adds what the lease is like now: since when no check was answered, and
// what is left until its end.
func (l *leading) withLease(attrs ...slog.Attr) []slog.Attr {
	if lease, now := &l.t.lease, l.c.now(); lease.deadline > 0 {
		attrs = append(attrs, slog.Duration("since", now-lease.renewed), slog.Duration("left", lease.deadline-now))
	}
	return attrs
}

// signalName is as the last line of a run has it: SIGTERM.
func signalName(s syscall.Signal) string {
	return cmp.Or(unix.SignalName(s), s.String())
}

// expired gives up a session that is over, or that must be, and tells why.
func (c *Candidate) expired(err error) {
	if c.sess == nil { // the release has done so, and told it
		return
	}
	reason := err.Error()
	if errors.Is(err, errSessionLost) {
		reason = c.sess.end()
	}
	attrs := []slog.Attr{slog.String("session", sessionHex(c.sess.id())), slog.String("node", c.Node()), slog.String("reason", reason)}
	c.drop()
	c.cfg.emit(EventExpired, attrs...)
}
