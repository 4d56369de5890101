package zkelect

import (
	"context"
	"fmt"
	"time"

	"github.com/go-zookeeper/zk"
)

// fakeSession is a session on a fakeWorld, both ends of it. What it does is
// what zkSession does on the client's end: see do there. Everything in it is
// guarded by the world's lock.
type fakeSession struct {
	w    *fakeWorld
	sid  int64
	name string // whose it is

	survives int64 // the session of a dead elector, if this is its survivor's

	// The client's end.
	state   sessionState
	number  int
	changed chan struct{}
	watches map[watch]chan zk.EventType
	good    []time.Duration // when the checks were sent that were answered well
	granted time.Duration   // the smallest
	kicks   int
	sent    chan struct{} // closed once the next request is on its way
	conn    *fakeConn     // nil while suspended

	// The servers' end.
	tracked time.Duration // the timeout that the leader counts
	expires time.Duration
	gone    bool
	armed   map[watch]bool
	missed  []fakeEvent         // while there was no connection
	view    map[string]fakeNode // the last that the client has seen
}

// fakeConn is one connection to a follower.
type fakeConn struct {
	black    bool // nothing arrives any more, either way
	down     bool // closed on the client's end
	moved    bool // the session is on another connection now
	follower bool // dead: what it did not pass on is lost
	touched  bool
	in, out  time.Time // what is under way arrives no earlier
	inFlight map[*fakeRequest]bool
	view     map[string]fakeNode // what the follower knows where it is behind
}

func (s *fakeSession) id() int64      { return s.sid }
func (s *fakeSession) server() string { return "fake" }
func (s *fakeSession) end() string    { return "over" }

func (s *fakeSession) timeout() time.Duration {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	return s.granted
}

func (s *fakeSession) status() (sessionState, int, <-chan struct{}) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	return s.state, s.number, s.changed
}

func (s *fakeSession) transit(to sessionState) {
	if s.state == sessionLost || s.state == to {
		return
	}
	if s.state = to; to == sessionConnected {
		s.number++
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

// attach makes a connection, which touches the session at once.
func (s *fakeSession) attach() {
	switch {
	case s.state == sessionLost || s.conn != nil || s.w.cuts[s.name]:
		return
	case s.gone:
		s.transit(sessionLost)
		return
	}
	w := s.w
	now := time.Now()
	c := &fakeConn{in: now, out: now, inFlight: map[*fakeRequest]bool{}}
	s.conn = c
	s.granted = min(s.granted, w.timeout)
	s.tracked = s.granted
	s.touch()
	if w.behind && s.view != nil {
		// A follower takes no client that has seen more than it has.
		c.view = s.view
		time.AfterFunc(500*time.Millisecond, func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			s.catchUp(c)
		})
	}
	s.transit(sessionConnected)
	missed := s.missed
	s.missed = nil
	for _, ev := range missed {
		s.tell(ev)
	}
	var ping func()
	ping = func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if c.down || c.black || s.gone {
			return
		}
		s.arrived(c)
		time.AfterFunc(s.granted/3, ping)
	}
	time.AfterFunc(s.granted/3, ping)
}

// detach is what the client's end sees of a connection that breaks.
func (s *fakeSession) detach(err error) {
	c := s.conn
	if c == nil {
		return
	}
	s.conn, c.down = nil, true
	for r := range c.inFlight {
		r.got <- fakeAnswer{err: err}
	}
	c.inFlight = nil
	s.transit(sessionSuspended)
	time.AfterFunc(s.w.reconnect(), func() {
		s.w.mu.Lock()
		defer s.w.mu.Unlock()
		c.moved = true
		s.attach()
	})
}

func (s *fakeSession) kick(connection int) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if s.number == connection && s.conn != nil {
		s.kicks++
		s.w.note("%s: kicked", s.name)
		s.detach(zk.ErrConnectionClosed)
	}
}

// lose ends the session on the client's end.
func (s *fakeSession) lose() {
	s.transit(sessionLost)
	s.detach(errSessionLost)
}

func (s *fakeSession) close(bound time.Duration) {
	if st, _, _ := s.status(); st == sessionConnected && bound > 0 {
		ctx, cancel := context.WithTimeout(context.Background(), bound)
		defer cancel()
		s.do(ctx, &fakeRequest{kind: "close"})
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.lose()
}

// arrived is told of everything that reaches the follower. It passes touches on
// with the leader's next ping.
func (s *fakeSession) arrived(c *fakeConn) {
	if s.w.direct {
		s.touch()
		return
	}
	if c.touched {
		return
	}
	c.touched = true
	half := s.w.tick / 2
	next := half - s.w.now()%half
	time.AfterFunc(next, func() {
		s.w.mu.Lock()
		defer s.w.mu.Unlock()
		c.touched = false
		if !c.follower && !s.gone {
			s.touch()
		}
	})
}

// touch is what the leader's tracker does: the session expires at
// roundUp(now + T, tick).
func (s *fakeSession) touch() {
	if s.gone {
		return
	}
	before := s.expires
	s.expires = (s.w.now() + s.tracked + s.w.tick - 1) / s.w.tick * s.w.tick
	if before == 0 || s.expires < before {
		s.awaitExpiry()
	}
}

func (s *fakeSession) awaitExpiry() {
	time.AfterFunc(s.expires-s.w.now(), func() {
		s.w.mu.Lock()
		defer s.w.mu.Unlock()
		switch {
		case s.gone:
		case s.w.now() < s.expires:
			s.awaitExpiry()
		default:
			s.w.expire(s)
		}
	})
}

// do sends a request and waits for its answer, as zkSession.do does.
func (s *fakeSession) do(ctx context.Context, r *fakeRequest) fakeAnswer {
	w := s.w
	r.got = make(chan fakeAnswer, 1)
	for {
		if err := awaitConnected(ctx, s); err != nil {
			return fakeAnswer{err: err}
		}
		w.mu.Lock()
		if s.conn != nil {
			break
		}
		w.mu.Unlock()
	}
	c, number := s.conn, s.number
	c.inFlight[r] = true
	r.sentAt = w.now()
	f := w.faultOf(s, r)
	s.deliver(&c.in, w.latency()+f.delay, func() { s.served(c, r, f) })
	if s.sent != nil {
		close(s.sent)
		s.sent = nil
	}
	w.mu.Unlock()

	slow := time.NewTimer(max(s.timeout()/3, time.Second))
	defer slow.Stop()
wait:
	select {
	case <-pulse(ctx):
		goto wait
	case a := <-r.got:
		return a
	case <-slow.C:
		s.kick(number)
		return fakeAnswer{err: errNoAnswer}
	case <-ctx.Done():
		return fakeAnswer{err: fmt.Errorf("%w: %w", errNoAnswer, context.Cause(ctx))}
	}
}

func (s *fakeSession) written() <-chan struct{} {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if s.sent == nil {
		s.sent = make(chan struct{})
	}
	return s.sent
}

// deliver calls f after a way of d, and in the order of the calls.
func (s *fakeSession) deliver(last *time.Time, d time.Duration, f func()) {
	at := time.Now().Add(d)
	if !at.After(*last) {
		at = last.Add(1)
	}
	*last = at
	time.AfterFunc(time.Until(at), func() {
		s.w.mu.Lock()
		defer s.w.mu.Unlock()
		f()
	})
}

// served is the request's arrival at the follower.
func (s *fakeSession) served(c *fakeConn, r *fakeRequest, f fault) {
	switch {
	case s.gone || c.moved || c.black:
		return
	case c.down && s.w.coin():
		return // it may have been under way when the client closed, or not
	case f.loss == lostBefore:
		s.detach(zk.ErrConnectionClosed)
		return
	case f.loss == silentBefore:
		s.blacken(c)
		return
	}
	s.arrived(c)
	a := s.w.execute(s, c, r)
	if f.stale && r.kind == "children" {
		a.children = nil
	}
	switch f.loss {
	case lostAfter:
		s.detach(zk.ErrConnectionClosed)
		return
	case silentAfter:
		s.blacken(c)
		return
	case swallowed:
		return
	}
	s.deliver(&c.out, s.w.latency()+f.answer, func() {
		if c.down || c.black || !c.inFlight[r] {
			return
		}
		delete(c.inFlight, r)
		s.w.answered(s, r, a)
		r.got <- a
		if r.kind == "close" {
			s.lose()
		}
	})
}

// blacken makes a connection silent. The client's end notices by itself after
// two thirds of the session timeout.
func (s *fakeSession) blacken(c *fakeConn) {
	if c == nil || c.black {
		return
	}
	c.black = true
	time.AfterFunc(s.granted*2/3, func() {
		s.w.mu.Lock()
		defer s.w.mu.Unlock()
		if s.conn == c {
			s.detach(zk.ErrConnectionClosed)
		}
	})
}
