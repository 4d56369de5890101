package zkelect

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"
)

// sessionState is what is known of a session.
type sessionState int

const (
	sessionConnected sessionState = iota
	sessionSuspended              // connection lost, session maybe alive
	sessionLost                   // expired, closed or given up: for ever
)

// session is one ZooKeeper session, never two. Paths are within the chroot.
// Every request returns when ctx is done, at the latest; a request whose reply
// did not come may still be executed, until the session is lost. Requests are
// executed in the order in which they were made.
type session interface {
	id() int64
	timeout() time.Duration // the smallest negotiated in this session
	// status also gives the number of the connection, which rises with each
	// reconnection, and a channel that is closed at the next change.
	status() (st sessionState, connection int, changed <-chan struct{})
	// kick closes a connection, so that another server is tried, unless that
	// connection is already gone.
	kick(connection int)
	// server is the one that the connection, or the last one, is to; "" if unknown.
	server() string
	// end tells why the session is lost, to a person.
	end() string
	// close ends the session, politely where possible within bound.
	close(bound time.Duration)
	// written is closed once the next request is on its way.
	written() <-chan struct{}

	get(ctx context.Context, path string) ([]byte, *zk.Stat, error)
	getW(ctx context.Context, path string) ([]byte, *zk.Stat, <-chan zk.EventType, error)
	exists(ctx context.Context, path string) (*zk.Stat, error) // nil: missing
	getACL(ctx context.Context, path string) ([]zk.ACL, error)
	children(ctx context.Context, path string) ([]string, *zk.Stat, error) // the stat is the parent's
	childrenW(ctx context.Context, path string) ([]string, <-chan zk.EventType, error)
	create(ctx context.Context, path string, data []byte, mode int32) (string, error)
	remove(ctx context.Context, path string) error
	sync(ctx context.Context, path string) error
	multi(ctx context.Context, ops ...any) ([]zk.MultiResponse, error)
}

var (
	errSessionLost = errors.New("the session is over")
	errNoAnswer    = errors.New("no answer from the server")
)

// definite are the errors with which a server says that it did not execute a
// request. After any other the request may have been executed.
var definite = []error{
	zk.ErrNoNode, zk.ErrNodeExists, zk.ErrBadVersion, zk.ErrNoAuth, zk.ErrNotEmpty,
	zk.ErrNoChildrenForEphemerals, zk.ErrInvalidACL, zk.ErrInvalidPath, zk.ErrBadArguments,
	zk.ErrAPIError, zk.ErrAuthFailed, zk.ErrInvalidFlags,
	// and what this package says itself
	errSessionLost, errPlaceLost, errAside, errDoubt, errMoved,
	ErrNode, ErrUnsafe, ErrDenied, ErrConfig, ErrNoElection, ErrNoLeader, ErrRefused, ErrNoHold,
}

// ambiguous tells whether a failed request may have been executed.
func ambiguous(err error) bool {
	if err == nil || strings.HasPrefix(err.Error(), "unknown error: ") { // an error code of the server's
		return false
	}
	for _, d := range definite {
		if errors.Is(err, d) {
			return false
		}
	}
	return true
}

// failedOp is the operation at which a multi failed, -1 where none is known.
func failedOp(res []zk.MultiResponse) int {
	for i, r := range res {
		if r.Error != nil {
			return i
		}
	}
	return -1
}

// awaitConnected returns when the session is connected.
func awaitConnected(ctx context.Context, s session) error {
	for {
		st, _, changed := s.status()
		switch st {
		case sessionConnected:
			return nil
		case sessionLost:
			return errSessionLost
		}
		select {
		case <-changed:
		case <-pulse(ctx):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// read repeats a reading request until it is answered, the session is lost or
// ctx is done.
func read[T any](ctx context.Context, s session, request func() (T, error)) (T, error) {
	for {
		v, err := request()
		if !ambiguous(err) {
			return v, err
		}
		if ctx.Err() != nil {
			return v, context.Cause(ctx)
		}
		if err := pauseAfter(ctx, s); err != nil {
			return v, err
		}
	}
}

// pauseAfter waits a moment after an unanswered request: mostly the loss of
// the connection is about to be noticed.
func pauseAfter(ctx context.Context, s session) error {
	if err := sleep(ctx, 10*time.Millisecond); err != nil {
		return err
	}
	return awaitConnected(ctx, s)
}

// noRight is the servers' zk.ErrNoAuth with what a person needs to know of it.
type noRight struct {
	at       string // which server, with the chroot
	nameless bool   // it was given no credentials
}

func (r *noRight) Error() string   { return ErrDenied.Error() + " on " + r.at }
func (r *noRight) Unwrap() []error { return []error{ErrDenied, zk.ErrNoAuth} }

// denied turns a refusal for lack of rights into words. Creating and deleting are
// rights on the node above.
func denied(err error, what, node string) error {
	switch {
	case !errors.Is(err, zk.ErrNoAuth):
		return fmt.Errorf("%s %s: %w", what, node, err)
	case what == "create", what == "delete":
		return refused(err, what+" "+node, path.Dir(node))
	}
	return refused(err, what+" "+node, node)
}

// refused says what may not be done, and whose ACL forbids it.
func refused(err error, what, node string) error {
	at, which := "", "the right credentials"
	var r *noRight
	if errors.As(err, &r) {
		at = " on " + r.at
		if r.nameless {
			which = "credentials"
		}
	}
	return fmt.Errorf("%w: may not %s%s; give %s with --auth-file, or have the ACL of %s changed", ErrDenied, what, at, which, node)
}

// prompt is a session for what must not be late: a request without an answer
// within bound closes the connection, so that another server is tried.
type prompt struct {
	session
	bound time.Duration
}

func promptly[T any](ctx context.Context, p prompt, request func(context.Context) (T, error)) (T, error) {
	_, connection, _ := p.status()
	bounded, cancel := context.WithTimeout(ctx, p.bound)
	defer cancel()
	v, err := request(bounded)
	if ambiguous(err) && bounded.Err() != nil && ctx.Err() == nil {
		p.kick(connection)
	}
	return v, err
}

func (p prompt) get(ctx context.Context, path string) ([]byte, *zk.Stat, error) {
	n, err := promptly(ctx, p, func(ctx context.Context) (n node, err error) {
		n.data, n.stat, err = p.session.get(ctx, path)
		return n, err
	})
	return n.data, n.stat, err
}

func (p prompt) children(ctx context.Context, path string) ([]string, *zk.Stat, error) {
	n, err := promptly(ctx, p, func(ctx context.Context) (n node, err error) {
		n.children, n.stat, err = p.session.children(ctx, path)
		return n, err
	})
	return n.children, n.stat, err
}

func (p prompt) exists(ctx context.Context, path string) (*zk.Stat, error) {
	return promptly(ctx, p, func(ctx context.Context) (*zk.Stat, error) { return p.session.exists(ctx, path) })
}

func (p prompt) sync(ctx context.Context, path string) error {
	_, err := promptly(ctx, p, func(ctx context.Context) (struct{}, error) { return struct{}{}, p.session.sync(ctx, path) })
	return err
}

func (p prompt) remove(ctx context.Context, path string) error {
	_, err := promptly(ctx, p, func(ctx context.Context) (struct{}, error) { return struct{}{}, p.session.remove(ctx, path) })
	return err
}

func (p prompt) multi(ctx context.Context, ops ...any) ([]zk.MultiResponse, error) {
	return promptly(ctx, p, func(ctx context.Context) ([]zk.MultiResponse, error) { return p.session.multi(ctx, ops...) })
}
