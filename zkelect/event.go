package zkelect

import (
	"log/slog"
	"sync"
)

// Kind is what an Event tells.
type Kind int

// The kinds of events, in the order of a life.
const (
	EventConnected   Kind = iota // a new session: session, server, timeout
	EventTimeout                 // the server granted another session timeout: asked, granted
	EventUnreachable             // no server takes us, while there is no limit to that: error
	EventSuspended               // connection lost, session maybe alive: session, server, stop_in, left
	EventReconnected             // the same session again: session, server, away
	EventTLSFiles                // the TLS files cannot be used, so those read last are: error
	EventTLSFault                // a server, or we to it, is not known by TLS: server, error
	EventAuthFault               // a server refuses on a new connection the credentials that it took before: server, scheme
	EventExpired                 // session over, a new one is made: session, node, reason
	EventPlaceLost               // own node in the queue is gone, a new one is made: node
	EventJoined                  // own node in the queue: node
	EventWaiting                 // position and leader, when they change
	EventSequence                // the path's sequence nears its end: sequence, end
	EventBlocked                 // first in the queue, but the previous tree may be alive: owner, session
	EventHeld                    // first in the queue, but somebody holds the election: by, reason, until
	EventHoldOver                // that is over: its time, or it was removed
	EventBudget                  // the lease in force: deadline, stop, grace, heartbeat, tick
	EventGrace                   // the grace does not fit: asked, grace, needed
	EventLeading                 // the term is open: token, node
	EventTakeover                // the work waits for the leases of terms without a clean end: for, delay, until, unclean
	EventMissing                 // the work waits since there was no record: for, delay, until
	EventFencing                 // a term without a clean end is fenced: previous, node, host, pid
	EventFenced                  // that succeeded and is recorded: previous, node
	EventFenceFailed             // that failed: previous, node, how
	EventSkipped                 // the work does not run, since it has lately: by, began, joined, within, exit_code
	EventAgain                   // the work runs though it may have lately, as nobody said how that ended: by, began
	EventFuture                  // a run is ignored since it began in the future: by, began, now
	EventStarted                 // the work runs: pid, isolate
	EventFrozen                  // the connection is lost and the work is frozen: node
	EventThawed                  // the session was proved to live and the work goes on: node
	EventResign                  // a request to resign is honoured: by, to; or a hold: by, reason, until, hold
	EventAside                   // stepping aside for a transfer: node, to
	EventStopping                // the work is asked to stop: cause, grace, since, left
	EventKilling                 // the work is killed: reason, since, left
	EventLost                    // leadership lost: loss (a Loss), reason, since, left
	EventBestEffort              // nothing but its process group holds the command's processes together here
	EventUnkilled                // what a kill has not ended: pids
	EventUnheard                 // the guard does not answer: since, left
	EventReleased                // the term is closed: node, cause
	EventUnreleased              // the term could not be closed: node, cause, error
	EventRequeue                 // contending again: cause, after, code, signal, error
	EventForced                  // the leader's queue node is deleted by force: leader, node
	EventRetry                   // a server or a step failed and is tried again: error
)

var kinds = [...]struct {
	text  string
	level slog.Level
}{
	EventConnected:   {"connected", slog.LevelInfo},
	EventTimeout:     {"server granted another session timeout", slog.LevelWarn},
	EventUnreachable: {"no server takes us; trying on", slog.LevelWarn},
	EventSuspended:   {"connection lost", slog.LevelWarn},
	EventReconnected: {"connection is back in the same session", slog.LevelInfo},
	EventTLSFiles:    {"the TLS files cannot be used; those that were read last go on", slog.LevelWarn},
	EventTLSFault:    {"no connection by TLS; trying on", slog.LevelWarn},
	EventAuthFault:   {"a server refuses the credentials that it took before; trying on", slog.LevelWarn},
	EventExpired:     {"session is over", slog.LevelWarn},
	EventPlaceLost:   {"own node in the queue is gone; joining again", slog.LevelWarn},
	EventJoined:      {"joined the queue", slog.LevelInfo},
	EventWaiting:     {"waiting", slog.LevelInfo},
	EventSequence:    {"the sequence of this path nears its end; stop everybody in the election and delete the path to start anew", slog.LevelWarn},
	EventBlocked:     {"first in the queue, waiting for the previous leader's processes to be dead", slog.LevelWarn},
	EventHeld:        {"first in the queue, waiting since the election is held", slog.LevelWarn},
	EventHoldOver:    {"the hold is over", slog.LevelInfo},
	EventBudget:      {"lease budget", slog.LevelInfo},
	EventGrace:       {"the stop timeout does not fit the session timeout", slog.LevelWarn},
	EventLeading:     {"leading", slog.LevelInfo},
	EventTakeover:    {"waiting until nothing can be alive of the terms that did not end cleanly", slog.LevelWarn},
	EventMissing:     {"waiting for as long as a term that nobody knows of may live, since there was no record; nothing is proved against a participant that is not a zkelect", slog.LevelWarn},
	EventFencing:     {"fencing a term that did not end cleanly", slog.LevelWarn},
	EventFenced:      {"fenced", slog.LevelInfo},
	EventFenceFailed: {"fencing failed", slog.LevelError},
	EventSkipped:     {"skipped: it was run lately", slog.LevelInfo},
	EventAgain:       {"the last run left no end, so nobody knows whether it was done; it runs again", slog.LevelWarn},
	EventFuture:      {"the last run began in the future by the servers' clock, so it is ignored; have their clocks gone back?", slog.LevelWarn},
	EventStarted:     {"started", slog.LevelInfo},
	EventFrozen:      {"the command is frozen until the session is known to live", slog.LevelWarn},
	EventThawed:      {"the command goes on", slog.LevelInfo},
	EventResign:      {"resigning on request", slog.LevelInfo},
	EventAside:       {"stepping aside for a transfer", slog.LevelInfo},
	EventStopping:    {"stopping", slog.LevelInfo},
	EventKilling:     {"killing", slog.LevelWarn},
	EventLost:        {"leadership lost", slog.LevelError},
	EventBestEffort:  {"best effort: on this system neither a kill of zkelect nor a daemon of the command can be dealt with; only the command's process group is ended", slog.LevelWarn},
	EventUnkilled:    {"processes of the command do not die, so leadership is kept; they sleep uninterruptibly (a dead file server?) or belong to another user", slog.LevelError},
	EventUnheard:     {"the guard process does not answer; is it stopped? It and the command are killed when the lease that it knows is over", slog.LevelWarn},
	EventReleased:    {"released", slog.LevelInfo},
	EventUnreleased:  {"the term could not be closed; the servers end it with the session", slog.LevelWarn},
	EventRequeue:     {"contending again", slog.LevelInfo},
	EventForced:      {"deleting the leader's node; a leader that is not a zkelect may go on working beside the next one", slog.LevelWarn},
	EventRetry:       {"trying again", slog.LevelDebug},
}

// known tells whether the kind is one of the above.
func (k Kind) known() bool { return k >= 0 && int(k) < len(kinds) }

// String is the event in words.
func (k Kind) String() string {
	if !k.known() {
		return ""
	}
	return kinds[k].text
}

// Level is how much the event matters to a person.
func (k Kind) Level() slog.Level {
	if !k.known() {
		return slog.LevelInfo
	}
	return kinds[k].level
}

// Event is one thing that happened, with its numbers. Keys are stable.
type Event struct {
	Kind  Kind
	Attrs []slog.Attr
}

// Attr is the value of a key, the zero Value where the event has none.
func (e Event) Attr(key string) slog.Value {
	for _, a := range e.Attrs {
		if a.Key == key {
			return a.Value
		}
	}
	return slog.Value{}
}

// serial makes an observer that is called one event at a time.
func serial(observer func(Event)) func(Event) {
	if observer == nil {
		return nil
	}
	var mu sync.Mutex
	return func(e Event) {
		mu.Lock()
		defer mu.Unlock()
		observer(e)
	}
}

func (c *Config) emit(k Kind, attrs ...slog.Attr) {
	if c.Observer != nil {
		c.Observer(Event{Kind: k, Attrs: attrs})
	}
}
