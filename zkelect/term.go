package zkelect

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"
)

// place is where an election keeps what: see docs/protocol.md.
type place struct {
	recipe   Recipe
	latch    string // the participants' nodes are its children, or with RecipePlain it is the only one
	side     string // what zkelect keeps, beside the latch path
	live     string // stands for "a tree of this session may be alive"
	requests string // requests to resign: the leader watches its children
	transfer string // requests to hand over to a named waiter: all watch them
}

const sidePrefix = ".zkelect-"

func placeOf(latch string, recipe Recipe) place {
	dir, name := path.Split(latch)
	side := dir + sidePrefix + name
	live := "/live"
	if brokenNoLive {
		live += "-" + strconv.Itoa(os.Getpid())
	}
	return place{recipe: recipe, latch: latch, side: side, live: side + live, requests: side + "/resign", transfer: side + "/transfer"}
}

// node is the path of the queue node of this name. With RecipePlain there is one
// node for all, and the name is that of a queueing.
func (p place) node(name string) string {
	if p.recipe == RecipePlain {
		return p.latch
	}
	return p.latch + "/" + name
}

// The operations of the multis. Versions of queue nodes and of live are not
// compared: their names, and the session that made them, say whose they are.
func check(path string) *zk.CheckVersionRequest {
	return &zk.CheckVersionRequest{Path: path, Version: -1}
}
func set(path string, r *record, version int32) *zk.SetDataRequest {
	return &zk.SetDataRequest{Path: path, Data: r.encode(), Version: version}
}
func remove(path string) *zk.DeleteRequest { return &zk.DeleteRequest{Path: path, Version: -1} }
func create(path, data string, flags int32) *zk.CreateRequest {
	return &zk.CreateRequest{Path: path, Data: []byte(data), Flags: flags}
}

// opening opens a term: the queue node still stands, nobody wrote the record
// since it was read, and nobody's tree is alive. One multi, so that there is no
// moment in which one of them holds and another not.
func (p place) opening(node string, r *record, version int32) []any {
	return []any{check(p.node(node)), set(p.side, r, version), create(p.live, node, zk.FlagEphemeral)}
}

// The operations of opening and closing by index.
const (
	opQueue = iota
	opSide
	opLive
)

// heartbeat renews a lease: it needs the quorum's commit, changes nothing and
// fires no watch.
func (p place) heartbeat(node string) []any { return []any{check(p.node(node)), check(p.live)} }

// closing ends a term whose tree is dead.
func (p place) closing(node string, r *record, version int32) []any {
	return []any{check(p.node(node)), set(p.side, r, version), remove(p.live), remove(p.node(node))}
}

// closingWithout is closing where one of the two nodes is already gone.
func (p place) closingWithoutQueue(r *record, version int32) []any {
	return []any{set(p.side, r, version), remove(p.live)}
}
func (p place) closingWithoutLive(node string, r *record, version int32) []any {
	return []any{check(p.node(node)), set(p.side, r, version), remove(p.node(node))}
}

// readRecord reads the side node. The record comes stamped.
func (p place) readRecord(ctx context.Context, s session) (*record, int32, error) {
	return p.readRecordAs(ctx, s, func(data []byte) (*record, error) { return parseRecord(data, p.recipe, p.side) })
}

// readAnyRecord is the same for an election of any recipe.
func (p place) readAnyRecord(ctx context.Context, s session) (*record, int32, error) {
	return p.readRecordAs(ctx, s, func(data []byte) (*record, error) { return parseAnyRecord(data, p.side) })
}

func (p place) readRecordAs(ctx context.Context, s session, parse func([]byte) (*record, error)) (*record, int32, error) {
	n, err := read(ctx, s, func() (n node, err error) {
		n.data, n.stat, err = s.get(ctx, p.side)
		return n, err
	})
	if err != nil {
		return nil, 0, err
	}
	r, err := parse(n.data)
	if err != nil {
		return nil, 0, err
	}
	r.stamped(msTime(n.stat.Mtime), n.stat.Mzxid)
	return r, n.stat.Version, nil
}

func msTime(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// impossible is a version that no node gets to: its use asks the server whether
// an operation would be allowed, without doing it. Rights are looked at first.
const impossible = 1<<31 - 1

// prepare makes the side node where it is missing and makes sure that it is an
// election's of this recipe and that this session may use it. It comes before
// the queue node: a participant that cannot open a term must not stand first.
func (p place) prepare(ctx context.Context, s session) error {
	for {
		_, _, err := p.readRecord(ctx, s)
		switch {
		case err == nil:
			return p.mayUse(ctx, s)
		case errors.Is(err, zk.ErrNoNode):
			// Before anything is made: a side node with our ACL must not be in the
			// way of those who may join.
			if err = p.mayJoin(ctx, s); err == nil {
				err = p.makeSide(ctx, s)
			}
		case errors.Is(err, zk.ErrNoAuth):
			return denied(err, "read", p.side)
		default:
			return err
		}
		if err != nil {
			return err
		}
	}
}

// mend makes anew what was deleted by hand of the side node: all of it, or one
// of its folders.
func (p place) mend(ctx context.Context, s session) error {
	if err := p.prepare(ctx, s); err != nil {
		return err
	}
	for _, folder := range []string{p.requests, p.transfer} {
		_, err := read(ctx, s, func() (string, error) { return s.create(ctx, folder, nil, zk.FlagPersistent) })
		if err != nil && !errors.Is(err, zk.ErrNodeExists) && !errors.Is(err, zk.ErrNoNode) {
			return denied(err, "create", folder)
		}
	}
	return nil
}

// makeSide makes the side node with its folders by one multi: a later reader
// finds all of them or none.
func (p place) makeSide(ctx context.Context, s session) error {
	dir := path.Dir(p.side)
	if err := p.notInside(ctx, s, dir); err != nil {
		return err
	}
	if err := p.ensure(ctx, s, dir); err != nil {
		return err
	}
	fresh := record{Format: recordFormat, Recipe: p.recipe.String()}
	_, err := s.multi(ctx, create(p.side, string(fresh.encode()), zk.FlagPersistent),
		create(p.requests, "", zk.FlagPersistent), create(p.transfer, "", zk.FlagPersistent))
	switch {
	case errors.Is(err, zk.ErrNodeExists): // somebody else made it
		return nil
	case errors.Is(err, zk.ErrNoNode): // the parent, a container, was reaped
		return nil
	case errors.Is(err, zk.ErrNoChildrenForEphemerals):
		return inEphemeral(dir)
	case ambiguous(err): // the next reading tells
		return pauseAfter(ctx, s)
	case err != nil:
		return denied(err, "create", p.side)
	}
	return nil
}

// notInside refuses an election below another: its nodes would stand in that
// one's queue.
func (p place) notInside(ctx context.Context, s session, dir string) error {
	if dir == "/" {
		return nil
	}
	children, err := read(ctx, s, func() ([]string, error) {
		children, _, err := s.children(ctx, dir)
		return children, err
	})
	if err != nil { // missing, or not for us to read: making the side node will tell
		return nil
	}
	stat, err := read(ctx, s, func() (*zk.Stat, error) { return s.exists(ctx, placeOf(dir, p.recipe).side) })
	if err != nil {
		return err
	}
	if stat != nil || slices.ContainsFunc(parseQueue(children), func(n nodeName) bool { return n.family != familyUnknown }) {
		return fmt.Errorf("%w: %s is itself an election, and what stands below it would be taken for its participants; use another --path, such as one beside it", ErrUnsafe, dir)
	}
	return nil
}

// mayUse asks for each right that a term needs, by a multi that cannot succeed.
func (p place) mayUse(ctx context.Context, s session) error {
	probe, queued := p.side+"/probe", p.probe()
	ops := []any{create(probe, "", zk.FlagEphemeral), remove(probe)}
	if p.recipe != RecipePlain {
		ops = append(ops, create(queued, "", zk.FlagEphemeral), remove(queued))
	}
	for {
		last := len(ops)
		res, err := s.multi(ctx, append(slices.Clip(ops), &zk.SetDataRequest{Path: p.side, Version: impossible})...)
		switch op := failedOp(res); {
		case op == last && errors.Is(err, zk.ErrBadVersion):
			return nil
		case op == last && errors.Is(err, zk.ErrNoAuth):
			return denied(err, "write", p.side)
		case op >= 2 && errors.Is(err, zk.ErrNoAuth):
			return p.mayNotQueue(err, op-2)
		case errors.Is(err, zk.ErrNoAuth):
			return denied(err, []string{"create nodes in", "delete nodes in"}[max(op, 0)], p.side)
		case op == 2 && (errors.Is(err, zk.ErrNoNode) || errors.Is(err, zk.ErrNoChildrenForEphemerals)):
			ops = ops[:2] // joining makes it, or tells what is wrong with it
		case errors.Is(err, zk.ErrNoNode): // just deleted: prepare looks again
			return nil
		case ambiguous(err):
			if err := pauseAfter(ctx, s); err != nil {
				return err
			}
		case err == nil:
			return lastVersion(p.side)
		default:
			return denied(err, "use", p.side)
		}
	}
}

// mayJoin asks likewise for the rights that a participant needs in the queue, if there
// is one.
func (p place) mayJoin(ctx context.Context, s session) error {
	if p.recipe == RecipePlain {
		return nil
	}
	probe := p.probe()
	for {
		res, err := s.multi(ctx, create(probe, "", zk.FlagEphemeral), remove(probe), remove(probe))
		switch {
		case errors.Is(err, zk.ErrNoAuth):
			return p.mayNotQueue(err, failedOp(res))
		case ambiguous(err):
			if err := pauseAfter(ctx, s); err != nil {
				return err
			}
		default: // what else may be wrong with it joining tells
			return nil
		}
	}
}

// probe is a node in the queue that is never made.
func (p place) probe() string { return p.latch + "/" + sidePrefix + "probe" }

func (p place) mayNotQueue(err error, op int) error {
	return denied(err, []string{"join the queue in", "leave the queue in"}[max(op, 0)], p.latch)
}

func lastVersion(node string) error {
	return fmt.Errorf("%w: %s has version %d, the last there is; stop everybody in this election, delete it and start again", ErrNode, node, impossible)
}

// ensure makes dir and its parents as the programs of the family do: Curator's
// container nodes, which the servers reap when they have been empty for a while, or
// persistent ones.
func (p place) ensure(ctx context.Context, s session, dir string) error {
	mode := int32(zk.FlagPersistent)
	if p.recipe == RecipeLatch || p.recipe == RecipeSelector {
		mode = zk.FlagContainer
	}
	for {
		_, err := s.create(ctx, dir, nil, mode)
		switch {
		case err == nil, errors.Is(err, zk.ErrNodeExists):
			return nil
		case errors.Is(err, zk.ErrNoNode) && dir != "/":
			if err := p.ensure(ctx, s, path.Dir(dir)); err != nil {
				return err
			}
		case errors.Is(err, zk.ErrNoChildrenForEphemerals):
			return inEphemeral(path.Dir(dir))
		case mode == zk.FlagContainer && err != nil && strings.HasPrefix(err.Error(), "unknown error: "):
			mode = zk.FlagPersistent // a server before 3.5 has no containers
		case ambiguous(err):
			if err := pauseAfter(ctx, s); err != nil {
				return err
			}
		default:
			return denied(err, "create", dir)
		}
	}
}
