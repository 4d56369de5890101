package zkelect

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/go-zookeeper/zk"
)

// releaseBound is how long a closing is tried: the tree is dead, so nothing is
// lost but the next leader's time when the servers end the session instead.
const releaseBound = 5 * time.Second

// killedReleaseBound is the same after a second signal.
const killedReleaseBound = time.Second

func self() (host string, pid int) { return hostname(), os.Getpid() }

// release closes a term whose tree is dead. Where that cannot be established
// the session is given up, and with it whatever is left of the term.
func (c *Candidate) release(t *term, out Outcome) {
	end := c.endOf(t, out)
	closed := []slog.Attr{slog.String("node", t.Node), slog.String("cause", string(out.Cause))}
	c.unsaid[t.name] = end
	if st, _, _ := c.sess.status(); st == sessionLost {
		c.cfg.emit(EventUnreleased, append(closed, slog.Any("error", errSessionLost))...)
		c.drop()
		return
	}
	ctx, cancel := context.WithTimeout(c.awake(context.Background()), min(releaseBound, t.lease.timeout))
	defer cancel()
	go func() { // a second signal does not wait long for servers
		select {
		case <-c.kill:
			time.AfterFunc(killedReleaseBound, cancel)
		case <-ctx.Done():
		}
	}()
	if err := c.closeTerm(ctx, t, end); err != nil {
		c.cfg.emit(EventUnreleased, append(closed, slog.Any("error", err))...)
		c.drop()
		return
	}
	delete(c.unsaid, t.name)
	if c.cfg.Recipe == RecipePlain {
		c.yields = true
		c.drop() // and with it goes the node
	}
	c.cfg.emit(EventReleased, closed...)
}

// conclusion is how a term ended, and how long it lasted since it saw itself
// first: that clears what it carried. Where no work ran, waited is 0 and run nil.
type conclusion struct {
	endRecord
	waited time.Duration
	run    *runRecord
}

func (c *Candidate) endOf(t *term, out Outcome) conclusion {
	end := conclusion{endRecord: endRecord{ID: t.ID, Cause: out.Cause, Since: &t.Since}}
	if out.Ran && out.Signal == 0 {
		end.ExitCode = &out.Code
	}
	if out.Ran {
		end.waited = c.now() - t.first
		end.run = &runRecord{ID: t.ID, Token: t.Token, Cause: out.Cause, ExitCode: end.ExitCode, Began: t.Since}
	}
	return end
}

// closeTerm closes the candidate's own term.
func (c *Candidate) closeTerm(ctx context.Context, t *term, end conclusion) error {
	e := ending{
		place: c.place, sess: prompt{c.sess, t.unanswered}, name: t.name,
		close:   func(rec *record) *record { return rec.end(end) },
		unnamed: func(ctx context.Context) (again bool, err error) { return false, c.sweep(ctx, t) },
	}
	var err error
	var path *zk.Stat
	inOrder(ctx, e.sess,
		func(ctx context.Context) { err = e.run(ctx, t.rec, t.version) }, // mostly nobody has written since
		func(ctx context.Context) { path, _ = e.sess.exists(ctx, c.place.latch) },
	)
	c.heirs = err == nil && path != nil && path.NumChildren > 0
	return err
}

// makeWay is how long a candidate that has closed its term leaves the servers, and a host
// that they share, to those behind: what it writes next (a new place in the queue, the end
// of the session) would keep the next leader from its opening for as long as a transaction
// takes.
const makeWay = 5 * time.Millisecond

// ending closes one term, for its elector or for its survivor.
type ending struct {
	place
	sess  prompt
	name  string // of the queue node, which names the term
	close func(*record) *record
	// unnamed is for a record that does not name the term; again asks for
	// another look at it.
	unnamed func(context.Context) (again bool, err error)
}

// run is the closing. Its success means that neither the queue node nor live of
// the term is left. An answer that is lost is resolved by reading. rec is what
// is thought to be the record, nil where that is not known.
func (e ending) run(ctx context.Context, rec *record, version int32) error {
	p, s := e.place, e.sess
	for {
		if rec == nil {
			err := p.catchUp(ctx, s)
			if err == nil {
				rec, version, err = p.readRecord(ctx, s)
			}
			if err != nil {
				return err
			}
		}
		if !rec.names(e.name) {
			// Another opened: live was gone by then, and ours with it. Or the
			// side node was made anew by hand.
			if again, err := e.unnamed(ctx); err != nil || !again {
				return err
			}
			rec = nil
			continue
		}
		if rec.Term.Clean {
			return nil // the lost answer was a yes
		}
		next := e.close(rec)
		op, err := e.whole(ctx, next, version)
		if op == opQueue && errors.Is(err, zk.ErrNoNode) {
			// The queue node was deleted by others, or is not deleted by name. live
			// is never deleted alone: the next leader's may stand there by now; the
			// version proves that no next term was opened.
			var res []zk.MultiResponse
			res, err = s.multi(ctx, p.closingWithoutQueue(next, version)...)
			if failedOp(res) == 1 && errors.Is(err, zk.ErrNoNode) {
				_, err = s.multi(ctx, set(p.side, next, version))
			}
			op = -1
		}
		if op == opLive && errors.Is(err, zk.ErrNoNode) {
			_, err = s.multi(ctx, p.closingWithoutLive(e.name, next, version)...)
		}
		switch {
		case err == nil:
			return nil
		case errors.Is(err, zk.ErrBadVersion), errors.Is(err, zk.ErrNoNode):
			// somebody else wrote or deleted: read again
		case ambiguous(err):
			if err := pauseAfter(ctx, s); err != nil {
				return err
			}
		default:
			return denied(err, "close the term in", p.side)
		}
		rec = nil
	}
}

// whole sends the closing with all that belongs to the term, and returns the
// operation at which it failed.
func (e ending) whole(ctx context.Context, next *record, version int32) (int, error) {
	if e.recipe == RecipePlain { // whose node may be another's, and goes with its session
		return opQueue, zk.ErrNoNode
	}
	res, err := e.sess.multi(ctx, e.closing(e.name, next, version)...)
	return failedOp(res), err
}

// sweep is for a term that the record no longer names: the queue node goes if
// it is still there, and live must not be ours.
func (c *Candidate) sweep(ctx context.Context, t *term) error {
	if c.cfg.Recipe == RecipePlain {
		return errDoubt
	}
	_, err := read(ctx, c.sess, func() (struct{}, error) {
		return struct{}{}, c.sess.remove(ctx, t.Node)
	})
	if err != nil && !errors.Is(err, zk.ErrNoNode) {
		return err
	}
	stat, err := read(ctx, c.sess, func() (*zk.Stat, error) { return c.sess.exists(ctx, c.place.live) })
	if err != nil {
		return err
	}
	if stat != nil && stat.EphemeralOwner == c.sess.id() {
		return errDoubt
	}
	return nil
}
