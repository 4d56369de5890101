package chaos

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/go-zookeeper/zk"

	"zkelect/zkelect/zktest"
)

// An eye watches the nodes of each term on one server, by a session that no
// fault of the network touches. With one on each server, the first to tell is prompt,
// whatever becomes of the others.
type eye struct {
	conn   *zk.Conn
	closed atomic.Bool
	gone   func(t *term, live bool, at int64)
}

func openEye(addr string, gone func(*term, bool, int64)) (*eye, error) {
	conn, _, err := zk.Connect([]string{addr}, 60*time.Second, zk.WithLogger(silent{}), zk.WithLogInfo(false))
	if err != nil {
		return nil, err
	}
	return &eye{conn: conn, gone: gone}, nil
}

type silent struct{}

func (silent) Printf(string, ...any) {}

func (e *eye) close() {
	e.closed.Store(true)
	done := make(chan struct{})
	go func() { e.conn.Close(); close(done) }()
	select {
	case <-done:
	case <-time.After(time.Second):
	}
}

func (e *eye) follow(t *term, in Election) {
	if !in.onOneNode() { // whose name says nothing of the term; it goes with live's session
		go e.watch(t, t.node, false)
	}
	go e.watch(t, in.live(), true)
}

// watch tells once when the node is gone from this server.
func (e *eye) watch(t *term, node string, live bool) {
	proved := false
	for !e.closed.Load() {
		_, stat, events, err := e.conn.GetW(node)
		switch {
		case err == nil && (!live || stat.Czxid == t.token):
			// Anything but a deletion, such as a lost session, only means to look again.
			if ev := <-events; ev.Type == zk.EventNodeDeleted {
				e.gone(t, live, zktest.Stamp())
				return
			}
		case err == nil && stat.Czxid > t.token, errors.Is(err, zk.ErrNoNode) && proved:
			e.gone(t, live, zktest.Stamp())
			return
		case err == nil || errors.Is(err, zk.ErrNoNode):
			// What is missing, or old, may not have reached the server yet. A server
			// that is cut off answers a sync too, but no multi, which the quorum commits.
			_, err := e.conn.Multi(&zk.CheckVersionRequest{Path: node, Version: -1})
			proved = errors.Is(err, zk.ErrNoNode)
			if err != nil && !proved {
				time.Sleep(100 * time.Millisecond)
			}
		default:
			time.Sleep(100 * time.Millisecond)
		}
	}
}

// committing asks each server for something that the quorum has to commit. Where
// none can, it is not the contenders' fault that nobody leads.
func (e *engine) committing() []bool {
	can := make([]bool, len(e.eyes))
	for i, eye := range e.eyes {
		answer := make(chan error, 1)
		go func() {
			_, err := eye.conn.Multi(&zk.CheckVersionRequest{Path: "/", Version: -1})
			answer <- err
		}()
		select {
		case err := <-answer:
			can[i] = err == nil
		case <-time.After(3 * time.Second):
		}
	}
	return can
}
