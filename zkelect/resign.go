package zkelect

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"time"

	"github.com/go-zookeeper/zk"
)

// DefaultResignTimeout is the default of ResignConfig.Timeout.
const DefaultResignTimeout = 30 * time.Second

// ResignConfig is what Resign needs beyond a Config.
type ResignConfig struct {
	Config
	To          string        // a participant's id or node name that leads next
	ID          string        // only if this id leads now
	Timeout     time.Duration // 0 is DefaultResignTimeout
	NoSuccessor bool          // also when nobody waits
	Force       bool          // delete the leader's queue node
	// Hold, if not nil, keeps everybody from leading afterwards, whether or not there
	// is a leader, or an election.
	Hold *HoldConfig
	// Unhold removes a hold, and does nothing else. Errors wrap ErrNoHold where there
	// is none.
	Unhold bool

	leads string // only if this node leads; "": any
}

func (c *ResignConfig) validate() error {
	if err := c.Config.Validate(); err != nil {
		return err
	}
	switch {
	case c.Force && c.To != "":
		return fmt.Errorf("%w: a forced end cannot choose the successor; leave out one of --force and --to", ErrConfig)
	case c.Hold != nil && c.To != "":
		return fmt.Errorf("%w: nobody leads an election that is held; leave out one of --hold and --to", ErrConfig)
	case c.Unhold && (c.Hold != nil || c.To != "" || c.ID != "" || c.Force):
		return fmt.Errorf("%w: the end of a hold ends no term; leave out all but --unhold", ErrConfig)
	case c.Hold != nil:
		return c.Hold.validate()
	}
	return nil
}

// Withdrawal is what became of a request that timed out.
type Withdrawal string

// What became of the request.
const (
	Withdrawn Withdrawal = "withdrawn" // nothing happened, nothing will
	Begun     Withdrawal = "begun"     // the leader is stopping
	Unknown   Withdrawal = "unknown"   // connection lost meanwhile
)

// Resigned is what Resign did.
type Resigned struct {
	Path    string        `json:"path"`
	Old     *string       `json:"old"`
	New     *string       `json:"new"`
	Forced  bool          `json:"forced"`
	Seconds float64       `json:"seconds"`
	Took    time.Duration `json:"-"`
	Hold    *Hold         `json:"hold,omitempty"`   // that is in force now
	Unheld  *Hold         `json:"unheld,omitempty"` // that was removed

	next *Participant // who leads now, where that is known
}

// Errors of Resign beyond those of errors.go.
var (
	// ErrNoLeader: nobody leads, or not the one that was named.
	ErrNoLeader = errors.New("not led")
	// ErrOtherSuccessor: the term ended, but another than the target leads.
	ErrOtherSuccessor = errors.New("another leads now")
)

// ResignTimeout is the error of a request that was not fulfilled in time.
type ResignTimeout struct {
	State Withdrawal
	Text  string
}

func (e *ResignTimeout) Error() string { return e.Text }

// withdrawBound is how long a withdrawal is tried.
const withdrawBound = 3 * time.Second

// Resign makes the leader stop its work, release, and let the next one lead;
// it returns when that has happened. A request is an ephemeral node of this
// call's session: whoever dies before the leader has begun has withdrawn. A hold
// stays: once it is written the term ends, whoever dies.
func Resign(ctx context.Context, cfg ResignConfig) (*Resigned, error) {
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultResignTimeout
	}
	cfg.setDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	i, err := Open(ctx, cfg.Config)
	if err != nil {
		return nil, err
	}
	defer i.Close()

	began := time.Now()
	wait, cancel := context.WithTimeoutCause(ctx, cfg.Timeout, errWaited)
	defer cancel()
	r := &resignation{i: i, cfg: cfg, place: placeOf(cfg.Path, RecipeLatch)}
	done := &Resigned{Path: cfg.Path, Forced: cfg.Force}
	switch {
	case cfg.Unhold:
		done.Unheld, err = r.unhold(wait)
	case cfg.Hold != nil:
		err = r.hold(ctx, wait, done)
	default:
		err = r.resign(ctx, wait, done)
	}
	if err != nil && !errors.Is(err, ErrOtherSuccessor) {
		return nil, err
	}
	done.next = r.next
	done.Took = time.Since(began)
	done.Seconds = done.Took.Seconds()
	return done, err
}

// resign has the leader resign, and no more than that.
func (r *resignation) resign(ctx, wait context.Context, done *Resigned) error {
	now, err := r.judge(wait)
	if err != nil {
		return err
	}
	r.place, r.term, r.old, r.held = now.place, now.term, now.Leader.ID, now.Leader.Session
	done.Old = &r.old
	switch {
	case r.cfg.Force:
		err = r.force(wait)
	case !now.ours:
		r.revoking = true
		err = r.revoke(wait)
	default:
		err = r.ask(wait)
	}
	if err == nil || !r.cfg.Force && errors.Is(err, errSessionLost) { // asked again in the next one
		done.New, err = r.awaitNext(wait)
	}
	if err != nil && !errors.Is(err, ErrOtherSuccessor) && !errors.Is(err, ErrDenied) {
		return r.giveUp(ctx, err)
	}
	return err
}

// resignation is one call of Resign.
type resignation struct {
	i       *Inspector
	cfg     ResignConfig
	term    string       // the leader's queueing
	old     string       // the leader's id
	held    string       // the leader's session
	to      string       // the successor's queue node
	node    string       // the request, "" before it is made
	next    *Participant // who leads after the term; nil: nobody
	holding *holdRecord  // the hold that was written; nil: none
	// revoking: the leader is a Curator mutex, which is asked in its own way.
	revoking bool
	// session made the request; it goes with it.
	session int64
	place
}

// judge reads the election and refuses what cannot be done, before anything
// is changed.
func (r *resignation) judge(ctx context.Context) (*snapshot, error) {
	s, err := r.i.snapshot(ctx, r.cfg.Path)
	if err != nil {
		return nil, err
	}
	// A hand-over that is under way is over in a moment.
	for s.Leader == nil && len(s.queue) > 0 && s.queue[0].ours() && s.live == "" {
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %s has participants, but none has begun to lead", ErrNoLeader, r.cfg.Path)
		}
		if s, err = r.i.snapshot(ctx, r.cfg.Path); err != nil {
			return nil, err
		}
	}
	switch {
	case s.Leader == nil:
		return nil, fmt.Errorf("%w: nobody leads %s", ErrNoLeader, r.cfg.Path)
	case r.cfg.leads != "" && s.Leader.Node != r.cfg.leads:
		return nil, fmt.Errorf("%w: %s leads %s now; nothing was changed", ErrNoLeader, s.named(), r.cfg.Path)
	case r.cfg.ID != "" && s.Leader.ID != r.cfg.ID:
		return nil, fmt.Errorf("%w: %s leads %s, not %s; nothing was changed", ErrNoLeader, s.Leader.ID, r.cfg.Path, r.cfg.ID)
	case !s.ours && !s.revocable() && !r.cfg.Force, s.family == familyHadoop:
		return nil, s.takesNoRequest()
	case s.family == familyPlain && (r.cfg.To != "" || r.cfg.Force):
		return nil, fmt.Errorf("%w: %s is one node for all (recipe plain): nobody can choose who makes it next, and whose it is can't be told from its name; leave out --to and --force", ErrRefused, r.cfg.Path)
	case s.family != familyPlain && len(s.Participants) < 2 && !r.cfg.NoSuccessor: // those who wait for the one node show nowhere
		return nil, fmt.Errorf("%w: nobody waits to lead %s after %s; use --no-successor to end the term all the same", ErrRefused, r.cfg.Path, s.Leader.ID)
	case r.cfg.To != "":
		return s, r.choose(s)
	}
	return s, nil
}

// choose finds the successor that was asked for.
func (r *resignation) choose(s *snapshot) error {
	found := -1
	for n, p := range s.Participants {
		if p.ID != r.cfg.To && p.Node != r.cfg.To && path.Base(p.Node) != r.cfg.To {
			continue
		}
		if found >= 0 {
			return fmt.Errorf("%w: %q names both %s and %s; name the node instead", ErrRefused, r.cfg.To, s.Participants[found].Node, p.Node)
		}
		found = n
	}
	switch {
	case found < 0:
		return fmt.Errorf("%w: no participant of %s is called %q; see 'zkelect status %s'", ErrRefused, r.cfg.Path, r.cfg.To, r.cfg.Path)
	case found == 0:
		return fmt.Errorf("%w: %s leads already", ErrRefused, r.cfg.To)
	}
	if !s.ours && found > 1 {
		return fmt.Errorf("%w: the leader %s is not a zkelect, so nobody steps aside for %s, which is not the next", ErrRefused, s.named(), r.cfg.To)
	}
	for n := 1; n < found; n++ {
		if name := path.Base(s.Participants[n].Node); !parseNode(name).ours() {
			return fmt.Errorf("%w: %s stands before %s in the queue and is not a zkelect, so it will not step aside", ErrRefused, s.Participants[n].ID, r.cfg.To)
		}
	}
	r.to = path.Base(s.Participants[found].Node)
	return nil
}

// force deletes the leader's queue node. A zkelect that leads kills its tree
// at once; one that cannot is waited for by its successor (live).
func (r *resignation) force(ctx context.Context) error {
	r.cfg.emit(EventForced, slog.String("leader", r.old), slog.String("node", r.place.node(r.term)))
	for {
		err := r.i.sess.remove(ctx, r.place.node(r.term))
		switch {
		case err == nil, errors.Is(err, zk.ErrNoNode):
			return nil
		case ambiguous(err):
			if err := pauseAfter(ctx, r.i.sess); err != nil {
				return err
			}
		default:
			return denied(err, "delete", r.place.node(r.term))
		}
	}
}

// ask makes the request.
func (r *resignation) ask(ctx context.Context) error {
	dir := r.place.requests
	if r.to != "" {
		dir = r.place.transfer
	}
	data, err := json.Marshal(request{Format: recordFormat, Term: r.term, To: r.to, By: DefaultID()})
	if err != nil {
		return err
	}
	r.node, r.session = dir+"/"+newUUID(false), r.i.sess.id()
	for {
		_, err := r.i.sess.create(ctx, r.node, data, zk.FlagEphemeral)
		switch {
		case err == nil, errors.Is(err, zk.ErrNodeExists): // ours: the answer was lost
			return nil
		case ambiguous(err):
			if err := pauseAfter(ctx, r.i.sess); err != nil {
				return err
			}
		default:
			return denied(err, "ask for the resignation in", dir)
		}
	}
}

// awaitNext returns the id of who leads after the term, nil where nobody is
// left to lead.
func (r *resignation) awaitNext(ctx context.Context) (*string, error) {
	var next *string
	var failed error
	err := r.i.watchSnapshots(ctx, r.cfg.Path, func(s *snapshot) bool {
		switch over := s.live != r.term && !s.holds(r.term, r.held); {
		case !over && r.to != "" && r.node != "" && s.queue.index(r.to) < 0:
			if r.withdraw() != Withdrawn {
				return true // the leader has begun: it ends all the same
			}
			r.node = ""
			failed = fmt.Errorf("%w: %s has left the queue; nothing was stopped", ErrRefused, r.cfg.To)
			return false
		case !over && r.node != "" && r.i.sess.id() != r.session:
			// The request went with its session.
			if failed = r.ask(ctx); errors.Is(failed, errSessionLost) {
				failed = nil // and so did this one: once more
			}
			return failed == nil
		case !over:
			return true
		case s.Leader != nil:
			next, r.next = &s.Leader.ID, s.Leader
			if r.to != "" && path.Base(s.Leader.Node) != r.to {
				failed = fmt.Errorf("%w: the term of %s is over, but %s leads %s", ErrOtherSuccessor, r.old, s.Leader.ID, r.cfg.Path)
			}
			return false
		case r.holding != nil:
			return false // they wait
		default:
			return len(s.queue) > 0 || s.family == familyPlain && !r.cfg.NoSuccessor
		}
	})
	if err != nil {
		return nil, err
	}
	return next, failed
}

// holds tells whether the node of a queueing of the session still stands.
func (s *snapshot) holds(term, session string) bool {
	if s.family == familyPlain {
		return len(s.Participants) > 0 && s.Participants[0].Session == session
	}
	return s.queue.index(term) >= 0
}

// giveUp withdraws the request, and says what became of it.
func (r *resignation) giveUp(ctx context.Context, why error) error {
	state := Begun
	switch {
	case r.holding != nil, r.cfg.Force:
	case r.revoking:
		state = Unknown // what was asked can't be taken back
	case r.node == "":
		return why
	default:
		state = r.withdraw()
	}
	if !errors.Is(why, errWaited) && ctx.Err() == nil {
		return fmt.Errorf("%w (request %s)", why, state)
	}
	text := map[Withdrawal]string{
		Withdrawn: "withdrawn, nothing was stopped and nothing will be",
		Begun:     "begun, the leader is stopping and the term will end",
		Unknown:   "unknown, the servers do not answer; see 'zkelect status'",
	}[state]
	switch {
	case r.holding != nil:
		text = "begun, the hold stands, and the term ends as soon as its leader learns of it"
	case r.revoking:
		text = "unknown, it was asked in the way of Curator's Revoker, and may still release"
	case r.cfg.Force:
		text = "begun, its node was deleted and the next leader waits for its processes to be dead"
	}
	return &ResignTimeout{State: state, Text: fmt.Sprintf("%s still leads %s after %v: %s", cmp.Or(r.old, r.place.node(r.term)), r.cfg.Path, r.cfg.Timeout, text)}
}

// withdraw deletes the request in the same multi that proves that the leader
// has not begun.
func (r *resignation) withdraw() Withdrawal {
	ctx, cancel := context.WithTimeout(context.Background(), withdrawBound)
	defer cancel()
	gone := false // so that it can't be begun any more
	for {
		rec, version, err := r.place.readRecord(ctx, r.i.sess)
		if err != nil {
			return Unknown
		}
		if !rec.names(r.term) || rec.Term.Clean || rec.ends() {
			return Begun
		}
		if gone {
			return Withdrawn
		}
		_, err = r.i.sess.multi(ctx, remove(r.node), &zk.CheckVersionRequest{Path: r.place.side, Version: version})
		switch {
		case err == nil:
			return Withdrawn
		case errors.Is(err, zk.ErrNoNode):
			// By an earlier one of these multis, or with the session that made
			// it, after the leader has begun maybe: only a reading from now on tells.
			if gone = true; r.place.catchUp(ctx, r.i.sess) != nil {
				return Unknown
			}
		case errors.Is(err, zk.ErrBadVersion):
		case ambiguous(err):
			if pauseAfter(ctx, r.i.sess) != nil {
				return Unknown
			}
		default:
			return Unknown
		}
	}
}
