// Package role follows the events of a candidate and keeps what they say of its
// place: for whoever shows it to others, as systemd and load balancers are shown.
package role

import (
	"log/slog"
	"sync"
	"time"

	"zkelect/zkelect"
)

// Role is what a participant does at the moment.
type Role int

// The roles, in the order of a life. Which of them says that work is done, is for
// Candidate.HasLeadership to tell, which knows the lease.
const (
	Connecting Role = iota // no place in the queue: before the first, and between two
	Waiting                // in the queue
	Leading                // its term is open
	Stopping               // its term is open and its work is asked to end
)

var names = [...]string{Connecting: "connecting", Waiting: "waiting", Leading: "leading", Stopping: "stopping"}

// String is the role in a word, which is stable.
func (r Role) String() string { return names[r] }

// State is the place of a participant.
type State struct {
	Role  Role
	Since time.Time // by this host's clock: when it took the role
	// Connected tells whether the session's connection stands. Without it the
	// session may be alive or over.
	Connected bool
	Session   string // 0x hex; "" before the first
	Node      string // its full path; "" where it has none
	// Ahead is how many participants were before it in the queue when it last
	// looked: it is not woken where one leaves that is not next to it. 0 where it
	// is the first, or recipe plain keeps no order.
	Ahead  int
	Of     int    // how many participants there were beside the first
	Behind string // the id of the one before it
	Held   string // who holds the election, which it would lead; "": nobody
	Token  int64  // of the open term; 0: none
}

// Follower keeps the State. Its zero value is that of a candidate that has not
// begun.
type Follower struct {
	mu    sync.Mutex
	state State
}

// State is the place now.
func (f *Follower) State() State {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state
}

// Observe takes an event, at the time now, and tells whether it changed the state.
func (f *Follower) Observe(e zkelect.Event, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	before := f.state
	f.state.take(e)
	if f.state.Role != before.Role || before.Since.IsZero() {
		f.state.Since = now
	}
	return f.state != before
}

func (s *State) take(e zkelect.Event) {
	switch e.Kind {
	case zkelect.EventConnected:
		s.Connected, s.Session = true, text(e, "session")
	case zkelect.EventReconnected:
		s.Connected = true
	case zkelect.EventSuspended:
		s.Connected = false
	case zkelect.EventExpired:
		*s = State{Since: s.Since}
	case zkelect.EventJoined:
		s.leave()
		s.Role, s.Node = Waiting, text(e, "node")
	case zkelect.EventWaiting:
		s.Role = Waiting // with recipe plain a waiter has no node
		s.Ahead, s.Of, s.Behind = int(number(e, "position")), int(number(e, "of")), text(e, "behind")
	case zkelect.EventHeld:
		s.Ahead, s.Of, s.Behind, s.Held = 0, 0, "", text(e, "by")
	case zkelect.EventHoldOver:
		s.Held = ""
	case zkelect.EventLeading:
		s.Role, s.Node, s.Token = Leading, text(e, "node"), number(e, "token")
		s.Ahead, s.Of, s.Behind = 0, 0, ""
	case zkelect.EventLost:
		s.Role = Stopping
		if text(e, "loss") == string(zkelect.LossSession) {
			s.Connected = false // it may be told of nothing else
		}
	case zkelect.EventStopping, zkelect.EventKilling:
		s.Role = Stopping
	case zkelect.EventAside, zkelect.EventPlaceLost, zkelect.EventReleased, zkelect.EventUnreleased, zkelect.EventRequeue:
		s.leave()
	}
}

// leave is the end of the place in the queue, in a session that may go on.
func (s *State) leave() {
	*s = State{Since: s.Since, Connected: s.Connected, Session: s.Session}
}

func text(e zkelect.Event, key string) string { return e.Attr(key).String() }

func number(e zkelect.Event, key string) int64 {
	if v := e.Attr(key); v.Kind() == slog.KindInt64 {
		return v.Int64()
	}
	return 0
}
