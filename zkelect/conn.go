package zkelect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
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
	// unbounded: nobody gets an error of ours while no server takes us.
	unbounded bool
	givenUp   bool            // the session, by us
	warned    map[string]bool // of these servers' TLS since we were connected
	refused   refusals
}

// refusals are connections, one after the other, on which the servers did not take
// our credentials again.
type refusals struct {
	last  int // connection
	since time.Duration
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

// unreachableAfter is how long a connection is tried for, without a limit, before
// that is told.
const unreachableAfter = 5 * time.Second

// newSession connects. The error tells of each server what was wrong with it.
func newSession(ctx context.Context, cfg *Config) (*zkSession, error) {
	return newSessionBeside(ctx, cfg, nil)
}

// newSessionBeside calls asked, if not nil, while the servers are about to answer.
func newSessionBeside(ctx context.Context, cfg *Config, asked func()) (*zkSession, error) {
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
	s.link.Watching, s.link.Asked = s.watching, asked
	if cfg.TLS != nil {
		s.link.Secure, s.link.Failed = cfg.secure, s.failed
	}
	_, bounded := ctx.Deadline()
	s.unbounded = !bounded
	s.conn, _, err = zk.Connect(cs.Servers, cfg.SessionTimeout,
		zk.WithDialer(s.link.Dial), zk.WithHostProvider(s.link), zk.WithEventCallback(s.event),
		zk.WithLogInfo(false), zk.WithLogger(s), zk.WithMaxBufferSize(recvBuffer), zk.WithMaxConnBufferSize(sendBuffer))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	if s.unbounded {
		late := time.AfterFunc(unreachableAfter, func() { cfg.emit(EventUnreachable, slog.String("error", s.faults())) })
		defer late.Stop()
	}
	if err := s.login(ctx); err != nil {
		s.close(0)
		return nil, s.unreachable(ctx, err)
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
	for {
		_, before, _ := s.status()
		_, err := read(ctx, session(s), func() (struct{}, error) {
			return do(ctx, s, func() (struct{}, error) {
				return struct{}{}, s.conn.AddAuth(s.cfg.Auth.Scheme, s.cfg.Auth.Secret)
			})
		})
		// The library sends it again on each later connection, before anything else:
		// on those that begin after it has kept it, which is after the answer.
		if _, now, _ := s.status(); err != nil || now == before {
			return err
		}
	}
}

func (s *zkSession) unreachable(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, errWaited) && !errors.Is(cause, errConnectTimeout) {
		return cause // asked to stop meanwhile: not the servers' fault
	}
	if errors.Is(err, zk.ErrAuthFailed) {
		return fmt.Errorf("%w: %s takes no credentials of scheme %s; have it enabled there, or give none", ErrDenied, s.link.Server(), s.cfg.Auth.Scheme)
	}
	return fmt.Errorf("%w: %s; check --servers (%s) and that ZooKeeper is running", ErrUnreachable, s.faults(), s.cfg.Servers)
}

// faults tells of each server what was wrong with it.
func (s *zkSession) faults() string {
	errs := s.link.Errors()
	var each []string
	cs, _ := ParseConnectString(s.cfg.Servers) // which was parsed before
	for _, server := range cs.Servers {
		why := "no answer yet"
		if e := errs[server]; e != nil {
			why = cmp.Or(tlsFault(e, s.cfg.TLS), plain(e, server))
		}
		each = append(each, server+": "+why)
	}
	return strings.Join(each, "; ")
}

// plain shortens "dial tcp 127.0.0.1:1: connect: connection refused".
func plain(err error, server string) string {
	var name *net.DNSError
	if errors.As(err, &name) { // else it has the name again, and the name server's
		return name.Err
	}
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

// Printf takes the library's log. Only two of its lines are errors that no
// request returns.
func (s *zkSession) Printf(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	if strings.Contains(line, "exceeds max buffer size") {
		s.mu.Lock()
		s.tooBig = line
		s.mu.Unlock()
	}
	if strings.HasPrefix(line, "error in resending auth creds") && strings.HasSuffix(line, zk.ErrAuthFailed.Error()) {
		s.refusedAgain()
	}
	s.cfg.emit(EventRetry, slog.String("library", line))
}

// refusedAgain is called when a server does not take our credentials again; the
// library then tries the next one, without end. Where that has gone on for the
// session's whole timeout the session is given up: a new one tells what is wrong.
func (s *zkSession) refusedAgain() {
	s.mu.Lock()
	r := &s.refused
	first := r.last == 0 || s.connection != r.last+1
	if first {
		r.since = bootTime()
	}
	r.last = s.connection
	over := bootTime()-r.since > s.link.Timeout()
	s.mu.Unlock()
	switch {
	case over:
		s.lose()
	case first:
		s.cfg.emit(EventAuthFault, slog.String("server", s.link.Server()), slog.String("scheme", s.cfg.Auth.Scheme))
	}
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
		s.warned = nil
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
		_, err := zkconn.SmallestTimeout(ctx, server, s.link.Secure)
		return err == nil
	})
	if granted {
		// A server that was just coming back gets its chance.
		time.Sleep(time.Second)
	}
	s.mu.Lock()
	suspended := s.state == sessionSuspended
	s.givenUp = suspended && granted
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
func (s *zkSession) server() string         { return s.link.Server() }
func (s *zkSession) timeout() time.Duration { return s.link.Timeout() }

func (s *zkSession) end() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.givenUp {
		return "no server took it back in its whole timeout, though they grant new ones"
	}
	return "the servers have ended it"
}

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
