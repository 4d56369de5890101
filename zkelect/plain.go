package zkelect

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path"
	"time"

	"github.com/go-zookeeper/zk"
)

// RecipePlain is the classic election: everybody tries to create one ephemeral
// node, and whoever has not made it watches its deletion. One deletion wakes all
// who wait (the herd effect of ZooKeeper's recipes), in no order.
//
// The node has one name for all, so a path can't tell ours from another's: its
// owner does. It is never deleted by name, but goes with its session.

const (
	// herdDelay is the longest of the random pauses between the deletion of the node
	// and the next look at it. Whoever looks later sees the node of whoever was
	// first, which is a read, where a create that fails is a transaction.
	herdDelay = 50 * time.Millisecond
	// yieldDelay is the pause of a candidate that has just led, so that those who
	// wait come first.
	yieldDelay = 4 * herdDelay
)

// take returns when this session owns the one node. The name that it returns is
// that of the queueing.
func (c *Candidate) take(ctx context.Context) (name string, err error) {
	name = newUUID(c.hostPID)
	if c.yields {
		c.yields = false
		if err := sleep(ctx, yieldDelay); err != nil {
			return "", err
		}
	}
	for shown := ""; ; {
		st, _, changed := c.sess.status()
		if st == sessionLost {
			return "", errSessionLost
		}
		data, stat, gone, err := c.sess.getW(ctx, c.place.latch)
		switch {
		case errors.Is(err, zk.ErrNoNode):
			if c.joined.at.IsZero() {
				c.joined.asked = c.now()
			}
			if err := c.create(ctx); err != nil {
				return "", err
			}
			continue // reading tells whose it is
		case ambiguous(err):
			if err := pauseAfter(ctx, c.sess); err != nil {
				return "", err
			}
			continue
		case err != nil:
			return "", denied(err, "read", c.place.latch)
		case stat.EphemeralOwner == 0:
			if err := c.place.safe(ctx, c.sess); err != nil {
				return "", err
			}
			continue // deleted since
		case stat.EphemeralOwner == c.sess.id():
			c.cfg.emit(EventJoined, slog.String("node", c.place.latch))
			c.learnTick()
			c.host.near(name)
			return name, nil
		case c.cfg.NoWait:
			return "", c.conflict(printable(data), 0)
		}
		c.host.far() // nobody knows who will be next
		if owner := sessionHex(stat.EphemeralOwner); shown != owner {
			c.cfg.emit(EventWaiting, slog.String("behind", printable(data)), slog.String("session", owner))
			shown = owner
		}
	wait:
		select {
		case <-pulse(ctx):
			goto wait
		case <-gone:
			err = sleep(ctx, rand.N(herdDelay))
		case <-changed:
			err = c.reconnected(ctx)
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		if err != nil {
			return "", err
		}
	}
}

// create tries to make the one node. Only a failure that another try can't mend
// is an error.
func (c *Candidate) create(ctx context.Context) error {
	dir := path.Dir(c.place.latch)
	_, err := c.sess.create(ctx, c.place.latch, []byte(c.cfg.ID), zk.FlagEphemeral)
	switch {
	case err == nil, errors.Is(err, zk.ErrNodeExists):
		return nil
	case errors.Is(err, zk.ErrNoNode):
		return c.place.ensure(ctx, c.sess, dir)
	case errors.Is(err, zk.ErrNoChildrenForEphemerals):
		return inEphemeral(dir)
	case ambiguous(err):
		return pauseAfter(ctx, c.sess)
	}
	return denied(err, "create", c.place.latch)
}

// owned tells whether the one node is the session's. An answer to a request that
// was sent after a transaction was acknowledged is no older than that.
func (p place) owned(ctx context.Context, s session) (bool, error) {
	stat, err := read(ctx, s, func() (*zk.Stat, error) { return s.exists(ctx, p.latch) })
	return stat != nil && stat.EphemeralOwner == s.id(), err
}

// free tells whether a path may be that of the one node, as the servers have it.
func (p place) free(children []string, stat *zk.Stat) error {
	if path.Base(p.latch) == hadoopLock {
		return fmt.Errorf("%w: %s is %s, whose programs know nothing of others; use another --path", ErrUnsafe, p.latch, familyHadoop)
	}
	if stat == nil || stat.EphemeralOwner != 0 {
		return nil
	}
	for _, n := range parseQueue(children) {
		if n.family != familyUnknown {
			return parseQueue(children).safe(p.latch, p.recipe)
		}
	}
	return fmt.Errorf("%w: %s is not ephemeral, so nobody leads by it and nobody will ever release it; use another --path, or delete it if nobody uses it", ErrNode, p.latch)
}

// inEphemeral is for a parent that can have no children.
func inEphemeral(dir string) error {
	return fmt.Errorf("%w: %s is an ephemeral node and can have no children; use another --path", ErrNode, dir)
}
