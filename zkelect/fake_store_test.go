package zkelect

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"
)

// fakeNode is a znode.
type fakeNode struct {
	data         []byte
	owner        int64
	container    bool
	czxid, mzxid int64
	ctime, mtime int64
	version      int32
	sequence     int32 // what the next sequential child gets
}

// fakeStore is what an ensemble agrees on: the tree and the order of the
// transactions. It is guarded by its world's lock.
type fakeStore struct {
	misnumbers int32 // how far ahead of the next number what is told of it is
	nodes      map[string]fakeNode
	zxid       int64
	// What the transaction under way did, told when it has succeeded.
	changes []fakeChange
}

// fakeChange is one change of a transaction.
type fakeChange struct {
	path  string
	event zk.EventType
	node  fakeNode // as it was where it is deleted, else as it is
}

func newFakeStore() *fakeStore {
	return &fakeStore{nodes: map[string]fakeNode{"/": {}}, zxid: 0x100000000}
}

// errInconsistent is what go-zookeeper makes of RUNTIMEINCONSISTENCY, with
// which a server answers for what comes after the operation that failed.
var errInconsistent = errors.New("unknown error: -2")

// multi executes all operations or none, as one transaction.
func (s *fakeStore) multi(session int64, ops []any) ([]zk.MultiResponse, error) {
	before, sequence := maps.Clone(s.nodes), s.zxid
	s.zxid++
	s.changes = nil
	res := make([]zk.MultiResponse, len(ops))
	for i, op := range ops {
		if res[i] = s.apply(session, op); res[i].Error == nil {
			continue
		}
		s.nodes, s.zxid, s.changes = before, sequence, nil
		failed := res[i].Error
		for j := range res {
			switch {
			case j < i:
				res[j] = zk.MultiResponse{}
			case j > i:
				res[j] = zk.MultiResponse{Error: errInconsistent}
			}
		}
		return res, failed
	}
	return res, nil
}

func (s *fakeStore) apply(session int64, op any) (res zk.MultiResponse) {
	switch op := op.(type) {
	case *zk.CheckVersionRequest:
		_, res.Error = s.versioned(op.Path, op.Version)
	case *zk.SetDataRequest:
		var n fakeNode
		if n, res.Error = s.versioned(op.Path, op.Version); res.Error != nil {
			return res
		}
		n.data, n.mzxid, n.mtime = slices.Clone(op.Data), s.zxid, time.Now().UnixMilli()
		n.version++
		s.nodes[op.Path] = n
		s.changes = append(s.changes, fakeChange{op.Path, zk.EventNodeDataChanged, n})
		res.Stat = s.stat(op.Path)
	case *zk.DeleteRequest:
		var n fakeNode
		if n, res.Error = s.versioned(op.Path, op.Version); res.Error != nil {
			return res
		}
		if len(s.children(op.Path)) > 0 {
			res.Error = zk.ErrNotEmpty
			return res
		}
		delete(s.nodes, op.Path)
		s.changes = append(s.changes, fakeChange{op.Path, zk.EventNodeDeleted, n})
	case *zk.CreateRequest:
		res.String, res.Error = s.create(session, op)
	default:
		panic(fmt.Sprintf("operation %T", op))
	}
	return res
}

func (s *fakeStore) versioned(path string, version int32) (fakeNode, error) {
	n, ok := s.nodes[path]
	switch {
	case !ok:
		return n, zk.ErrNoNode
	case version != -1 && version != n.version:
		return n, zk.ErrBadVersion
	}
	return n, nil
}

func (s *fakeStore) create(session int64, op *zk.CreateRequest) (string, error) {
	dir := path.Dir(op.Path)
	parent, ok := s.nodes[dir]
	switch {
	case !ok:
		return "", zk.ErrNoNode
	case parent.owner != 0:
		return "", zk.ErrNoChildrenForEphemerals
	}
	full := op.Path
	if op.Flags&zk.FlagSequence != 0 && op.Flags != zk.FlagContainer {
		full += fmt.Sprintf("%010d", parent.sequence)
	}
	if _, ok := s.nodes[full]; ok {
		return "", zk.ErrNodeExists
	}
	if parent.sequence < lastSequence {
		parent.sequence++
	}
	s.nodes[dir] = parent
	now := time.Now().UnixMilli()
	n := fakeNode{data: slices.Clone(op.Data), czxid: s.zxid, mzxid: s.zxid, ctime: now, mtime: now, container: op.Flags == zk.FlagContainer}
	if !n.container && op.Flags&zk.FlagEphemeral != 0 {
		n.owner = session
	}
	s.nodes[full] = n
	s.changes = append(s.changes, fakeChange{full, zk.EventNodeCreated, n})
	return full, nil
}

// end deletes what a session owns, as one transaction.
func (s *fakeStore) end(session int64) {
	s.zxid++
	s.changes = nil
	for p, n := range s.nodes {
		if n.owner == session {
			delete(s.nodes, p)
			s.changes = append(s.changes, fakeChange{p, zk.EventNodeDeleted, n})
		}
	}
}

func (s *fakeStore) children(dir string) []string {
	prefix := strings.TrimSuffix(dir, "/") + "/"
	children := []string{}
	for p := range s.nodes {
		if name, ok := strings.CutPrefix(p, prefix); ok && name != "" && !strings.Contains(name, "/") {
			children = append(children, name)
		}
	}
	return children // in no order, as servers have it
}

func (s *fakeStore) stat(path string) *zk.Stat {
	n, children := s.nodes[path], int32(len(s.children(path)))
	return &zk.Stat{
		Czxid: n.czxid, Mzxid: n.mzxid, Ctime: n.ctime, Mtime: n.mtime, Version: n.version,
		Cversion:       2*(n.sequence+s.misnumbers) - children, // as DataNode.copyStat makes it: one more for each child that comes or goes
		EphemeralOwner: n.owner, DataLength: int32(len(n.data)), NumChildren: children,
	}
}

// fakeRequest is one request of a session.
type fakeRequest struct {
	kind string // get, children, exists, create, remove, sync, multi, close
	path string
	ops  []any // of a multi, a create, a remove
	w    *watch
	ch   chan zk.EventType

	sentAt time.Duration
	got    chan fakeAnswer
}

type fakeAnswer struct {
	node
	res []zk.MultiResponse
	err error
}

// execute does what a request asks for.
func (s *fakeStore) execute(session int64, r *fakeRequest) (a fakeAnswer) {
	s.changes = nil
	n, ok := s.nodes[r.path]
	switch r.kind {
	case "sync":
	case "close":
		s.end(session)
	case "multi":
		a.res, a.err = s.multi(session, r.ops)
	case "create", "remove":
		a.res, a.err = s.multi(session, r.ops)
		a.path = a.res[0].String
	case "exists":
		if ok {
			a.stat = s.stat(r.path)
		}
	case "get", "children":
		if !ok {
			a.err = zk.ErrNoNode
			return a
		}
		a.data, a.stat = slices.Clone(n.data), s.stat(r.path)
		if r.kind == "children" {
			a.children = s.children(r.path)
		}
	default:
		panic("request " + r.kind)
	}
	return a
}

// What a multi is for, as the place of the election says.
func (r *fakeRequest) opens(p place) bool {
	return r.kind == "multi" && len(r.ops) == 3 && creates(r.ops[2], p.live)
}
func (r *fakeRequest) beats() bool {
	if r.kind != "multi" || len(r.ops) != 2 {
		return false
	}
	for _, op := range r.ops {
		if _, ok := op.(*zk.CheckVersionRequest); !ok {
			return false
		}
	}
	return true
}
func (r *fakeRequest) closes(p place) bool {
	return r.kind == "multi" && slices.ContainsFunc(r.ops, func(op any) bool { return deletes(op, p.live) })
}
func (r *fakeRequest) marks() bool {
	if r.kind != "multi" || len(r.ops) < 3 {
		return false
	}
	_, checked := r.ops[1].(*zk.CheckVersionRequest)
	_, set := r.ops[2].(*zk.SetDataRequest)
	return checked && set
}
func (r *fakeRequest) joins() bool {
	return r.kind == "create" && r.ops[0].(*zk.CreateRequest).Flags == zk.FlagEphemeralSequential
}

func creates(op any, path string) bool {
	c, ok := op.(*zk.CreateRequest)
	return ok && c.Path == path
}
func deletes(op any, path string) bool {
	d, ok := op.(*zk.DeleteRequest)
	return ok && d.Path == path
}
func sets(op any, path string) bool {
	d, ok := op.(*zk.SetDataRequest)
	return ok && d.Path == path && d.Version >= 0
}
