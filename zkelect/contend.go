package zkelect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-zookeeper/zk"
)

// join makes the candidate's node in the queue and returns its name.
//
// The reply to a create can be lost. Then the node is looked for by its UUID
// and its owner before it is made again, and where two came about all but the
// lowest are deleted: an orphan of ours would block our own place.
func (c *Candidate) join(ctx context.Context, uuid string) (string, error) {
	c.joined.asked = cmp.Or(c.joined.asked, c.now())
	return c.joinAs(ctx, uuid, false)
}

// joinAs is join under a UUID, by which a node may have been made already if that is in
// doubt.
func (c *Candidate) joinAs(ctx context.Context, uuid string, doubt bool) (string, error) {
	prefix := c.place.node(c.cfg.Recipe.prefix(uuid))
	if doubt {
		if name, err := c.lowestOfOurs(ctx, uuid); err != nil || name != "" {
			return c.entered(name), err
		}
	}
	for {
		full, err := c.sess.create(ctx, prefix, []byte(c.cfg.ID), zk.FlagEphemeralSequential)
		switch {
		case err == nil:
			name := strings.TrimPrefix(full, c.place.latch+"/")
			if doubt {
				if name, err = c.lowestOfOurs(ctx, uuid); err != nil {
					return "", err
				}
				if name == "" {
					return "", errPlaceLost
				}
			}
			return c.entered(name), nil
		case errors.Is(err, zk.ErrNoNode): // never made, or reaped
			if err := c.place.ensure(ctx, c.sess, c.place.latch); err != nil {
				return "", err
			}
		case errors.Is(err, zk.ErrNoChildrenForEphemerals):
			if err := c.place.safe(ctx, c.sess); err != nil {
				return "", err
			} // gone again
		case ambiguous(err):
			doubt = true
			if err := pauseAfter(ctx, c.sess); err != nil {
				return "", err
			}
			switch name, err := c.lowestOfOurs(ctx, uuid); {
			case err != nil:
				return "", err
			case name != "":
				return c.entered(name), nil
			}
		default:
			return "", denied(err, "join the queue in", c.place.latch)
		}
	}
}

// entered tells of the node by which the candidate stands in the queue, if it does.
func (c *Candidate) entered(name string) string {
	if name != "" {
		c.cfg.emit(EventJoined, slog.String("node", c.place.node(name)))
	}
	return name
}

// lowestOfOurs looks for the nodes of one queueing, deletes all but the lowest
// and returns its name, "" where there is none.
func (c *Candidate) lowestOfOurs(ctx context.Context, uuid string) (string, error) {
	// The server that this session has moved to may be behind.
	if _, err := read(ctx, c.sess, func() (struct{}, error) {
		return struct{}{}, c.sess.sync(ctx, c.place.latch)
	}); err != nil && !errors.Is(err, zk.ErrNoNode) {
		return "", err
	}
	q, err := c.place.list(ctx, c.sess)
	if err != nil {
		return "", err
	}
	lowest := ""
	for _, n := range q.byUUID(uuid, c.cfg.Recipe.family()) {
		path := c.place.node(n.name)
		stat, err := read(ctx, c.sess, func() (*zk.Stat, error) { return c.sess.exists(ctx, path) })
		switch {
		case err != nil:
			return "", err
		case stat == nil || stat.EphemeralOwner != c.sess.id():
			// gone, or not ours
		case lowest == "":
			lowest = n.name
		default:
			if _, err := read(ctx, c.sess, func() (struct{}, error) {
				return struct{}{}, c.sess.remove(ctx, path)
			}); err != nil && !errors.Is(err, zk.ErrNoNode) {
				return "", errDoubt
			}
		}
	}
	return lowest, nil
}

// list is the queue as the servers have it; a missing path is an empty queue.
func (p place) list(ctx context.Context, s session) (queue, error) {
	children, _, err := p.children(ctx, s)
	return newQueue(children, p.recipe.family()), err
}

// safe tells whether a participant may stand in the queue as the servers have it.
func (p place) safe(ctx context.Context, s session) error {
	children, stat, err := p.children(ctx, s)
	if err != nil {
		return err
	}
	return p.suits(children, stat)
}

// suits is safe for what was read.
func (p place) suits(children []string, stat *zk.Stat) error {
	switch {
	case p.recipe == RecipePlain:
		return p.free(children, stat)
	case stat != nil && stat.EphemeralOwner != 0:
		return fmt.Errorf("%w: %s is an ephemeral node, an election by itself (recipe %s), and recipe %s needs a path below which nodes can stand; use another --path, or --recipe %s for all", ErrUnsafe, p.latch, RecipePlain, p.recipe, RecipePlain)
	}
	return parseQueue(children).safe(p.latch, p.recipe)
}

// children also gives the path's own stat; both are nil where it is missing.
func (p place) children(ctx context.Context, s session) ([]string, *zk.Stat, error) {
	n, err := read(ctx, s, func() (n node, err error) {
		n.children, n.stat, err = s.children(ctx, p.latch)
		return n, err
	})
	switch {
	case errors.Is(err, zk.ErrNoNode):
		return nil, nil, nil
	case errors.Is(err, zk.ErrNoAuth):
		return nil, nil, denied(err, "read", p.latch)
	}
	return n.children, n.stat, err
}

// await returns when the node is first in the queue. Only the predecessor's
// deletion, the own node's and a request to transfer wake it.
func (c *Candidate) await(ctx context.Context, name string) (turn, error) {
	shown := -1
	for {
		// What was seen on an earlier connection is looked at again.
		st, connection, changed := c.sess.status()
		if st == sessionLost {
			return turn{}, errSessionLost
		}
		q, err := c.place.list(ctx, c.sess)
		if err != nil {
			return turn{}, err
		}
		if err := q.safe(c.cfg.Path, c.cfg.Recipe); err != nil {
			return turn{}, err
		}
		i := q.index(name)
		if i < 0 {
			return turn{}, errPlaceLost
		}
		c.nearEnd(q[i].sequence)
		switch i {
		case 0:
			c.host.near(name)
			return turn{}, nil
		case 1:
			c.learnTick() // while there is nothing else to do
			c.host.near("")
		default:
			c.host.far()
		}
		if c.cfg.NoWait {
			return turn{}, c.conflict(c.idOf(ctx, q[0].name), 0)
		}
		woken, err := c.watch(ctx, name, q, i)
		if err != nil {
			return turn{}, err
		}
		if woken == nil {
			continue
		}
		if shown != i {
			c.cfg.emit(EventWaiting, slog.Int("position", i), slog.Int("of", len(q)-1), slog.String("behind", woken.behind))
			shown = i
		}
		var settled <-chan time.Time
	wait:
		select {
		case <-pulse(ctx):
			goto wait
		case ev := <-woken.predecessor:
			if ev != zk.EventNodeDeleted {
				continue
			}
			t, first, err := c.succeeds(ctx, q[i-1].name, name)
			if _, now, _ := c.sess.status(); err != nil || first && now == connection {
				return t, err
			}
		case <-woken.further:
			woken.further, settled = nil, time.After(moveUpAfter)
			goto wait
		case <-settled:
		case <-woken.own:
		case <-woken.transfer:
		case <-changed:
			if err := c.reconnected(ctx); err != nil {
				return turn{}, err
			}
		case <-ctx.Done():
			return turn{}, context.Cause(ctx)
		}
	}
}

// moveUpAfter is how long after the node before the predecessor's is gone a waiter looks
// where it stands now: by then a next leader has its opening.
const moveUpAfter = 100 * time.Millisecond

// turn is what a candidate knows when it is first; all of it may be missing.
type turn struct {
	rec     *record
	version int32
	// entry is the opening that went with the queue node.
	entry *opening
	// listed is the look at the queue after winning, which may be under way; nil where
	// it is how the candidate knows that it is first.
	listed *glance
}

// succeeds tells whether whoever followed the node, which was just deleted, is
// first. It is if the node was the leader's: sequences only rise, so nobody can
// have come before. Then the queue need not be listed to know it, which takes
// longer the more wait, and is listed meanwhile.
func (c *Candidate) succeeds(ctx context.Context, node, name string) (turn, bool, error) {
	s, l := c.prompt(), newGlance()
	var rec *record
	var version int32
	var err error
	inOrder(ctx, s, // the record first
		func(ctx context.Context) { rec, version, err = c.place.readRecord(ctx, s) },
		func(ctx context.Context) {
			c.host.near(name)
			go l.look(ctx, c.place, s)
		},
	)
	if errors.Is(err, zk.ErrNoNode) || err == nil && !rec.names(node) {
		return turn{}, false, nil
	}
	if err != nil {
		return turn{}, false, err
	}
	return turn{rec: rec, version: version, listed: l}, true, nil
}

// reconnected returns when the connection is back.
func (c *Candidate) reconnected(ctx context.Context) error {
	lost := c.now()
	if st, _, _ := c.sess.status(); st == sessionSuspended {
		c.cfg.emit(EventSuspended, connectionOf(c.sess)...)
	}
	if err := awaitConnected(ctx, c.sess); err != nil {
		return err
	}
	c.cfg.emit(EventReconnected, append(connectionOf(c.sess), slog.Duration("away", c.now()-lost))...)
	return nil
}

// wakers are what a waiter watches.
type wakers struct {
	behind                     string // the predecessor's id
	predecessor, own, transfer <-chan zk.EventType
	// further is for the node before the predecessor's; nil where it wakes nobody.
	further <-chan zk.EventType
}

// watch arms the watches of a waiter; nil means that the queue has changed
// meanwhile.
func (c *Candidate) watch(ctx context.Context, name string, q queue, i int) (*wakers, error) {
	var w wakers
	ahead := q[i-1].name
	data, stat, ch, err := c.sess.getW(ctx, c.place.node(ahead))
	switch {
	case errors.Is(err, zk.ErrNoNode):
		return nil, nil
	case errors.Is(err, zk.ErrNoAuth):
		return nil, denied(err, "read", c.place.node(ahead))
	case ambiguous(err):
		return nil, pauseAfter(ctx, c.sess)
	case err != nil:
		return nil, err
	case stat.EphemeralOwner == 0:
		return nil, fmt.Errorf("%w: %s stands ahead in the queue and is not ephemeral: nobody will ever release it; delete it if nobody uses it", ErrNode, c.place.node(ahead))
	}
	w.behind, w.predecessor = printable(data), ch

	_, _, w.own, err = c.sess.getW(ctx, c.place.node(name))
	switch {
	case errors.Is(err, zk.ErrNoNode):
		return nil, errPlaceLost
	case ambiguous(err):
		return nil, pauseAfter(ctx, c.sess)
	case err != nil:
		return nil, err
	}

	requests, ch, err := c.sess.childrenW(ctx, c.place.transfer)
	switch {
	case errors.Is(err, zk.ErrNoNode): // deleted by hand
		return nil, c.place.mend(ctx, c.sess)
	case ambiguous(err):
		return nil, pauseAfter(ctx, c.sess)
	case err != nil:
		return nil, err
	}
	w.transfer = ch
	if len(requests) > 0 {
		// Whoever is asked for may have joined since the queue was listed.
		if q, err = c.place.list(ctx, c.sess); err != nil {
			return nil, err
		}
		if i = q.index(name); i <= 0 {
			return nil, nil
		}
		f, err := c.place.oldest(ctx, c.sess, c.place.transfer, requests, q[0].name, q)
		if err != nil {
			return nil, err
		}
		if f != nil && q.index(f.To) > i {
			if again, err := c.stepAside(ctx, name, f); err != nil || again {
				return nil, err
			}
		}
	}
	if _, idle := c.host.(free); i > 1 && !idle {
		// Else it would not know that it leads next, for which there is something to prepare.
		_, _, w.further, err = c.sess.getW(ctx, c.place.node(q[i-2].name))
		switch {
		case errors.Is(err, zk.ErrNoNode):
			return nil, nil
		case ambiguous(err):
			return nil, pauseAfter(ctx, c.sess)
		}
	}
	return &w, nil
}

// stepAside leaves the place in the queue for a transfer to a waiter behind.
// No opening of this queueing was ever sent, so nothing but the node is left.
//
// It is one multi, with the request that is obeyed and the version of a record
// without a mark. Alone the deletion could come after another transfer, to this
// very waiter, has begun. What has begun already is none of our business: then
// nothing is done, and again is false.
func (c *Candidate) stepAside(ctx context.Context, name string, f *found) (again bool, err error) {
	doubt := false
	for {
		if err := c.place.catchUp(ctx, c.sess); err != nil {
			return false, err
		}
		rec, version, err := c.place.readRecord(ctx, c.sess)
		if err != nil {
			if errors.Is(err, zk.ErrNoNode) { // deleted by hand, and the requests with it
				return true, nil
			}
			return false, err
		}
		if !rec.names(f.Term) || rec.Term.Clean {
			return true, nil // its term is over, so it is void
		}
		if rec.ends() && !doubt {
			return false, nil
		}
		res, err := c.sess.multi(ctx, check(f.path), check(c.place.node(f.To)),
			&zk.CheckVersionRequest{Path: c.place.side, Version: version}, remove(c.place.node(name)))
		switch {
		case err == nil, doubt && failedOp(res) == 3 && errors.Is(err, zk.ErrNoNode):
			c.cfg.emit(EventAside, slog.String("node", c.place.node(name)), slog.String("to", f.To))
			return true, errAside
		case errors.Is(err, zk.ErrBadVersion):
		case errors.Is(err, zk.ErrNoNode):
			return true, nil
		case ambiguous(err):
			doubt = true
			if err := pauseAfter(ctx, c.sess); err != nil {
				return false, err
			}
		default:
			return false, denied(err, "delete", c.place.node(name))
		}
	}
}

// idOf is the id in a participant's node, "" where it cannot be had.
func (c *Candidate) idOf(ctx context.Context, name string) string {
	data, err := read(ctx, c.sess, func() ([]byte, error) {
		data, _, err := c.sess.get(ctx, c.place.node(name))
		return data, err
	})
	if err != nil {
		return ""
	}
	return printable(data)
}

// printable is a foreign id as it can be shown: control characters would drive
// a terminal or break a log line.
func printable(data []byte) string { return printableText(string(data), maxIDLen) }

// printableText is the same for a text of another length.
func printableText(s string, bound int) string {
	if len(s) > bound {
		s = s[:bound]
	}
	if utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return s
	}
	quoted := strconv.Quote(s)
	return quoted[1 : len(quoted)-1]
}
