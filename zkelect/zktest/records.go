package zktest

import (
	"sync"

	"github.com/go-zookeeper/zk"
)

// A Request is one that a client sent, whatever became of it.
type Request struct {
	Op
	Conn    int    // counts the proxy's connections from 1
	Session int64  // 0 for a request for a session
	At      Moment // when the proxy read it
}

// A Notice is a watch event that a server sent, whatever became of it.
type Notice struct {
	Type    zk.EventType
	State   zk.State
	Path    string
	Conn    int
	Session int64
	At      Moment // when the proxy read it
}

// Requests returns the requests so far that match, all of them for a nil match,
// in the order in which the proxy read them. Pings and requests for a session
// are among them.
func (p *Proxy) Requests(match func(Op) bool) []Request { return p.records.requestsOf(match) }

// Events returns the watch events so far, in the order in which the proxy read
// them.
func (p *Proxy) Events() []Notice { return p.records.noticesSoFar() }

// Forget empties what Requests and Events return.
func (p *Proxy) Forget() { p.records.forget() }

type records struct {
	mu       sync.Mutex
	requests []Request
	notices  []Notice
}

func (r *records) request(l *link, op Op) {
	at := Now()
	l.mu.Lock()
	session := l.session
	l.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = append(r.requests, Request{Op: op, Conn: l.id, Session: session, At: at})
}

func (r *records) event(l *link, body *decoder) {
	n := Notice{At: Now(), Conn: l.id}
	n.Type, n.State, n.Path = zk.EventType(body.int32()), zk.State(body.int32()), body.string()
	l.mu.Lock()
	n.Session = l.session
	l.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notices = append(r.notices, n)
}

func (r *records) requestsOf(match func(Op) bool) []Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []Request
	for _, q := range r.requests {
		if match == nil || match(q.Op) {
			found = append(found, q)
		}
	}
	return found
}

func (r *records) noticesSoFar() []Notice {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Notice(nil), r.notices...)
}

func (r *records) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests, r.notices = nil, nil
}
