package zkelect

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"

	"zkelect/zkelect/internal/zkconn"
)

const (
	// sendBuffer holds the largest request of ours, a record, with room.
	sendBuffer = 256 << 10
	// recvBuffer bounds an answer: a listing of about half a million nodes.
	// It is allocated only where such an answer comes.
	recvBuffer = 32 << 20
)

// zkSession is a session of go-zookeeper's, made to behave: see zkconn.Link
// for what is kept from the library, and do for what is kept from callers.
type zkSession struct {
	cfg    *Config
	chroot string
	acl    []zk.ACL
	link   *zkconn.Link
	conn   *zk.Conn

	mu         sync.Mutex
	state      sessionState
	connection int
	changed    chan struct{}
	watches    map[watch]chan zk.EventType
	giveUp     *time.Timer
	tooBig     string
}

// watch is one kind of watch on one path.
type watch struct {
	path     string
	children bool
}

// handshakeTimeout bounds a dial and a handshake, so that a silent server does
// not cost the time in which another could be found.
func handshakeTimeout(sessionTimeout time.Duration) time.Duration {
	return min(max(sessionTimeout*3/20, 250*time.Millisecond), 2*time.Second)
}

// newSession connects. The error tells of each server what was wrong with it.
func newSession(ctx context.Context, cfg *Config) (*zkSession, error) {
	cs, err := ParseConnectString(cfg.Servers)
	if err != nil {
		return nil, err
	}
	s := &zkSession{
		cfg:     cfg,
		chroot:  cs.Chroot,
		acl:     acls(cfg.ACL),
		link:    zkconn.New(cs.Servers, handshakeTimeout(cfg.SessionTimeout)),
		state:   sessionSuspended,
		changed: make(chan struct{}),
		watches: make(map[watch]chan zk.EventType),
	}
	s.link.Watching = s.watching
	s.conn, _, err = zk.Connect(cs.Servers, cfg.SessionTimeout,
		zk.WithDialer(s.link.Dial), zk.WithHostProvider(s.link), zk.WithEventCallback(s.event),
		zk.WithLogInfo(false), zk.WithLogger(s), zk.WithMaxBufferSize(recvBuffer), zk.WithMaxConnBufferSize(sendBuffer))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	if err := s.login(ctx); err != nil {
		s.close(0)
		return nil, s.unreachable(ctx, cs, err)
	}
	return s, nil
}

func (s *zkSession) login(ctx context.Context) error {
	if err := awaitConnected(ctx, s); err != nil {
		return err
	}
	if s.cfg.Auth == nil {
		return nil
	}
	// The library sends it again on each later connection, before anything else.
	_, err := read(ctx, session(s), func() (struct{}, error) {
		return do(ctx, s, func() (struct{}, error) {
			return struct{}{}, s.conn.AddAuth(s.cfg.Auth.Scheme, s.cfg.Auth.Secret)
		})
	})
	return err
}

func (s *zkSession) unreachable(ctx context.Context, cs ConnectString, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, errWaited) && !errors.Is(cause, errConnectTimeout) {
		return cause // asked to stop meanwhile: not the servers' fault
	}
	if errors.Is(err, zk.ErrAuthFailed) {
		return fmt.Errorf("%w: the servers refused the credentials of scheme %s", ErrDenied, s.cfg.Auth.Scheme)
	}
	errs := s.link.Errors()
	var each []string
	for _, server := range cs.Servers {
		why := "no answer yet"
		if e := errs[server]; e != nil {
			why = plain(e, server)
		}
		each = append(each, server+": "+why)
	}
	return fmt.Errorf("%w: %s; check --servers (%s) and that ZooKeeper is running", ErrUnreachable, strings.Join(each, "; "), s.cfg.Servers)
}

// plain shortens "dial tcp 127.0.0.1:1: connect: connection refused".
func plain(err error, server string) string {
	text := strings.TrimPrefix(err.Error(), "dial tcp ")
	text = strings.TrimPrefix(text, server+": ")
	if i := strings.Index(text, ": connect: "); i >= 0 {
		text = text[i+2:]
	}
	return strings.TrimPrefix(text, "connect: ")
}

func acls(mode ACLMode) []zk.ACL {
	switch mode {
	case ACLCreator:
		return append(zk.AuthACL(zk.PermAll), zk.WorldACL(zk.PermRead)...)
	case ACLPrivate:
		return zk.AuthACL(zk.PermAll)
	}
	return zk.WorldACL(zk.PermAll)
}

// Printf takes the library's log. Only one of its lines is an error that no
// request returns.
func (s *zkSession) Printf(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	if strings.Contains(line, "exceeds max buffer size") {
		s.mu.Lock()
		s.tooBig = line
		s.mu.Unlock()
	}
	s.cfg.emit(EventRetry, slog.String("library", line))
}

// event is called by the library's goroutines, sometimes under its locks: it
// must not call the library.
func (s *zkSession) event(ev zk.Event) {
	if ev.Type != zk.EventSession {
		s.fire(ev)
		return
	}
	switch ev.State {
	case zk.StateHasSession:
		s.transit(sessionConnected)
	case zk.StateDisconnected:
		s.transit(sessionSuspended)
	case zk.StateExpired:
		s.lose()
	}
}

func (s *zkSession) transit(to sessionState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == sessionLost || s.state == to {
		return
	}
	if s.giveUp != nil {
		s.giveUp.Stop()
	}
	s.state = to
	switch to {
	case sessionConnected:
		s.connection++
	case sessionSuspended:
		s.giveUp = time.AfterFunc(max(s.link.Timeout(), time.Second), s.doubt)
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

// lose ends the session on this side: nothing of it is ever sent again.
func (s *zkSession) lose() {
	s.transit(sessionLost)
	s.link.Bar()
	go s.conn.Close() // ends the library's loops
}

// doubt is called when no server has taken the session back for its whole
// timeout. A server that lost its data refuses a client that has seen newer
// transactions for ever (go-zookeeper issue 36). That is so if servers grant
// new sessions: then this one is given up; else it is kept, since a server
// that comes back with its data takes it, place in the queue included.
func (s *zkSession) doubt() {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	granted := slices.ContainsFunc(s.link.Servers(), func(server string) bool {
		_, err := zkconn.SmallestTimeout(ctx, server)
		return err == nil
	})
	if granted {
		// A server that was just coming back gets its chance.
		time.Sleep(time.Second)
	}
	s.mu.Lock()
	suspended := s.state == sessionSuspended
	if suspended && !granted {
		s.giveUp = time.AfterFunc(max(s.link.Timeout()/3, time.Second), s.doubt)
	}
	s.mu.Unlock()
	if suspended && granted {
		s.lose()
	}
}

// fire wakes those who watch what the event is about.
func (s *zkSession) fire(ev zk.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fired := []watch{{ev.Path, false}}
	switch ev.Type {
	case zk.EventNodeChildrenChanged:
		fired = []watch{{ev.Path, true}}
	case zk.EventNodeDeleted:
		fired = append(fired, watch{ev.Path, true})
	case zk.EventNotWatching:
		return // the session is over, which status tells
	}
	for _, w := range fired {
		if ch := s.watches[w]; ch != nil {
			ch <- ev.Type
			delete(s.watches, w)
		}
	}
}

func (s *zkSession) watching() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.watches) > 0
}

func (s *zkSession) id() int64              { return s.conn.SessionID() }
func (s *zkSession) timeout() time.Duration { return s.link.Timeout() }

func (s *zkSession) status() (sessionState, int, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state, s.connection, s.changed
}

func (s *zkSession) kick(connection int) {
	if st, now, _ := s.status(); st == sessionConnected && now == connection {
		s.link.Kick()
	}
}

// close must never leave the library's loops reconnecting: they would keep the
// session, and with it our nodes, alive.
func (s *zkSession) close(bound time.Duration) {
	if st, _, _ := s.status(); st == sessionConnected && bound > 0 {
		done := make(chan struct{})
		go func() { s.conn.Close(); close(done) }()
		select {
		case <-done:
		case <-time.After(bound):
		}
	}
	s.lose()
}

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
			return a.v, a.err
		case <-slow.C:
			s.kick(connection)
			return none, errNoAnswer
		case <-changed:
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

func (s *zkSession) children(ctx context.Context, path string) ([]string, error) {
	n, err := do(ctx, s, func() (n node, err error) {
		n.children, _, err = s.conn.Children(s.full(path))
		return n, err
	})
	return n.children, s.explain(err)
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
		return res, res[i].Error
	}
	return res, err
}
