// Package zkconn is the way from go-zookeeper to the servers: it dials, paces
// and bounds connections, reads the negotiated timeout out of the connect
// response, and makes sure that one zk.Conn carries one session only.
package zkconn

import (
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// ErrBarred is what a dial gets once no connection is wanted any more.
var ErrBarred = errors.New("no new connection is wanted")

// Link is the dialer and the host provider of one zk.Conn.
//
// go-zookeeper opens a new session by itself after expiry, and requests queued
// for the old one can execute in it. A Link therefore bars itself at the first
// connect response that names no session or another one than before.
type Link struct {
	// Watching, if not nil, tells whether the library has watches, which it
	// sets again on a new connection. It is called at the end of a handshake.
	Watching func() bool
	// Failed, if not nil, is told of each connection that failed: refused, or
	// ended before it had a session. It must return at once.
	Failed func(server string, err error)
	// Asked, if not nil, is called when a server has been asked for a session, and before
	// it can have answered. It must return at once.
	Asked func()
	// Secure, if not nil, has all connections made by TLS.
	Secure Secure

	servers   []string
	handshake time.Duration
	dialFunc  func(network, addr string, timeout time.Duration) (net.Conn, error)

	mu      sync.Mutex
	conn    *conn
	barred  chan struct{}
	closed  bool
	session int64
	timeout time.Duration // the smallest negotiated in this session
	server  string
	errs    map[string]error
	next    int
	fails   int // dials since the last connection that settled
	written chan struct{}
	since   time.Time // the last successful handshake
}

// settled is how long a connection has lasted when the next dial needs no
// pause: a server that shakes hands and hangs up must not be knocked at
// without end.
const settled = 500 * time.Millisecond

// New makes a Link to servers (host:port), which are resolved at each dial:
// one bad name must not fail the others, and addresses change. A connection
// that has not answered the handshake, that of TLS included, within handshake is
// closed.
func New(servers []string, handshake time.Duration) *Link {
	return &Link{
		servers:   servers,
		handshake: handshake,
		dialFunc:  net.DialTimeout,
		barred:    make(chan struct{}),
		errs:      make(map[string]error),
	}
}

// Init is called by zk.Connect with the servers in random order.
func (l *Link) Init(servers []string) error {
	l.servers = servers
	return nil
}

// Servers are the servers in the order in which they are tried.
func (l *Link) Servers() []string { return l.servers }

// Len is the number of servers.
func (l *Link) Len() int { return len(l.servers) }

// Next is the server to try. The second value makes the library sleep for a
// second and look whether it shall quit: only wanted when barred, since the
// pace is kept in Dial.
func (l *Link) Next() (string, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	server := l.servers[l.next%len(l.servers)]
	l.next++
	return server, l.closed
}

// Connected is called after a successful handshake.
func (l *Link) Connected() {}

// pause is how long to wait before the next dial: nothing in the first round
// over all servers, then a growing time with jitter, so that a fleet does not
// knock in step at a server that comes back.
func (l *Link) pause() time.Duration {
	rounds := l.fails / len(l.servers)
	if rounds == 0 {
		return 0
	}
	p := min(25*time.Millisecond<<min(rounds, 6), max(l.handshake/2, 50*time.Millisecond), time.Second)
	return p/2 + rand.N(p)
}

// Dial is a zk.Dialer.
func (l *Link) Dial(network, addr string, _ time.Duration) (net.Conn, error) {
	l.mu.Lock()
	if l.closed { // the select below takes either of two that are ready
		l.mu.Unlock()
		return nil, ErrBarred
	}
	if !l.since.IsZero() && time.Since(l.since) > settled {
		l.fails = 0
	}
	l.since = time.Time{}
	pause := l.pause()
	l.fails++
	l.mu.Unlock()
	if pause > 0 {
		select {
		case <-l.barred:
			return nil, ErrBarred
		case <-time.After(pause):
		}
	}
	secure, err := l.Secure.config(addr)
	if err != nil {
		l.note(addr, err)
		return nil, err
	}
	raw, err := l.dialFunc(network, addr, l.handshake)
	if err != nil {
		l.note(addr, err)
		return nil, err
	}
	c := &conn{Conn: raw, raw: raw, link: l, addr: addr}
	if secure != nil {
		c.Conn = tls.Client(raw, secure)
	}
	// The library waits 10 × 2T/3 for the first answer, and for the rest of it
	// without end, while another server may be healthy.
	c.watchdog = time.AfterFunc(l.handshake, func() {
		l.note(addr, fmt.Errorf("connected, but no answer within %v", l.handshake))
		raw.Close()
	})
	if !l.take(c) {
		c.watchdog.Stop()
		raw.Close()
		return nil, ErrBarred
	}
	if err := shake(c.Conn); err != nil {
		c.watchdog.Stop()
		raw.Close()
		c.noteEnd(err)
		return nil, err
	}
	return c, nil
}

// take makes c the present connection, so that Kick and Bar end it, unless the
// link is barred.
func (l *Link) take(c *conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.conn = c
	return true
}

func (l *Link) note(addr string, err error) {
	l.mu.Lock()
	l.errs[addr] = err
	l.mu.Unlock()
	if l.Failed != nil {
		l.Failed(addr, err)
	}
}

// Errors are the last errors by server, since it was connected last.
func (l *Link) Errors() map[string]error {
	l.mu.Lock()
	defer l.mu.Unlock()
	errs := make(map[string]error, len(l.errs))
	for s, err := range l.errs {
		errs[s] = err
	}
	return errs
}

// Timeout is the smallest session timeout negotiated in this session, 0 before
// the first. The smallest: an expiry that a server decided on may be older
// than the last negotiation.
func (l *Link) Timeout() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.timeout
}

// Server is the address of the last connection that got a session.
func (l *Link) Server() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.server
}

// Written is closed once the next request is on its way; the library's pings are none.
func (l *Link) Written() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.written == nil {
		l.written = make(chan struct{})
	}
	return l.written
}

func (l *Link) wrote() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.written != nil {
		close(l.written)
		l.written = nil
	}
}

// Kick closes the present connection, so that the next server is tried.
func (l *Link) Kick() {
	l.mu.Lock()
	c := l.conn
	l.mu.Unlock()
	if c != nil {
		c.Close()
	}
}

// Bar ends the link: the present connection is closed and no other is made.
func (l *Link) Bar() {
	l.bar()
	l.Kick()
}

func (l *Link) bar() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.closed = true
		close(l.barred)
	}
}

// negotiated takes a connect response; an error closes the connection.
func (l *Link) negotiated(addr string, r connectResponse) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.session == 0 || (l.session != 0 && r.session != l.session) {
		// Let the library see this answer, but never dial again.
		if !l.closed {
			l.closed = true
			close(l.barred)
		}
		if r.session != 0 {
			return fmt.Errorf("%s answered with session 0x%x instead of 0x%x", addr, r.session, l.session)
		}
		return nil
	}
	l.session, l.server = r.session, addr
	if l.timeout == 0 || r.timeout < l.timeout {
		l.timeout = r.timeout
	}
	l.since = time.Now()
	delete(l.errs, addr)
	return nil
}
