package zkelect

import (
	"errors"

	"zkelect/zkelect/internal/child"
)

// Sentinels; errors of this package wrap at most one of them.
var (
	// ErrConfig: the configuration is wrong; nothing was done.
	ErrConfig = errors.New("bad configuration")
	// ErrUnreachable: no server gave a usable session within the connect
	// timeout (or within the wait for leadership).
	ErrUnreachable = errors.New("ZooKeeper not reached")
	// ErrNotLeader: someone else leads and the wait is over.
	ErrNotLeader = errors.New("someone else leads")
	// ErrUnsafe: joining would not be safe: another kind of election stands
	// at the path, or the session timeout does not hold the lease's budget.
	ErrUnsafe = errors.New("not safe")
	// ErrDenied: the servers refuse access to a node that is needed.
	ErrDenied = errors.New("permission denied")
	// ErrNode: a node is not what it should be: garbage in the side node, a
	// node in the way.
	ErrNode = errors.New("unusable node")
	// ErrNoElection: nothing stands at the path.
	ErrNoElection = errors.New("no such election")
	// ErrRefused: resign cannot do what was asked; nothing was changed.
	ErrRefused = errors.New("refused")
	// ErrNoHold: there is no hold to remove.
	ErrNoHold = errors.New("not held")
	// ErrFence: a term before that did not end cleanly could not be fenced.
	ErrFence = errors.New("the fence command failed")
	// ErrStart: the work of a term could not be started.
	ErrStart = errors.New("cannot start")
	// ErrClosed: the latch is closed, or was never started.
	ErrClosed = errors.New("the latch is closed")
	// ErrNotLeading: leadership is over. It is the cause of a Leadership's
	// context too.
	ErrNotLeading = errors.New("leadership is over")
)

// What Run's errors wrap where there is no such command, or one that cannot be
// run: a shell's 127 and 126.
var (
	ErrCommandNotFound      = child.ErrNotFound
	ErrCommandNotExecutable = child.ErrNotExecutable
)
