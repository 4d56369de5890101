package zkelect

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// The end of the sequence: the counter is a signed 32-bit integer and 3.8.0
// gives the same number for ever once it is reached.
const (
	lastSequence = 1<<31 - 1
	warnSequence = lastSequence - 1_000_000
)

// queue is the children of a latch path in the order in which they lead.
type queue []nodeName

// parseQueue takes the children as they come, which is enough for safe.
func parseQueue(children []string) queue {
	q := make(queue, len(children))
	for i, c := range children {
		q[i] = parseNode(c)
	}
	return q
}

// newQueue orders children as Curator's LeaderLatch does, strangers included.
func newQueue(children []string) queue {
	q := parseQueue(children)
	slices.SortFunc(q, func(a, b nodeName) int {
		if a.key != b.key {
			return cmp.Compare(a.key, b.key)
		}
		return cmp.Compare(a.name, b.name)
	})
	return q
}

// index is the place of the node called name, -1 where it is missing.
func (q queue) index(name string) int {
	return slices.IndexFunc(q, func(n nodeName) bool { return n.name == name })
}

// byUUID are the nodes of one queueing, the lowest first.
func (q queue) byUUID(uuid string) []nodeName {
	var own []nodeName
	for _, n := range q {
		if n.uuid == uuid {
			own = append(own, n)
		}
	}
	return own
}

// family is a guess at who made a node that is not a latch's.
func family(name string) string {
	end := max(0, len(name)-sequenceLen)
	_, numbered := parseSequence(name[end:])
	switch prefix := name[:end]; {
	case strings.HasPrefix(name, sidePrefix):
		return "belongs to another election, below this one"
	case numbered && (strings.HasSuffix(prefix, "__lock__") || strings.HasSuffix(prefix, "__rlock__")):
		return "kazoo's (recipe kazoo)"
	case numbered && strings.HasSuffix(prefix, "-lock-"):
		return "of a Curator LeaderSelector or mutex, or go-zookeeper's Lock (recipe selector)"
	case numbered && prefix == "n_":
		return "of ZooKeeper's LeaderElectionSupport"
	}
	return "of another kind of program"
}

// safe tells whether a latch may stand in this queue: two families on one path
// have two leaders, and where sequences have both signs the programs disagree
// about the order.
func (q queue) safe(path string) error {
	var negative, positive bool
	for _, n := range q {
		if !n.latch {
			return fmt.Errorf("%w: %s holds %q, which is not a node of recipe latch but %s: both would lead; give each its own --path", ErrUnsafe, path, n.name, family(n.name))
		}
		if n.sequence < 0 {
			negative = true
		} else {
			positive = true
		}
		if n.sequence >= lastSequence {
			return fmt.Errorf("%w: the sequence of %s is at its end (%d); stop everybody in this election, delete the node %s and start again: its sequence then begins at 0", ErrUnsafe, path, n.sequence, path)
		}
	}
	if negative && positive {
		return fmt.Errorf("%w: the nodes of %s have sequences of both signs, so programs disagree about who is first; stop everybody in this election, delete %s and start again", ErrUnsafe, path, path)
	}
	return nil
}
