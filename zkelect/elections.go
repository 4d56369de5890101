package zkelect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/go-zookeeper/zk"
)

const (
	// underWay is how many reading requests are under way at a time.
	underWay = 16
	// maxHeld bounds what is kept of elections that were read before it is their
	// turn, in participants.
	maxHeld = 4096
)

// UnreadError is what Elections returns where it has looked at all but some nodes.
type UnreadError struct {
	Nodes int
	First string // one of them
	Err   error  // what was wrong with it
}

func (e *UnreadError) Error() string {
	return fmt.Sprintf("%d of the nodes could not be looked into, such as %s: %v", e.Nodes, e.First, e.Err)
}

func (e *UnreadError) Unwrap() error { return e.Err }

// Elections calls each with every election at or below root, in the order of the tree,
// as they are found. An ephemeral node that is nobody's place in a queue counts as one
// of recipe plain, though it may be there for another purpose.
//
// The servers are asked for one listing of each node, and for each participant, side
// node and live once; a few nodes at a time. What is kept meanwhile does not grow with
// the number of elections. Nodes that may not be read are left out, with all below;
// an *UnreadError tells of them in the end.
func (i *Inspector) Elections(ctx context.Context, root string, each func(*Election) error) error {
	if root != "/" {
		if err := ValidatePath(root); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	bounded := &throttled{session: i.sess, slots: make(chan struct{}, underWay)}
	w := &walk{i: &Inspector{cfg: i.cfg, sess: bounded}, root: root, each: each, done: make(chan *stop, underWay)}
	return w.run(ctx)
}

// walk goes through a tree. One goroutine owns it; each stop is looked at by one of
// its own. What is found waits for its turn, so that the order is the tree's.
type walk struct {
	i    *Inspector
	root string
	each func(*Election) error
	// front is what is looked at, waits for its turn or is still to be looked at, in
	// the order of the tree.
	front  []ahead
	done   chan *stop
	busy   int // stops that are looked at
	held   int // participants that wait for their turn
	unread UnreadError
}

// ahead is either a node or those that are still to be looked at of a node's children.
type ahead struct {
	stop  *stop
	level *level
}

// level is what is still to be looked at of the children of a node.
type level struct {
	dir   string
	names []name
	// leaves: the last one seen was ephemeral. Of such a node the data are wanted, and
	// their stat tells that there are no children: one request, not two, where those
	// side by side are alike.
	leaves bool
}

type name struct {
	name   string
	side   bool // it has a side node
	absent bool // it has nothing else: the container was reaped
}

// stop is one node of the tree.
type stop struct {
	name
	path      string
	of        *level
	leaf      bool      // it is probably ephemeral
	over      bool      // it has been looked at, and waits for its turn
	election  *Election // nil: none
	ephemeral bool
	below     []name
	err       error
}

func (s *stop) weight() int { return 1 + len(s.election.Participants) }

func (w *walk) run(ctx context.Context) error {
	dir, last := path.Dir(w.root), path.Base(w.root)
	w.front = []ahead{{level: &level{dir: dir, names: []name{{name: last, side: w.root != "/"}}}}}
	for len(w.front) > 0 {
		w.begin(ctx)
		select {
		case s := <-w.done:
			w.busy--
			if err := w.arrived(ctx, s); err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		for len(w.front) > 0 && w.front[0].stop != nil && w.front[0].stop.over {
			s := w.front[0].stop
			w.front = slices.Delete(w.front, 0, 1)
			w.held -= s.weight()
			if err := w.each(s.election); err != nil {
				return err
			}
		}
	}
	if w.unread.Nodes > 0 {
		return &w.unread
	}
	return nil
}

// begin looks at the next nodes. Whatever waits, the one whose turn it is may begin.
func (w *walk) begin(ctx context.Context) {
	for n := 0; n < len(w.front) && w.busy < underWay && (n == 0 || w.held < maxHeld); n++ {
		l := w.front[n].level
		if l == nil {
			continue
		}
		s := &stop{name: l.names[0], path: path.Join(l.dir, l.names[0].name), of: l, leaf: l.leaves}
		if l.names = l.names[1:]; len(l.names) > 0 {
			w.front = slices.Insert(w.front, n, ahead{stop: s})
		} else {
			w.front[n] = ahead{stop: s}
		}
		w.busy++
		go func() {
			w.look(ctx, s)
			w.done <- s // there is room for all that are busy
		}()
	}
}

// arrived puts in the place of a node what was found there.
func (w *walk) arrived(ctx context.Context, s *stop) error {
	switch {
	case s.err == nil:
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case s.path == w.root, errors.Is(s.err, errSessionLost):
		return s.err
	default:
		if w.unread.Nodes == 0 || s.path < w.unread.First { // so that it is the same each time
			w.unread.First, w.unread.Err = s.path, s.err
		}
		w.unread.Nodes++
	}
	if !s.absent {
		s.of.leaves = s.ephemeral
	}
	n := slices.IndexFunc(w.front, func(a ahead) bool { return a.stop == s })
	var instead []ahead
	if s.election != nil {
		s.over = true
		w.held += s.weight()
		instead = append(instead, ahead{stop: s})
	}
	if len(s.below) > 0 {
		instead = append(instead, ahead{level: &level{dir: s.path, names: s.below}})
		s.below = nil
	}
	w.front = slices.Replace(w.front, n, n+1, instead...)
	return nil
}

// look reads a node, and the election that may be there.
func (w *walk) look(ctx context.Context, s *stop) {
	f := listing{noSide: !s.side}
	if !s.absent {
		if s.err = w.i.list(ctx, s.path, s.leaf, &f); s.err != nil {
			return
		}
	}
	s.ephemeral = isEphemeral(f.own)
	var e *snapshot
	if w.mayBe(s.path, f) {
		e, s.err = w.i.settle(ctx, s.path, &f)
		switch {
		case errors.Is(s.err, ErrNoElection) && (s.path != w.root || f.own != nil):
			s.err = nil
		case s.err == nil && (e.family != familyUnknown || e.rec != nil || len(e.Warnings) > 0):
			s.election = &e.Election
		}
	}
	s.below = below(f.children, e)
}

// mayBe tells whether there may be an election. The root of all has none.
func (w *walk) mayBe(path string, f listing) bool {
	return path != "/" && (!f.noSide || isEphemeral(f.own) ||
		slices.ContainsFunc(f.children, func(c string) bool { return parseNode(c).family != familyUnknown }))
}

// below are the children that are still to be looked at: not those in the queue of an
// election, unless they have children themselves, nor side nodes.
func below(children []string, e *snapshot) []name {
	sorted := slices.Sorted(slices.Values(children))
	listed := func(c string) bool { _, ok := slices.BinarySearch(sorted, c); return ok }
	var names []name
	for _, c := range sorted {
		election, side := strings.CutPrefix(c, sidePrefix)
		switch {
		case side && (election == "" || listed(election)):
		case side:
			names = append(names, name{name: election, side: true, absent: true})
		case e != nil && (e.takesAll || parseNode(c).family != familyUnknown):
		default:
			names = append(names, name{name: c, side: listed(sidePrefix + c)})
		}
	}
	if e != nil {
		for _, c := range e.below {
			names = append(names, name{name: c, side: listed(sidePrefix + c)})
		}
	}
	slices.SortFunc(names, func(a, b name) int { return cmp.Compare(a.name, b.name) })
	return names
}

// list reads a node's children and its own stat. Of one that is probably ephemeral it
// reads the data, which tells that there are no children.
func (i *Inspector) list(ctx context.Context, path string, leaf bool, f *listing) (err error) {
	if leaf {
		var n node
		if n, err = i.readNode(ctx, path); err == nil {
			f.data, f.own, f.read = n.data, n.stat, true
		}
		if err == nil && n.stat.NumChildren == 0 {
			return nil
		}
	}
	if err == nil {
		f.children, f.own, err = placeOf(path, RecipeLatch).children(ctx, i.sess)
	}
	if errors.Is(err, zk.ErrNoNode) {
		err = nil
	}
	return err
}

// throttled is a session with a bounded number of reading requests under way.
type throttled struct {
	session
	slots chan struct{}
}

func throttle[T any](ctx context.Context, t *throttled, request func() (T, error)) (none T, err error) {
	select {
	case t.slots <- struct{}{}:
	case <-ctx.Done():
		return none, context.Cause(ctx)
	}
	defer func() { <-t.slots }()
	return request()
}

func (t *throttled) get(ctx context.Context, path string) ([]byte, *zk.Stat, error) {
	n, err := throttle(ctx, t, func() (n node, err error) {
		n.data, n.stat, err = t.session.get(ctx, path)
		return n, err
	})
	return n.data, n.stat, err
}

func (t *throttled) children(ctx context.Context, path string) ([]string, *zk.Stat, error) {
	n, err := throttle(ctx, t, func() (n node, err error) {
		n.children, n.stat, err = t.session.children(ctx, path)
		return n, err
	})
	return n.children, n.stat, err
}

func (t *throttled) exists(ctx context.Context, path string) (*zk.Stat, error) {
	return throttle(ctx, t, func() (*zk.Stat, error) { return t.session.exists(ctx, path) })
}
