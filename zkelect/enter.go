package zkelect

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"

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
	var reads sync.WaitGroup
	reads.Go(func() { found.children, found.latch, listed = p.children(ctx, s) })
	reads.Go(func() { found.rec, found.version, opened = p.readRecord(ctx, s) })
	for i, node := range []string{p.latch, p.side} {
		reads.Go(func() { free[i] = unrestricted(ctx, s, node) })
	}
	reads.Wait()
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

// entry is what was sent in one go where nobody stood in the queue: the queue node, the
// opening by the name that it was to get, and a look at the queue.
type entry struct {
	opening
	children []string
	listed   error
}

// unhindered tells whether nothing is known that keeps the candidate from leading at once.
func (c *Candidate) unhindered(seen *sight) bool {
	return len(seen.children) == 0 && seen.rec != nil && seen.rec.Hold == nil &&
		c.cfg.SkipIfRunWithin == 0 // which needs the time of the queue node
}

// enter queues and opens at once, where nobody else is there and nothing is in the way.
//
// The servers number the children of a node in the order in which they come. A queue
// node that gets the number that was next when the queue was empty is the first: nobody
// has come since. Where another came, the opening checks a node that does not exist, and
// will never: the name holds the UUID of this queueing. The list, which is answered
// before any work starts, does not rely on how servers number.
func (c *Candidate) enter(ctx context.Context, seen *sight) (name string, first turn, err error) {
	next := int64(0)
	if seen.latch != nil {
		next = nextSequence(seen.latch)
	} else if err := c.place.ensure(ctx, c.sess, c.place.latch); err != nil {
		return "", turn{}, err
	}
	uuid := newUUID(c.hostPID)
	expected := c.cfg.Recipe.prefix(uuid) + fmt.Sprintf("%010d", next)
	if err := c.host.armed(ctx, expected); err != nil {
		return "", turn{}, err
	}
	e := &entry{opening: *c.opens(expected, seen.rec)}
	c.joined.asked = e.at
	var made string
	var missed error
	s, all := c.prompt(), context.WithoutCancel(ctx) // the answers matter
	s.inOrder(
		func() {
			made, missed = s.create(all, c.place.node(c.cfg.Recipe.prefix(uuid)), []byte(c.cfg.ID), zk.FlagEphemeralSequential)
		},
		func() { e.res, e.err = s.multi(all, c.place.opening(expected, e.next, seen.version)...) },
		func() { e.children, _, e.listed = s.children(all, c.place.latch) },
	)
	switch {
	case missed == nil:
		name = c.entered(strings.TrimPrefix(made, c.place.latch+"/"))
	case ambiguous(missed):
		e.listed = missed // that may have come before the node
		if err = pauseAfter(ctx, c.sess); err == nil {
			name, err = c.joinAs(ctx, uuid, true)
		}
	default: // and so the opening has failed, and nothing of ours is there
		name, err = c.join(ctx)
	}
	if err != nil || name != expected {
		return name, turn{}, err
	}
	return name, turn{entry: e}, nil
}

// confirm looks, after an opening that went with the queue node, whether that is first
// among its like.
func (c *Candidate) confirm(ctx context.Context, name string, e *entry) error {
	q := newQueue(e.children, c.cfg.Recipe.family())
	if e.listed != nil {
		var err error
		if q, err = c.place.list(ctx, c.sess); err != nil {
			return err
		}
	}
	if err := q.safe(c.cfg.Path, c.cfg.Recipe); err != nil {
		return err
	}
	i := q.index(name)
	if i < 0 {
		return errPlaceLost
	}
	c.nearEnd(q[i].sequence)
	if i > 0 {
		return errDoubt // servers that do not number as ours do
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
