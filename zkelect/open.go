package zkelect

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/go-zookeeper/zk"
)

// term is what lives while leading, from the opening to the closing.
type term struct {
	Term
	sess   session
	name   string // of the queue node
	lease  lease
	first  time.Duration // when the candidate saw itself first
	opened time.Duration // when the opening was sent; 0 where it was learned of by reading
	// connection is the one that the opening was sent over.
	connection int
	// unanswered is the bound of requests while leading.
	unanswered time.Duration
	// What is carried from terms before: those that did not end cleanly, the
	// oldest first, and whether there was no record, so that there may be more.
	unclean []termRecord
	missing bool

	// The record as this term's own last write left it; nil where that is
	// not known.
	rec     *record
	version int32
}

// open opens the term of a candidate that is first in the queue: it returns an
// open term, or says why the queueing is over. See place.opening for the multi.
func (c *Candidate) open(ctx context.Context, name string, known turn) (*term, error) {
	t := &term{sess: c.sess, name: name, first: c.now(), unanswered: c.budget().unanswered()}
	ahead := known.entry
	armed := ahead != nil
	doubt := false // an opening of ours was not answered
	for sent := ahead; ; sent = nil {
		if st, _, _ := c.sess.status(); st == sessionLost {
			return nil, errSessionLost
		}
		if doubt {
			if err := c.place.catchUp(ctx, c.prompt()); err != nil {
				return nil, err
			}
		}
		if sent == nil {
			rec, version, err := known.rec, known.version, error(nil)
			if known.rec = nil; rec == nil {
				rec, version, err = c.place.readRecord(ctx, c.prompt())
			}
			if errors.Is(err, zk.ErrNoNode) { // deleted by hand
				err = c.place.prepare(ctx, c.sess)
				if err == nil {
					continue
				}
			}
			if err != nil {
				return nil, err
			}
			if rec.names(name) {
				return c.adopt(ctx, t, rec)
			}
			said := rec.concluded(c.unsaid)
			if run := c.lately(said); run != nil {
				if doubt, err = c.skip(ctx, run, rec, version); err != nil {
					return nil, err
				}
				continue
			}
			if free, err := c.heldBack(ctx, name, rec, version); err != nil {
				return nil, err
			} else if !free {
				continue
			}
			if !armed {
				if err := c.host.armed(ctx, name); err != nil {
					return nil, err
				}
				armed = true
			}
			sent = c.opens(name, rec)
			// The caller's wish to stop does not cut it short: the answer matters.
			sent.send(context.WithoutCancel(ctx), c.place, c.prompt(), name, version)
		}
		t.connection = sent.connection
		switch op, err := failedOp(sent.res), sent.err; {
		case err == nil:
			t.opened = sent.at
			stat := sent.res[opSide].Stat
			sent.next.stamped(msTime(stat.Mtime), stat.Mzxid)
			t.rec, t.version = sent.next, stat.Version
			t.unclean, t.missing = sent.next.Unclean, sent.next.Missing
			c.opened(t, stat.Mzxid, msTime(stat.Mtime))
			c.tellAgain(sent.next)
			return t, nil
		case op == opQueue && errors.Is(err, zk.ErrNoNode):
			if sent != ahead { // which may have come before the node
				return nil, errPlaceLost
			}
		case op == opSide && (errors.Is(err, zk.ErrBadVersion) || errors.Is(err, zk.ErrNoNode)):
			// somebody else wrote, or it was deleted by hand: read again
		case op == opLive && errors.Is(err, zk.ErrNodeExists):
			if err := c.awaitLive(ctx, name, sent.rec); err != nil {
				return nil, err
			}
		case ambiguous(err):
			doubt = true
			if err := pauseAfter(ctx, c.sess); err != nil {
				return nil, err
			}
		default:
			return nil, denied(err, "open a term in", c.place.side)
		}
	}
}

// opening is one that is sent, and what came of it.
type opening struct {
	rec, next  *record // as it was read, and with the term
	at         time.Duration
	connection int
	res        []zk.MultiResponse
	err        error
}

// opens is an opening by the queue node of this name that is about to be sent.
func (c *Candidate) opens(name string, rec *record) *opening {
	o := &opening{rec: rec, next: rec.concluded(c.unsaid).open(c.record(name)), at: c.now()}
	_, o.connection, _ = c.sess.status()
	return o
}

// record is this candidate's term as it is written.
func (c *Candidate) record(name string) termRecord {
	r := termRecord{
		Node: name, ID: c.cfg.ID, Session: sessionHex(c.sess.id()),
		Lease: c.sess.timeout().Milliseconds(),
	}
	r.Host, r.PID = self()
	return r
}

// catchUp makes what is read from now on newer than every request of ours.
func (p place) catchUp(ctx context.Context, s session) error {
	_, err := read(ctx, s, func() (struct{}, error) { return struct{}{}, s.sync(ctx, p.side) })
	if errors.Is(err, zk.ErrNoNode) {
		return nil
	}
	return err
}

// opened completes an open term. An opening counts as a check that was sent
// when the multi was sent; one that was learned of by reading renews nothing.
func (c *Candidate) opened(t *term, token int64, since time.Time) {
	clear(c.unsaid) // the opening has said it
	t.lease = lease{budget: c.budget()}
	if t.opened > 0 {
		t.lease.renew(t.opened, c.now())
	}
	t.Term = Term{
		Path: c.cfg.Path, ID: c.cfg.ID, Node: c.place.node(t.name),
		Session: c.sess.id(), Token: token, Since: since,
	}
}

// adopt takes the term whose opening was executed though its answer was lost.
func (c *Candidate) adopt(ctx context.Context, t *term, rec *record) (*term, error) {
	stat, err := read(ctx, c.sess, func() (*zk.Stat, error) { return c.prompt().exists(ctx, c.place.live) })
	if err != nil {
		return nil, err
	}
	if rec.Term.Clean || stat == nil || stat.EphemeralOwner != c.sess.id() {
		// Somebody meddled with live. Only the session's end is sure to leave
		// nothing behind.
		return nil, errDoubt
	}
	t.unclean, t.missing = rec.Unclean, rec.Missing
	c.opened(t, stat.Czxid, msTime(stat.Ctime))
	c.tellAgain(rec)
	return t, nil
}

// awaitLive returns when the live of another session is gone: the tree of the
// leader before, which lost its queue node but not its session, is dead then.
func (c *Candidate) awaitLive(ctx context.Context, name string, rec *record) error {
	data, stat, gone, err := c.sess.getW(ctx, c.place.live)
	switch {
	case errors.Is(err, zk.ErrNoNode):
		return nil
	case ambiguous(err):
		return pauseAfter(ctx, c.sess)
	case err != nil:
		return denied(err, "read", c.place.live)
	case stat.EphemeralOwner == 0:
		return fmt.Errorf("%w: %s is not ephemeral, so no zkelect made it; delete it", ErrNode, c.place.live)
	case stat.EphemeralOwner == c.sess.id():
		if string(data) == name {
			return nil // the opening was executed after all: reading tells
		}
		return errDoubt // never wait for ourselves
	}
	owner := printable(data)
	if rec.Term != nil && rec.Term.Node == string(data) {
		owner = rec.Term.ID
	}
	if c.cfg.NoWait {
		return c.conflict(owner, 0)
	}
	_, _, own, err := c.sess.getW(ctx, c.place.node(name))
	switch {
	case errors.Is(err, zk.ErrNoNode):
		return errPlaceLost
	case ambiguous(err):
		return pauseAfter(ctx, c.sess)
	case err != nil:
		return err
	}
	c.cfg.emit(EventBlocked, slog.String("owner", owner), slog.String("session", sessionHex(stat.EphemeralOwner)))
	_, _, changed := c.sess.status()
	c.blockedBy = owner
wait:
	select {
	case <-pulse(ctx):
		goto wait
	case <-gone:
		c.blockedBy = ""
	case <-own:
	case <-changed:
		return awaitConnected(ctx, c.sess)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}
