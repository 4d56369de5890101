package zkelect

import (
	"context"
	"path"

	"github.com/go-zookeeper/zk"
)

// fakeEvent is what a watch gets.
type fakeEvent struct {
	watch
	event zk.EventType
}

// catchUp lets the follower know what the others know, and fires the watches
// that were set while it did not.
func (s *fakeSession) catchUp(c *fakeConn) {
	if c.view == nil {
		return
	}
	old := &fakeStore{nodes: c.view}
	c.view = nil
	for w := range s.armed {
		was, stood := old.nodes[w.path]
		is, stands := s.w.store.nodes[w.path]
		ev := fakeEvent{w, 0}
		switch {
		case !stands && stood:
			ev.event = zk.EventNodeDeleted
		case w.children && old.stat(w.path).Cversion != s.w.store.stat(w.path).Cversion:
			ev.event = zk.EventNodeChildrenChanged
		case !w.children && was.mzxid != is.mzxid:
			ev.event = zk.EventNodeDataChanged
		default:
			continue
		}
		delete(s.armed, w)
		s.tell(ev)
	}
}

// notify fires the watches that a change is about.
func (s *fakeSession) notify(change fakeChange) {
	if s.conn != nil && s.conn.view != nil {
		return // its follower does not know yet
	}
	events := []fakeEvent{{watch{change.path, false}, change.event}}
	if change.event != zk.EventNodeDataChanged {
		events = append(events, fakeEvent{watch{path.Dir(change.path), true}, zk.EventNodeChildrenChanged})
	}
	if change.event == zk.EventNodeDeleted {
		events = append(events, fakeEvent{watch{change.path, true}, zk.EventNodeDeleted})
	}
	for _, ev := range events {
		if s.armed[ev.watch] {
			delete(s.armed, ev.watch)
			s.tell(ev)
		}
	}
}

// tell sends an event to the client, now or with the next connection.
func (s *fakeSession) tell(ev fakeEvent) {
	c := s.conn
	if c == nil {
		s.missed = append(s.missed, ev)
		return
	}
	s.deliver(&c.out, s.w.latency(), func() {
		switch {
		case c.down:
			s.tell(ev) // the client asks again for what it has not seen
			return
		case c.black:
			s.missed = append(s.missed, ev)
			return
		}
		if ch := s.watches[ev.watch]; ch != nil {
			delete(s.watches, ev.watch)
			ch <- ev.event
		}
	})
}

// watched is the channel of a watch: one that stands is not set again.
func (s *fakeSession) watched(r *fakeRequest, w watch) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if r.ch = s.watches[w]; r.ch != nil {
		return
	}
	r.w, r.ch = &w, make(chan zk.EventType, 1)
	s.watches[w] = r.ch
}

func (s *fakeSession) unwatched(w watch, ch chan zk.EventType) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if s.watches[w] == ch {
		delete(s.watches, w)
	}
}

func (s *fakeSession) get(ctx context.Context, path string) ([]byte, *zk.Stat, error) {
	a := s.do(ctx, &fakeRequest{kind: "get", path: path})
	return a.data, a.stat, a.err
}

func (s *fakeSession) getW(ctx context.Context, path string) ([]byte, *zk.Stat, <-chan zk.EventType, error) {
	r := &fakeRequest{kind: "get", path: path}
	s.watched(r, watch{path, false})
	a := s.do(ctx, r)
	if a.err != nil {
		s.unwatched(watch{path, false}, r.ch)
		return nil, nil, nil, a.err
	}
	return a.data, a.stat, r.ch, nil
}

func (s *fakeSession) exists(ctx context.Context, path string) (*zk.Stat, error) {
	a := s.do(ctx, &fakeRequest{kind: "exists", path: path})
	return a.stat, a.err
}

func (s *fakeSession) getACL(ctx context.Context, path string) ([]zk.ACL, error) {
	stat, err := s.exists(ctx, path)
	if err == nil && stat == nil {
		err = zk.ErrNoNode
	}
	if err != nil || s.w.restricted {
		return nil, err
	}
	return zk.WorldACL(zk.PermAll), nil
}

func (s *fakeSession) children(ctx context.Context, path string) ([]string, *zk.Stat, error) {
	a := s.do(ctx, &fakeRequest{kind: "children", path: path})
	return a.children, a.stat, a.err
}

func (s *fakeSession) childrenW(ctx context.Context, path string) ([]string, <-chan zk.EventType, error) {
	r := &fakeRequest{kind: "children", path: path}
	s.watched(r, watch{path, true})
	a := s.do(ctx, r)
	if a.err != nil {
		s.unwatched(watch{path, true}, r.ch)
		return nil, nil, a.err
	}
	return a.children, r.ch, nil
}

func (s *fakeSession) create(ctx context.Context, path string, data []byte, mode int32) (string, error) {
	a := s.do(ctx, &fakeRequest{kind: "create", path: path, ops: []any{create(path, string(data), mode)}})
	return a.path, a.err
}

func (s *fakeSession) remove(ctx context.Context, path string) error {
	return s.do(ctx, &fakeRequest{kind: "remove", path: path, ops: []any{remove(path)}}).err
}

func (s *fakeSession) sync(ctx context.Context, path string) error {
	return s.do(ctx, &fakeRequest{kind: "sync", path: path}).err
}

func (s *fakeSession) multi(ctx context.Context, ops ...any) ([]zk.MultiResponse, error) {
	a := s.do(ctx, &fakeRequest{kind: "multi", ops: ops})
	return a.res, a.err
}
