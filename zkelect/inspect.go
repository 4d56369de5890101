package zkelect

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"
)

// Participant is one node of an election's queue. Field names are fixed.
type Participant struct {
	ID           string    `json:"id"`
	Node         string    `json:"node"`
	Sequence     int64     `json:"sequence"`
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
	Path         string        `json:"path"`
	Recipe       string        `json:"recipe"`
	Leader       *Participant  `json:"leader"`
	Participants []Participant `json:"participants"`
	Last         *LastTerm     `json:"last,omitempty"`
	// Unclean are the terms without a clean end, the oldest first.
	Unclean []UncleanTerm `json:"unclean,omitempty"`
	// Warnings are for people: garbage, nodes that are not ephemeral.
	Warnings []string `json:"warnings,omitempty"`
}

// Condition is what Holds proves of the current leader.
type Condition struct {
	Mine     bool   // a participant of this host leads
	LeaderIs string // this id leads
	Token    int64  // the current term has this fencing token; 0 is no condition
}

func (c Condition) fits(leader *Participant) bool {
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
	queue   queue   // all children; with one node for all, that one
	rec     *record // nil without a side node
	version int32   // of the side node
	live    string  // the queueing that live names, "" without live
	term    string  // the leader's queueing
	ours    bool    // the leader is a zkelect
	missed  bool    // a node that was listed was gone when it was read
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
	for try := 0; ; try++ {
		s, fits, err := i.once(ctx, path)
		if err != nil || fits || try == 5 {
			return s, err
		}
	}
}

func (i *Inspector) once(ctx context.Context, path string) (s *snapshot, fits bool, err error) {
	s = newSnapshot(path)
	children, own, err := s.children(ctx, i.sess)
	if err != nil {
		return nil, false, err
	}
	s.rec, s.version, err = s.readAnyRecord(ctx, i.sess)
	live := node{}
	switch {
	case err == nil:
		if live, err = i.readLive(ctx, s.place.live); err != nil {
			return nil, false, err
		}
		s.live = string(live.data)
	case errors.Is(err, zk.ErrNoNode) && own == nil:
		return nil, false, fmt.Errorf("%w: nothing at %s; check --path", ErrNoElection, path)
	case errors.Is(err, zk.ErrNoNode):
	case errors.Is(err, zk.ErrNoAuth), errors.Is(err, ErrNode), errors.Is(err, ErrUnsafe):
		s.warn("%v", err)
	default:
		return nil, false, err
	}

	s.recognise(children, own)
	if s.family == familyUnknown && len(children) > 0 && len(s.Warnings) == 0 {
		return nil, false, fmt.Errorf("%w: nobody elects at %s, whose %d children are no participants; 'zkelect status -r %s' looks below", ErrNoElection, path, len(children), path)
	}
	s.sequence(own)
	nodes, err := i.readNodes(ctx, s.place, s.queue)
	if err != nil {
		return nil, false, err
	}
	for n, name := range s.queue {
		if nodes[n].stat == nil {
			s.missed = true
			continue
		}
		s.add(name, nodes[n], n == 0, live.stat)
	}
	s.last()
	return s, s.consistent(), nil
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
	for _, t := range s.rec.Unclean {
		s.unclean(t)
	}
	if t := s.rec.Term; t != nil && !t.Clean && s.live == "" {
		s.Last = &LastTerm{ID: t.ID, Cause: CauseUnclean, Since: t.Since}
		s.unclean(*t)
	}
	if s.Leader != nil {
		// The slice may have moved since the pointer was taken.
		for n := range s.Participants {
			if s.Participants[n].Leader {
				s.Leader = &s.Participants[n]
			}
		}
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
	n, err := read(ctx, i.sess, func() (n node, err error) {
		n.data, n.stat, err = i.sess.get(ctx, path)
		return n, err
	})
	if errors.Is(err, zk.ErrNoNode) {
		return node{}, nil
	}
	return n, err
}

// readNodes reads the nodes of a queue, some at a time. The stat of one that is
// gone is nil.
func (i *Inspector) readNodes(ctx context.Context, p place, q queue) ([]node, error) {
	nodes := make([]node, len(q))
	errs := make([]error, len(q))
	var wg sync.WaitGroup
	slots := make(chan struct{}, 16) // as many as the library queues
	for n := range q {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			nodes[n], errs[n] = read(ctx, i.sess, func() (got node, err error) {
				got.data, got.stat, err = i.sess.get(ctx, p.node(q[n].name))
				return got, err
			})
			switch {
			case errors.Is(errs[n], zk.ErrNoNode):
				nodes[n], errs[n] = node{}, nil
			case errors.Is(errs[n], zk.ErrNoAuth):
				// Its name and owner can still be shown.
				stat, err := read(ctx, i.sess, func() (*zk.Stat, error) { return i.sess.exists(ctx, p.node(q[n].name)) })
				nodes[n], errs[n] = node{stat: stat}, err
			}
		})
	}
	wg.Wait()
	return nodes, errors.Join(errs...)
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
		if !cond.fits(s.Leader) {
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

// Elections calls each with every election at or below root. It asks the
// servers one listing a node.
func (i *Inspector) Elections(ctx context.Context, root string, each func(*Election) error) error {
	if root != "/" {
		if err := ValidatePath(root); err != nil {
			return err
		}
		dir, name := path.Split(root)
		siblings, err := i.list(ctx, path.Clean(dir))
		if err != nil {
			return err
		}
		return i.descend(ctx, root, slices.Contains(siblings, sidePrefix+name), each)
	}
	return i.descend(ctx, root, false, each)
}

// list is the children of a node, none where it is missing or ephemeral.
func (i *Inspector) list(ctx context.Context, dir string) ([]string, error) {
	children, err := read(ctx, i.sess, func() ([]string, error) {
		children, _, err := i.sess.children(ctx, dir)
		return children, err
	})
	if errors.Is(err, zk.ErrNoNode) || errors.Is(err, zk.ErrNoAuth) {
		return nil, nil
	}
	return children, err
}

func (i *Inspector) descend(ctx context.Context, dir string, hasSide bool, each func(*Election) error) error {
	children, err := i.list(ctx, dir)
	if err != nil {
		return err
	}
	election := hasSide
	var below []string
	for _, n := range newQueue(children, familyUnknown) {
		switch {
		case n.family != familyUnknown:
			election = true
		case dir == "/" && n.name == "zookeeper":
		case strings.HasPrefix(n.name, sidePrefix):
			if name := strings.TrimPrefix(n.name, sidePrefix); !slices.Contains(children, name) {
				below = append(below, name) // a container that was reaped
			}
		default:
			below = append(below, n.name)
		}
	}
	if election {
		e, err := i.Inspect(ctx, dir)
		if err == nil {
			err = each(e)
		}
		if err != nil && !errors.Is(err, ErrNoElection) {
			return err
		}
	}
	for _, name := range below {
		if err := i.descend(ctx, path.Join(dir, name), slices.Contains(children, sidePrefix+name), each); err != nil {
			return err
		}
	}
	return nil
}
