package zkelect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/go-zookeeper/zk"
)

// hold holds the election, and waits until nobody leads it. It is one versioned
// write, together with the request that wakes the leader: there is no moment in which
// one of them is there and the other is not.
func (r *resignation) hold(ctx, wait context.Context, done *Resigned) error {
	led, err := r.writeHold(wait, done)
	if err != nil || !led {
		return err
	}
	if done.Old = &r.old; r.cfg.Force {
		err = r.force(wait)
	}
	if err == nil || errors.Is(err, errSessionLost) {
		done.New, err = r.awaitNext(wait)
	}
	switch {
	case errors.Is(err, ErrDenied):
		return fmt.Errorf("%w; the hold stands", err)
	case err != nil:
		return r.giveUp(ctx, err)
	}
	return nil
}

// writeHold also tells whether there is a term that is to end.
func (r *resignation) writeHold(ctx context.Context, done *Resigned) (led bool, err error) {
	h := r.cfg.Hold.record()
	sent := false // and maybe executed
	for {
		if led, err = r.tryHold(ctx, h, &sent, done); err == nil {
			return led, nil
		}
		err = r.goOn(ctx, err)
		switch {
		case err == nil:
		case ctx.Err() != nil && sent:
			return false, r.unknown()
		case ctx.Err() != nil:
			return false, &ResignTimeout{State: Withdrawn, Text: fmt.Sprintf("withdrawn, %s could not be read within %v and was not held", r.cfg.Path, r.cfg.Timeout)}
		default:
			return false, r.inDoubt(err, sent)
		}
	}
}

// errMoved: the record is another by now.
var errMoved = errors.New("changed meanwhile")

// goOn returns nil where another try may succeed, over another session maybe.
func (r *resignation) goOn(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, errMoved):
		return nil
	case errors.Is(err, errSessionLost):
		return r.i.reconnect(ctx)
	case ambiguous(err) && ctx.Err() == nil:
		if err = pauseAfter(ctx, r.i.sess); errors.Is(err, errSessionLost) {
			return r.i.reconnect(ctx)
		}
	}
	return err
}

// inDoubt adds to an error that ends the tries what it leaves open.
func (r *resignation) inDoubt(err error, sent bool) error {
	if sent && errors.Is(err, ErrUnreachable) {
		return fmt.Errorf("%w; it is not known whether %s is held, see 'zkelect status'", err, r.cfg.Path)
	}
	return err
}

func (r *resignation) unknown() error {
	return &ResignTimeout{State: Unknown, Text: fmt.Sprintf("unknown, the servers did not answer within %v whether %s is held; see 'zkelect status'", r.cfg.Timeout, r.cfg.Path)}
}

// tryHold looks at the election and writes the hold once. Of a hold whose answer was
// lost it finds out.
func (r *resignation) tryHold(ctx context.Context, h *holdRecord, sent *bool, done *Resigned) (led bool, err error) {
	if *sent {
		if err := r.place.catchUp(ctx, r.i.sess); err != nil {
			return false, err
		}
	}
	s, err := r.judgeHold(ctx, h.Key)
	if err != nil {
		return false, err
	}
	r.place, led = s.place, r.ending(s)
	if s.heldBy(h.Key) {
		r.holding, done.Hold = h, s.rec.Hold.view()
		return led, nil
	}
	ops := []any{set(s.side, s.rec.held(h), s.version)}
	if led && s.rec.names(r.term) && !s.rec.Term.Clean { // it is a zkelect's
		data, err := json.Marshal(request{Format: recordFormat, Term: r.term, By: h.ID})
		if err != nil {
			return false, err
		}
		r.node, r.session = s.requests+"/"+newUUID(false), r.i.sess.id()
		ops = append(ops, create(r.node, string(data), zk.FlagEphemeral))
	}
	*sent = true
	res, err := r.i.sess.multi(ctx, ops...)
	switch op := failedOp(res); {
	case err == nil:
		written, since := *h, msTime(res[0].Stat.Mtime)
		written.Since = &since
		r.holding, done.Hold = h, written.view()
		return led, nil
	case errors.Is(err, zk.ErrBadVersion), op == 0 && errors.Is(err, zk.ErrNoNode):
		return false, errMoved
	case errors.Is(err, zk.ErrNoNode): // the folder was deleted by hand
		if err := s.mend(ctx, r.i.sess); err != nil {
			return false, err
		}
		return false, errMoved
	case ambiguous(err), errors.Is(err, errSessionLost):
		return false, err
	}
	return false, denied(err, "write", s.side)
}

// heldBy tells whether the hold of this key stands.
func (s *snapshot) heldBy(key string) bool {
	return s.rec != nil && s.rec.Hold != nil && s.rec.Hold.Key == key
}

// ending notes the term that the hold ends, and tells whether there is one: of a
// leader, or of one who has lost its place but whose processes may live.
func (r *resignation) ending(s *snapshot) bool {
	switch t := s.rec.Term; {
	case s.Leader != nil:
		r.term, r.old, r.held = s.term, s.Leader.ID, s.Leader.Session
	case t != nil && !t.Clean && s.live == t.Node:
		r.term, r.old, r.held = t.Node, printable([]byte(t.ID)), t.Session
	default:
		return r.term != "" // ended since an earlier try
	}
	return true
}

// judgeHold reads the election, makes the side node where there is none, and refuses
// what would not hold. It refuses nothing once the hold of the key stands.
func (r *resignation) judgeHold(ctx context.Context, key string) (*snapshot, error) {
	for try := 0; ; try++ {
		s, err := r.i.snapshot(ctx, r.cfg.Path)
		if errors.Is(err, ErrNoElection) {
			s, err = newSnapshot(r.cfg.Path), nil
			s.place = placeOf(r.cfg.Path, r.cfg.Recipe)
			if err := s.safe(ctx, r.i.sess); err != nil {
				return nil, err
			}
		}
		if err != nil || s.heldBy(key) {
			return s, err
		}
		others := s.disobeys()
		switch {
		case s.family == familyPlain && s.rec != nil && s.live == "" && len(others) > 0 && try < 20:
			// A zkelect that has just made the node opens its term in a moment.
			if err := sleep(ctx, 50*time.Millisecond); err != nil {
				return nil, err
			}
			continue
		case r.cfg.ID != "" && (s.Leader == nil || s.Leader.ID != r.cfg.ID):
			return nil, fmt.Errorf("%w: %s does not lead %s; nothing was changed", ErrNoLeader, r.cfg.ID, r.cfg.Path)
		case r.cfg.leads != "" && (s.Leader == nil || s.Leader.Node != r.cfg.leads):
			return nil, fmt.Errorf("%w: another leads %s now; nothing was changed", ErrNoLeader, r.cfg.Path)
		case s.family == familyPlain && r.cfg.Force:
			return nil, fmt.Errorf("%w: whose the node %s is can't be told from its name (recipe plain); leave out --force", ErrRefused, r.cfg.Path)
		case len(others) > 0 && (!r.cfg.Force || !joinable(s.family)):
			return nil, fmt.Errorf("%w: %s stands in %s and is no zkelect, so it obeys no hold; end its program, or hold all the same with --force, which deletes the leader's node", ErrRefused, namesOf(others), r.cfg.Path)
		}
		if s.rec != nil {
			return s, nil
		}
		if err := s.prepare(ctx, r.i.sess); err != nil {
			return nil, err
		}
	}
}

func joinable(f family) bool {
	_, ok := f.recipe()
	return ok || f == familyUnknown
}

// unhold removes the hold, and returns it.
func (r *resignation) unhold(ctx context.Context) (*Hold, error) {
	var sent *holdRecord // whose removal may have been executed
	for {
		removed, err := r.tryUnhold(ctx, &sent)
		if err == nil {
			return removed.view(), nil
		}
		err = r.goOn(ctx, err)
		switch {
		case err == nil:
		case ctx.Err() != nil && sent != nil:
			return nil, r.unknown()
		case ctx.Err() != nil:
			return nil, &ResignTimeout{State: Withdrawn, Text: fmt.Sprintf("withdrawn, %s could not be read within %v; a hold stays", r.cfg.Path, r.cfg.Timeout)}
		default:
			return nil, r.inDoubt(err, sent != nil)
		}
	}
}

func (r *resignation) tryUnhold(ctx context.Context, sent **holdRecord) (*holdRecord, error) {
	if *sent != nil {
		if err := r.place.catchUp(ctx, r.i.sess); err != nil {
			return nil, err
		}
	}
	rec, version, err := r.place.readAnyRecord(ctx, r.i.sess)
	switch {
	case err == nil && *sent != nil && (rec.Hold == nil || rec.Hold.Key != (*sent).Key):
		return *sent, nil // by us or by another, but it is gone
	case errors.Is(err, zk.ErrNoNode), err == nil && rec.Hold == nil:
		return nil, fmt.Errorf("%w: nobody holds %s", ErrNoHold, r.cfg.Path)
	case errors.Is(err, zk.ErrNoAuth):
		return nil, denied(err, "read", r.place.side)
	case err != nil:
		return nil, err
	}
	*sent = rec.Hold
	res, err := r.i.sess.multi(ctx, set(r.place.side, rec.held(nil), version))
	switch {
	case err == nil && rec.Hold.view().Over(msTime(res[0].Stat.Mtime)):
		return nil, fmt.Errorf("%w: %s was %s, and that is over", ErrNoHold, r.cfg.Path, rec.Hold.view())
	case err == nil:
		return rec.Hold, nil
	case errors.Is(err, zk.ErrBadVersion), errors.Is(err, zk.ErrNoNode):
		*sent = nil
		return nil, errMoved
	case ambiguous(err), errors.Is(err, errSessionLost):
		return nil, err
	}
	return nil, denied(err, "write", r.place.side)
}
