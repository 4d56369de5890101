package zkelect

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/go-zookeeper/zk"
)

// sight is an election as a candidate finds it that comes to it.
type sight struct {
	children []string
	latch    *zk.Stat // nil where the path is missing
	rec      *record  // nil where the side node is
	version  int32
	// open: whoever asks has every right to the nodes that are there.
	open bool
}

// look finds out what stands at the place. It refuses what is not to be joined, before
// anybody is disturbed or anything made.
func (p place) look(ctx context.Context, s session) (*sight, error) {
	var found sight
	var listed, opened error
	var free [2]bool
	together(ctx,
		func(ctx context.Context) { found.children, found.latch, listed = p.children(ctx, s) },
		func(ctx context.Context) { found.rec, found.version, opened = p.readRecord(ctx, s) },
		func(ctx context.Context) { free[0] = unrestricted(ctx, s, p.latch) },
		func(ctx context.Context) { free[1] = unrestricted(ctx, s, p.side) },
	)
	if listed == nil {
		listed = p.suits(found.children, found.latch)
	}
	if listed != nil {
		return nil, listed
	}
	switch {
	case errors.Is(opened, zk.ErrNoAuth):
		return nil, denied(opened, "read", p.side)
	case opened != nil && !errors.Is(opened, zk.ErrNoNode):
		return nil, opened
	}
	found.open = (free[0] || found.latch == nil) && free[1]
	return &found, nil
}

// unrestricted tells whether the ACL of a node lets anybody do what a participant does.
func unrestricted(ctx context.Context, s session, node string) bool {
	acl, err := s.getACL(ctx, node)
	if err != nil {
		return false // then the servers are asked for each right
	}
	const needed = zk.PermRead | zk.PermWrite | zk.PermCreate | zk.PermDelete
	for _, a := range acl {
		if a.Scheme == "world" && a.ID == "anyone" && a.Perms&needed == needed {
			return true
		}
	}
	return false
}

// arrive makes sure that the candidate may join, and makes the side node where it is
// missing. The sight is nil where it would have to be looked at again.
func (c *Candidate) arrive(ctx context.Context) (*sight, error) {
	seen, err := c.place.look(ctx, c.sess)
	switch {
	case err != nil:
		return nil, err
	case seen.rec == nil:
		return nil, c.place.prepare(ctx, c.sess)
	case seen.open:
		return seen, nil
	}
	return seen, c.place.mayUse(ctx, c.sess)
}

// glance is the path as it was listed beside something else.
type glance struct {
	done     chan struct{} // closed when it was
	children []string
	stat     *zk.Stat
	err      error
}

func newGlance() *glance { return &glance{done: make(chan struct{})} }

func (l *glance) look(ctx context.Context, p place, s prompt) {
	l.children, l.stat, l.err = s.children(ctx, p.latch)
	close(l.done)
}

// enters tells whether the candidate may enter an empty queue and open at once.
func (c *Candidate) enters() bool {
	return c.cfg.Recipe != RecipePlain && c.cfg.SkipIfRunWithin == 0 // which needs the time of the queue node
}

// free tells whether nothing is known that keeps anybody from leading at once.
func (s *sight) free() bool { return len(s.children) == 0 && s.rec != nil && s.rec.Hold == nil }

// enter queues and opens at once, where nobody else is there and nothing is in the way.
//
// The servers number the children of a node in the order in which they come. A queue
// node that gets the number that was next when the queue was empty is the first: nobody
// has come since. Where another came, the opening checks a node that does not exist, and
// will never: the name holds the UUID of this queueing. The list, which is answered
// before any work starts, does not rely on how servers number.
func (c *Candidate) enter(ctx context.Context, seen *sight, uuid string) (name string, first turn, err error) {
	next := int64(0)
	if seen.latch != nil {
		next = nextSequence(seen.latch)
	} else if err := c.place.ensure(ctx, c.sess, c.place.latch); err != nil {
		return "", turn{}, err
	}
	prefix := c.cfg.Recipe.prefix(uuid)
	expected := prefix + fmt.Sprintf("%010d", next)
	if err := c.host.armed(ctx, prefix); err != nil {
		return "", turn{}, err
	}
	o := c.opens(expected, seen.rec)
	c.joined.asked = o.at
	var made string
	var missed error
	s, listed := c.prompt(), newGlance()
	inOrder(context.WithoutCancel(ctx), s, // the answers matter
		func(ctx context.Context) {
			made, missed = s.create(ctx, c.place.node(prefix), []byte(c.cfg.ID), zk.FlagEphemeralSequential)
		},
		func(ctx context.Context) { o.send(ctx, c.place, s, expected, seen.version) },
		func(ctx context.Context) { listed.look(ctx, c.place, s) },
	)
	switch {
	case missed == nil:
		name = c.entered(strings.TrimPrefix(made, c.place.latch+"/"))
	case ambiguous(missed):
		listed.err = missed // that may have come before the node
		if err = pauseAfter(ctx, c.sess); err == nil {
			name, err = c.joinAs(ctx, uuid, true)
		}
	default: // and so the opening has failed, and nothing of ours is there
		name, err = c.join(ctx, newUUID(c.hostPID))
	}
	if err != nil || name != expected {
		return name, turn{}, err
	}
	return name, turn{entry: o, listed: listed}, nil
}

func (o *opening) send(ctx context.Context, p place, s prompt, name string, version int32) {
	o.res, o.err = s.multi(ctx, p.opening(name, o.next, version)...)
}

// confirm looks, after winning, whether nobody of another family is there, and with
// first, whether the candidate is the first of its own.
func (c *Candidate) confirm(ctx context.Context, name string, l *glance, first bool) error {
	if _, err := receive(context.WithoutCancel(ctx), l.done); err != nil {
		return err
	}
	if l.err != nil {
		l.children, l.stat, l.err = c.place.children(ctx, c.sess)
	}
	if l.err == nil {
		l.err = c.place.suits(l.children, l.stat)
	}
	if l.err != nil || !first {
		return l.err
	}
	q := newQueue(l.children, c.cfg.Recipe.family())
	i := q.index(name)
	if i < 0 {
		return errPlaceLost
	}
	c.nearEnd(q[i].sequence)
	if i > 0 {
		return errDoubt // these servers do not number as others do
	}
	return nil
}

// nearEnd warns of a sequence that ends.
func (c *Candidate) nearEnd(sequence int64) {
	if sequence >= warnSequence && !c.endTold {
		c.endTold = true
		c.cfg.emit(EventSequence, slog.Int64("sequence", sequence), slog.Int64("end", lastSequence))
	}
}
