package zkelect

import (
	"context"
	"errors"
	"fmt"
	"path"
	"time"

	"github.com/go-zookeeper/zk"
)

// Plan is what Run would do now.
type Plan struct {
	Program string // that would be started, as it was found
	ID      string // of this participant
	Family  string // of programs that may stand in the same queue: "of a Curator LeaderLatch (recipe latch)"
	ACL     ACLMode
	Asked   time.Duration // the session timeout
	Granted time.Duration
	// Election is what stands at the path; nil where nothing does.
	Election *Election
	// Ahead is how many would stand before it in the queue. With none it would lead,
	// at once or, with Blocked, when the processes of a leader before are dead.
	Ahead   int
	Blocked bool
	Makes   []string // nodes that would stay
	Lease   LeasePlan
}

// LeasePlan is how a lease would be divided once heartbeats are answered. All times
// but the first count from the sending of the last one that was.
type LeasePlan struct {
	Heartbeat time.Duration // the interval
	Stop      time.Duration // when the work is asked to stop
	Deadline  time.Duration // when nothing of it is alive
	Grace     time.Duration // between stop and kill, at most
	// Needed is the session timeout that would hold the grace that was asked for, 0
	// where this one does.
	Needed time.Duration
}

// DryRun tells what Run would do, and joins and changes nothing: no node is made,
// not even for a moment. Its errors are those that Run would return, as far as that
// can be seen before joining.
func DryRun(ctx context.Context, cfg RunConfig) (*Plan, error) {
	r, err := newRunner(cfg)
	if err != nil {
		return nil, err
	}
	plan, err := r.c.plan(ctx)
	if err != nil {
		return nil, err
	}
	plan.Program = r.program
	return plan, nil
}

func (c *Candidate) plan(ctx context.Context) (*Plan, error) {
	if c.cfg.Wait > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, c.cfg.Wait, errWaited)
		defer cancel()
	}
	defer c.leave()
	if err := c.ensureSession(ctx); err != nil {
		return nil, err
	}
	if err := c.affordable(ctx); err != nil {
		return nil, err
	}
	p := &Plan{ID: c.cfg.ID, Family: c.cfg.Recipe.family().String(), ACL: c.cfg.ACL, Asked: c.cfg.SessionTimeout, Granted: c.sess.timeout()}
	err := c.place.safe(ctx, c.sess)
	if err == nil {
		p.Makes, err = c.place.wouldMake(ctx, c.sess)
	}
	if err == nil {
		err = c.place.room(ctx, c.sess, nil)
	}
	if err != nil {
		return nil, err
	}
	s, err := (&Inspector{cfg: c.cfg.Config, sess: c.sess}).snapshot(ctx, c.cfg.Path)
	switch {
	case errors.Is(err, ErrNoElection):
	case err != nil:
		return nil, err
	default:
		p.Election, p.Ahead = &s.Election, len(s.Participants)
		p.Blocked = p.Ahead == 0 && s.live != ""
	}
	hold := p.heldTill(time.Now())
	switch {
	case c.cfg.NoWait && hold != nil:
		return nil, &notLeader{path: c.cfg.Path, hold: hold}
	case c.cfg.NoWait && p.Ahead > 0:
		return nil, &notLeader{path: c.cfg.Path, leader: p.Election.Participants[0].ID}
	case c.cfg.NoWait && p.Blocked && s.rec.names(s.live):
		return nil, &notLeader{path: c.cfg.Path, leader: printable([]byte(s.rec.Term.ID))}
	case c.cfg.NoWait && p.Blocked:
		return nil, &notLeader{path: c.cfg.Path}
	}
	select {
	case <-c.learnTick():
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	p.Lease = c.budget().plan()
	return p, nil
}

// heldTill is the hold that is not over by this host's clock. The servers' counts, but
// is told with a change alone, and a plan changes nothing.
func (p *Plan) heldTill(now time.Time) *Hold {
	if p.Election == nil || p.Election.Hold == nil || p.Election.Hold.Over(now) {
		return nil
	}
	return p.Election.Hold
}

func (b budget) plan() LeasePlan {
	p := LeasePlan{Heartbeat: b.heartbeat(), Deadline: b.steady()}
	p.Stop, p.Grace = b.stopAfter(b.steady())
	if !b.fits() {
		p.Needed = b.smallest(budget.fits)
	}
	return p
}

// wouldMake is what prepare, and joining, would make that stays. It refuses what
// they would refuse.
func (p place) wouldMake(ctx context.Context, s session) (makes []string, err error) {
	_, version, err := p.readRecord(ctx, s)
	switch {
	case err == nil && version == impossible: // asking would be writing
		return nil, lastVersion(p.side)
	case err == nil:
		err = p.mayUse(ctx, s)
	case errors.Is(err, zk.ErrNoNode):
		if err = p.notInside(ctx, s, path.Dir(p.side)); err == nil {
			makes, err = p.wouldMakeNode(ctx, s, p.side)
		}
	case errors.Is(err, zk.ErrNoAuth):
		return nil, denied(err, "read", p.side)
	}
	if err != nil {
		return nil, err
	}
	stat, err := read(ctx, s, func() (*zk.Stat, error) { return s.exists(ctx, p.latch) })
	switch {
	case err != nil, stat != nil && p.recipe == RecipePlain: // somebody's, as this one's would be
		return makes, err
	case stat != nil:
		return makes, p.mayJoin(ctx, s)
	case len(makes) > 0 && p.recipe == RecipePlain: // what the side node needs has been asked for
		return makes, nil
	case len(makes) > 0:
		return append(makes, p.latch), nil
	case p.recipe == RecipePlain:
		return nil, p.mayCreate(ctx, s, path.Dir(p.latch), "create "+p.latch)
	}
	return p.wouldMakeNode(ctx, s, p.latch)
}

// wouldMakeNode is a node that is missing with those above it that are.
func (p place) wouldMakeNode(ctx context.Context, s session, node string) ([]string, error) {
	makes := []string{node}
	dir := path.Dir(node)
	for ; dir != "/"; dir = path.Dir(dir) {
		stat, err := read(ctx, s, func() (*zk.Stat, error) { return s.exists(ctx, dir) })
		if err != nil {
			return nil, err
		}
		if stat != nil {
			break
		}
		makes = append([]string{dir}, makes...)
	}
	return makes, p.mayCreate(ctx, s, dir, "create "+makes[0])
}

// mayCreate asks for the right to make nodes in dir, by a multi that cannot succeed:
// it makes the same node twice.
func (p place) mayCreate(ctx context.Context, s session, dir, what string) error {
	probe := path.Join(dir, sidePrefix+newUUID(false))
	for {
		res, err := s.multi(ctx, create(probe, "", zk.FlagPersistent), create(probe, "", zk.FlagPersistent))
		switch {
		case failedOp(res) == 1 && errors.Is(err, zk.ErrNodeExists):
			return nil
		case errors.Is(err, zk.ErrNoChildrenForEphemerals):
			return inEphemeral(dir)
		case errors.Is(err, zk.ErrNoAuth):
			return refused(err, what, dir)
		case ambiguous(err):
			if err := pauseAfter(ctx, s); err != nil {
				return err
			}
		default:
			return fmt.Errorf("%s: %w", what, err)
		}
	}
}
