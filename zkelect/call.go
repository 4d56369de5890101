package zkelect

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"
)

type answer[T any] struct {
	v   T
	err error
}

// do makes one request of the library, which takes no context and can block
// for as long as the connection is down: requests are handed to it only while
// connected, and each in a goroutine of its own.
func do[T any](ctx context.Context, s *zkSession, request func() (T, error)) (T, error) {
	var none T
	if err := awaitConnected(ctx, s); err != nil {
		return none, err
	}
	got := make(chan answer[T], 1)
	go func() {
		v, err := request()
		got <- answer[T]{v, err}
	}()
	_, connection, _ := s.status()
	slow := time.NewTimer(max(s.timeout()/3, time.Second))
	defer slow.Stop()
	for {
		st, _, changed := s.status()
		if st == sessionLost {
			return none, errSessionLost
		}
		select {
		case a := <-got:
			if errors.Is(a.err, zk.ErrSessionExpired) {
				return none, errSessionLost
			}
			return a.v, s.noRight(a.err)
		case <-slow.C:
			s.kick(connection)
			return none, errNoAnswer
		case <-changed:
		case <-pulse(ctx):
		case <-ctx.Done():
			return none, fmt.Errorf("%w: %w", errNoAnswer, context.Cause(ctx))
		}
	}
}

// explain tells of a reading request that its answer was too large, which the
// library tells its log alone. Reading it again would not help.
func (s *zkSession) explain(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tooBig != "" && ambiguous(err) {
		defer func() { s.tooBig = "" }()
		return fmt.Errorf("%w: an answer of the server is larger than %d bytes (%s): too many or too large nodes", zk.ErrAPIError, recvBuffer, s.tooBig)
	}
	return err
}

func (s *zkSession) full(path string) string {
	if s.chroot == "" {
		return path
	}
	if path == "/" {
		return s.chroot
	}
	return s.chroot + path
}

// watched is the channel of a watch. The library keeps a channel for each call
// that sets a watch and removes none, so a watch that stands is not set again.
func (s *zkSession) watched(w watch) (ch chan zk.EventType, standing bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ch := s.watches[w]; ch != nil {
		return ch, true
	}
	// Before the request: the event may come on the heels of the answer.
	ch = make(chan zk.EventType, 1)
	s.watches[w] = ch
	return ch, false
}

func (s *zkSession) unwatched(w watch, ch chan zk.EventType) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.watches[w] == ch {
		delete(s.watches, w)
	}
}

type node struct {
	data     []byte
	stat     *zk.Stat
	children []string
	path     string
}

func (s *zkSession) get(ctx context.Context, path string) ([]byte, *zk.Stat, error) {
	n, err := do(ctx, s, func() (n node, err error) {
		n.data, n.stat, err = s.conn.Get(s.full(path))
		return n, err
	})
	return n.data, n.stat, s.explain(err)
}

func (s *zkSession) getW(ctx context.Context, path string) ([]byte, *zk.Stat, <-chan zk.EventType, error) {
	w := watch{s.full(path), false}
	ch, standing := s.watched(w)
	n, err := do(ctx, s, func() (n node, err error) {
		if standing {
			n.data, n.stat, err = s.conn.Get(w.path)
		} else {
			n.data, n.stat, _, err = s.conn.GetW(w.path)
		}
		return n, err
	})
	if err != nil {
		s.unwatched(w, ch)
		return nil, nil, nil, err
	}
	return n.data, n.stat, ch, nil
}

func (s *zkSession) exists(ctx context.Context, path string) (*zk.Stat, error) {
	n, err := do(ctx, s, func() (n node, err error) {
		ok, stat, err := s.conn.Exists(s.full(path))
		if ok {
			n.stat = stat
		}
		return n, err
	})
	return n.stat, err
}

func (s *zkSession) getACL(ctx context.Context, path string) ([]zk.ACL, error) {
	return do(ctx, s, func() ([]zk.ACL, error) {
		acl, _, err := s.conn.GetACL(s.full(path))
		return acl, err
	})
}

func (s *zkSession) written() <-chan struct{} { return s.link.Written() }

func (s *zkSession) children(ctx context.Context, path string) ([]string, *zk.Stat, error) {
	n, err := do(ctx, s, func() (n node, err error) {
		n.children, n.stat, err = s.conn.Children(s.full(path))
		return n, err
	})
	return n.children, n.stat, s.explain(err)
}

func (s *zkSession) childrenW(ctx context.Context, path string) ([]string, <-chan zk.EventType, error) {
	w := watch{s.full(path), true}
	ch, standing := s.watched(w)
	n, err := do(ctx, s, func() (n node, err error) {
		if standing {
			n.children, _, err = s.conn.Children(w.path)
		} else {
			n.children, _, _, err = s.conn.ChildrenW(w.path)
		}
		return n, err
	})
	if err != nil {
		s.unwatched(w, ch)
		return nil, nil, s.explain(err)
	}
	return n.children, ch, nil
}

func (s *zkSession) create(ctx context.Context, path string, data []byte, mode int32) (string, error) {
	if path == "/" && s.chroot != "" {
		return path, s.makeChroot(ctx)
	}
	n, err := do(ctx, s, func() (n node, err error) {
		if mode == zk.FlagContainer {
			n.path, err = s.conn.CreateContainer(s.full(path), data, mode, s.acl)
		} else {
			n.path, err = s.conn.Create(s.full(path), data, mode, s.acl)
		}
		return n, err
	})
	return strings.TrimPrefix(n.path, s.chroot), err
}

func (s *zkSession) remove(ctx context.Context, path string) error {
	_, err := do(ctx, s, func() (struct{}, error) { return struct{}{}, s.conn.Delete(s.full(path), -1) })
	return err
}

// makeChroot makes the chroot with its parents: users name it once, in the
// connect string, and expect it to be there.
func (s *zkSession) makeChroot(ctx context.Context) error {
	for i := 1; i <= len(s.chroot); i++ {
		if i < len(s.chroot) && s.chroot[i] != '/' {
			continue
		}
		_, err := do(ctx, s, func() (string, error) {
			return s.conn.Create(s.chroot[:i], nil, zk.FlagPersistent, s.acl)
		})
		if err != nil && !errors.Is(err, zk.ErrNodeExists) {
			return err
		}
	}
	return nil
}

// sync makes the server that this session reads from catch up with the leader.
func (s *zkSession) sync(ctx context.Context, path string) error {
	_, err := do(ctx, s, func() (string, error) { return s.conn.Sync(s.full(path)) })
	return err
}

func (s *zkSession) multi(ctx context.Context, ops ...any) ([]zk.MultiResponse, error) {
	full := make([]any, len(ops))
	for i, op := range ops {
		switch op := op.(type) {
		case *zk.CheckVersionRequest:
			full[i] = &zk.CheckVersionRequest{Path: s.full(op.Path), Version: op.Version}
		case *zk.SetDataRequest:
			full[i] = &zk.SetDataRequest{Path: s.full(op.Path), Data: op.Data, Version: op.Version}
		case *zk.DeleteRequest:
			full[i] = &zk.DeleteRequest{Path: s.full(op.Path), Version: op.Version}
		case *zk.CreateRequest:
			full[i] = &zk.CreateRequest{Path: s.full(op.Path), Data: op.Data, Acl: s.acl, Flags: op.Flags}
		}
	}
	// A failed multi has results too: they tell which operation failed.
	res, err := do(ctx, s, func() ([]zk.MultiResponse, error) {
		res, err := s.conn.Multi(full...)
		if failedOp(res) >= 0 {
			err = nil
		}
		return res, err
	})
	if i := failedOp(res); err == nil && i >= 0 {
		return res, s.noRight(res[i].Error)
	}
	return res, err
}

// noRight has an error for lack of rights tell where that was, and without what.
func (s *zkSession) noRight(err error) error {
	if !errors.Is(err, zk.ErrNoAuth) {
		return err
	}
	return &noRight{at: s.link.Server() + s.chroot, nameless: s.cfg.Auth == nil}
}
