package zkelect

import (
	"context"
	"errors"
	"fmt"
	"path"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"
)

// Participant is one node of an election's queue. Field names are fixed.
type Participant struct {
	ID           string    `json:"id"`
	Node         string    `json:"node"`
	Sequence     int64     `json:"sequence"` // -1 where the name has none
	Session      string    `json:"session"`
	FencingToken int64     `json:"fencing_token,omitempty"`
	Since        time.Time `json:"since"` // leading since, or queued since; server's clock
	Leader       bool      `json:"leader"`
	Host         string    `json:"host,omitempty"`
	PID          int       `json:"pid,omitempty"`
	// Persistent: the node is not ephemeral, so that nobody will ever release it.
	Persistent bool `json:"persistent,omitempty"`
}

// LastTerm is how the last term ended.
type LastTerm struct {
	ID       string     `json:"id"`
	Cause    Cause      `json:"cause"`
	ExitCode *int       `json:"exit_code,omitempty"`
	Since    *time.Time `json:"since,omitempty"`
	Until    *time.Time `json:"until,omitempty"`
}

// UncleanTerm is one that did not end cleanly: nobody has shown yet that its
// work is dead. A later leader fences it, or outlasts its lease.
type UncleanTerm struct {
	ID           string     `json:"id"`
	Node         string     `json:"node"`
	FencingToken int64      `json:"fencing_token,omitempty"`
	Since        *time.Time `json:"since,omitempty"`
	Host         string     `json:"host,omitempty"`
	PID          int        `json:"pid,omitempty"`
	Lease        int64      `json:"lease_ms"` // its session timeout
}

// Election is what status shows.
type Election struct {
	Path string `json:"path"`
	// Recipe is a Recipe's name; support or hadoop where Program elects; or unknown.
	Recipe string `json:"recipe"`
	// Program is what elects there, where that is no recipe of zkelect.
	Program      string        `json:"program,omitempty"`
	Leader       *Participant  `json:"leader"`
	Participants []Participant `json:"participants"`
	Last         *LastTerm     `json:"last,omitempty"`
	// Runs are the last one and the last one that succeeded.
	Runs *PastRuns `json:"runs,omitempty"`
	// Hold keeps everybody from leading. One whose time is over stays until the next
	// term begins: by the servers' clock, which only those ask who might lead.
	Hold *Hold `json:"hold,omitempty"`
	// Unclean are the terms without a clean end, the oldest first.
	Unclean []UncleanTerm `json:"unclean,omitempty"`
	// Warnings are for people: a mixture of families, garbage, nodes that are not
	// ephemeral, a sequence near its end. They are few, however many nodes there are.
	Warnings []string `json:"warnings,omitempty"`
}

// Condition is what Holds proves of the current leader.
type Condition struct {
	Mine     bool   // a participant of this host leads
	LeaderIs string // this id leads
	Token    int64  // the current term has this fencing token; 0 is no condition
}

// Fits tells whether a leader is as the condition says, without a proof.
func (c Condition) Fits(leader *Participant) bool {
	return leader != nil &&
		(!c.Mine || leader.Host == hostname()) &&
		(c.LeaderIs == "" || leader.ID == c.LeaderIs) &&
		(c.Token == 0 || leader.FencingToken == c.Token)
}

// Inspector reads elections; it joins nothing and writes nothing. It is not for
// use by several goroutines at once.
type Inspector struct {
	cfg  Config
	sess session
}

// Open connects. Errors wrap ErrUnreachable, ErrDenied or ErrConfig.
// cfg.Path is not used.
func Open(ctx context.Context, cfg Config) (*Inspector, error) {
	cfg.setDefaults()
	cfg.Observer = serial(cfg.Observer)
	i := &Inspector{cfg: cfg}
	if cfg.ConnectTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, cfg.ConnectTimeout, errConnectTimeout)
		defer cancel()
	}
	return i, i.reconnect(ctx)
}

// reconnect replaces a session that is over.
func (i *Inspector) reconnect(ctx context.Context) error {
	i.Close()
	s, err := newSession(ctx, &i.cfg)
	if err != nil {
		return err
	}
	i.sess = s
	return nil
}

// Close ends the session.
func (i *Inspector) Close() {
	if i.sess != nil {
		i.sess.close(time.Second)
		i.sess = nil
	}
}

// snapshot is an election as it was read, for those who act on it.
type snapshot struct {
	Election
	place
	family  family
	queue   queue    // those that count in the family; with one node for all, that one
	rec     *record  // nil without a side node
	version int32    // of the side node
	live    string   // the queueing that live names, "" without live
	term    string   // the leader's queueing
	ours    bool     // the leader is a zkelect
	missed  bool     // who stood first was gone when it was read
	below   []string // participants with children of their own
	// takesAll: the family's programs take any child for a participant.
	takesAll bool
}

// listing is what is known of a path.
type listing struct {
	children []string
	own      *zk.Stat // nil: nothing stands there
	data     []byte   // the path's own, where read tells that it came along
	read     bool
	noSide   bool // a listing of the parent has no side node
}

func newSnapshot(path string) *snapshot {
	return &snapshot{place: placeOf(path, RecipeLatch), Election: Election{Path: path, Recipe: families[familyUnknown].recipe, Participants: []Participant{}}}
}

// Inspect reads the election at path. ErrNoElection if nothing is there.
func (i *Inspector) Inspect(ctx context.Context, path string) (*Election, error) {
	s, err := i.snapshot(ctx, path)
	if err != nil {
		return nil, err
	}
	return &s.Election, nil
}

// snapshot reads until what was read fits together: the nodes cannot be read
// at one instant.
func (i *Inspector) snapshot(ctx context.Context, path string) (*snapshot, error) {
	if err := ValidatePath(path); err != nil {
		return nil, err
	}
	return i.settle(ctx, path, nil)
}

// settle is snapshot for a path that may have been listed before.
func (i *Inspector) settle(ctx context.Context, path string, f *listing) (*snapshot, error) {
	for try := 0; ; try++ {
		if f == nil || try > 0 {
			f = &listing{}
			var err error
			if f.children, f.own, err = placeOf(path, RecipeLatch).children(ctx, i.sess); err != nil {
				return nil, err
			}
		}
		s, fits, err := i.elected(ctx, path, *f)
		if err != nil || fits || try == 5 {
			return s, err
		}
	}
}

// elected reads the rest of an election whose path has been listed.
func (i *Inspector) elected(ctx context.Context, at string, f listing) (s *snapshot, fits bool, err error) {
	s = newSnapshot(at)
	live, err := i.readSide(ctx, s, f)
	if err != nil {
		return nil, false, err
	}
	if s.rec == nil && participantOf(at) {
		return nil, false, fmt.Errorf("%w: %s has the name of a participant's node; 'zkelect status %s' shows its election", ErrNoElection, at, path.Dir(at))
	}
	s.recognise(f.children, f.own)
	if s.family == familyUnknown && len(f.children) > 0 && len(s.Warnings) == 0 {
		return nil, false, fmt.Errorf("%w: nobody elects at %s, whose %d children are no participants; 'zkelect status -r %s' looks below", ErrNoElection, at, len(f.children), at)
	}
	if s.family != familyPlain && s.family != familyHadoop {
		s.sequence(f.own)
	}
	nodes := []node{{data: f.data, stat: f.own}}
	if !f.read || s.family != familyPlain || len(s.queue) == 0 {
		var denied int
		if nodes, denied, err = i.readNodes(ctx, s.place, s.queue); err != nil {
			return nil, false, err
		}
		if denied > 0 {
			s.warn("the ids of %d nodes of %s may not be read; give the right credentials with --auth-file", denied, at)
		}
	}
	s.fill(nodes, live.stat)
	s.last()
	return s, s.consistent(), nil
}

// readSide reads what a zkelect keeps beside the path, and returns live.
func (i *Inspector) readSide(ctx context.Context, s *snapshot, f listing) (live node, err error) {
	err = zk.ErrNoNode
	if !f.noSide {
		s.rec, s.version, err = s.readAnyRecord(ctx, i.sess)
	}
	switch {
	case err == nil:
		live, err = i.readLive(ctx, s.place.live)
		s.live = string(live.data)
		return live, err
	case errors.Is(err, zk.ErrNoNode) && f.own == nil:
		return live, fmt.Errorf("%w: nothing at %s; check --path", ErrNoElection, s.Path)
	case errors.Is(err, zk.ErrNoNode):
		return live, nil
	case errors.Is(err, zk.ErrNoAuth):
		s.warn("%v", denied(err, "read", s.place.side))
		return live, nil
	case errors.Is(err, ErrNode), errors.Is(err, ErrUnsafe):
		s.warn("%v", err)
		return live, nil
	}
	return live, err
}

func (s *snapshot) warn(format string, args ...any) {
	s.Warnings = append(s.Warnings, fmt.Sprintf(format, args...))
}

// last is what the record says of the last term that ended.
func (s *snapshot) last() {
	if s.rec == nil {
		return
	}
	if l := s.rec.Last; l != nil {
		s.Last = &LastTerm{ID: l.ID, Cause: l.Cause, ExitCode: l.ExitCode, Since: l.Since, Until: l.Until}
	}
	s.Runs = s.rec.Runs.past()
	s.tellHold()
	for _, t := range s.rec.Unclean {
		s.unclean(t)
	}
	if t := s.rec.Term; t != nil && !t.Clean && s.live == "" {
		s.Last = &LastTerm{ID: t.ID, Cause: CauseUnclean, Since: t.Since}
		s.unclean(*t)
	}
}

func (s *snapshot) unclean(t termRecord) {
	p := s.previous(t)
	s.Unclean = append(s.Unclean, UncleanTerm{
		ID: p.ID, Node: p.Node, FencingToken: p.Token, Since: t.Since, Host: p.Host, PID: p.PID, Lease: p.Lease.Milliseconds(),
	})
}

// consistent tells whether what was read can have been so at one instant: live
// belongs to the record's term, and a term that is open is the first's.
func (s *snapshot) consistent() bool {
	return !s.missed && (s.live == "" || s.rec.names(s.live))
}

func (i *Inspector) readLive(ctx context.Context, path string) (node, error) {
	n, err := i.readNode(ctx, path)
	switch {
	case errors.Is(err, zk.ErrNoNode):
		return node{}, nil
	case errors.Is(err, zk.ErrNoAuth):
		err = denied(err, "read", path)
	}
	return n, err
}

// readNodes reads the nodes of a queue, some at a time. The stat of one that is
// gone is nil. Of those that may not be read, name and owner can still be shown.
func (i *Inspector) readNodes(ctx context.Context, p place, q queue) (nodes []node, denied int, err error) {
	nodes = make([]node, len(q))
	errs := make([]error, len(q))
	refused := make([]bool, len(q))
	var wg sync.WaitGroup
	slots := make(chan struct{}, underWay)
	for n := range q {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			nodes[n], errs[n] = i.readNode(ctx, p.node(q[n].name))
			if refused[n] = errors.Is(errs[n], zk.ErrNoAuth); refused[n] {
				var stat *zk.Stat
				stat, errs[n] = read(ctx, i.sess, func() (*zk.Stat, error) { return i.sess.exists(ctx, p.node(q[n].name)) })
				nodes[n] = node{stat: stat}
			}
			if errors.Is(errs[n], zk.ErrNoNode) {
				nodes[n], errs[n] = node{}, nil
			}
		})
	}
	wg.Wait()
	for n := range q {
		if err == nil {
			err = errs[n]
		}
		if refused[n] {
			denied++
		}
	}
	return nodes, denied, err
}

func (i *Inspector) readNode(ctx context.Context, path string) (node, error) {
	return read(ctx, i.sess, func() (n node, err error) {
		n.data, n.stat, err = i.sess.get(ctx, path)
		return n, err
	})
}

// Holds tells whether there is a leader that fits the condition, proved by a
// quorum operation on the leader's node: a server that is cut off from its
// quorum goes on answering reads.
func (i *Inspector) Holds(ctx context.Context, path string, cond Condition) (bool, *Election, error) {
	for {
		s, err := i.snapshot(ctx, path)
		if err != nil {
			return false, nil, err
		}
		ops := []any{}
		if s.Leader != nil {
			ops = append(ops, check(s.Leader.Node))
			if s.live != "" {
				ops = append(ops, check(s.place.live))
			}
		}
		if !cond.Fits(s.Leader) {
			return false, &s.Election, nil
		}
		_, err = i.sess.multi(ctx, ops...)
		if err == nil {
			err = i.stillOwned(ctx, s.Leader)
		}
		switch {
		case err == nil:
			return true, &s.Election, nil
		case errors.Is(err, zk.ErrNoNode): // no longer; look again
		case ambiguous(err):
			if err := pauseAfter(ctx, i.sess); err != nil {
				return false, nil, err
			}
		default:
			return false, nil, denied(err, "check", s.Leader.Node)
		}
	}
}

// stillOwned tells of a node whose name others may use again that it is still the
// leader's, after a transaction has proved that there is one.
func (i *Inspector) stillOwned(ctx context.Context, leader *Participant) error {
	if leader.Sequence >= 0 {
		return nil
	}
	stat, err := read(ctx, i.sess, func() (*zk.Stat, error) { return i.sess.exists(ctx, leader.Node) })
	if err == nil && (stat == nil || sessionHex(stat.EphemeralOwner) != leader.Session) {
		err = zk.ErrNoNode
	}
	return err
}
