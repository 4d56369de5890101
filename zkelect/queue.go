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

// queue is the children of a path in the order in which a family leads.
type queue []nodeName

// parseQueue takes the children as they come, which is enough for safe.
func parseQueue(children []string) queue {
	q := make(queue, len(children))
	for i, c := range children {
		q[i] = parseNode(c)
	}
	return q
}

// newQueue orders children as the programs of a family do, strangers included.
func newQueue(children []string, f family) queue {
	type keyed struct {
		nodeName
		key string
	}
	all := make([]keyed, len(children))
	for i, c := range children {
		n := parseNode(c)
		all[i] = keyed{n, f.sortKey(n)}
	}
	slices.SortFunc(all, func(a, b keyed) int {
		return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.name, b.name))
	})
	q := make(queue, len(all))
	for i, n := range all {
		q[i] = n.nodeName
	}
	return q
}

// index is the place of the node called name, -1 where it is missing.
func (q queue) index(name string) int {
	return slices.IndexFunc(q, func(n nodeName) bool { return n.name == name })
}

// byUUID are the nodes of one queueing, the lowest first.
func (q queue) byUUID(uuid string, f family) []nodeName {
	var own []nodeName
	for _, n := range q {
		if n.uuid == dashless(uuid) && n.family == f {
			own = append(own, n)
		}
	}
	return own
}

// safe tells whether a participant of the recipe may stand in this queue: two
// families on one path have two leaders, and with a counter that has wrapped
// programs disagree about who is first.
func (q queue) safe(path string, r Recipe) error {
	for _, n := range q {
		switch {
		case n.family != r.family():
			return fmt.Errorf("%w: %s holds %q, which is %s, and no node of recipe %s: both would lead; %s", ErrUnsafe, path, n.name, n.whose(), r, n.instead())
		case n.sequence < 0:
			// Curator's programs sort the sign and the digits as a string, the newest
			// first, go-zookeeper's sort numbers, and kazoo's see only some of them.
			return fmt.Errorf("%w: the sequence of %s has run over (%d), so programs disagree about who is first; %s", ErrUnsafe, path, n.sequence, anew(path))
		case n.sequence >= lastSequence:
			return fmt.Errorf("%w: the sequence of %s is at its end (%d); %s", ErrUnsafe, path, n.sequence, anew(path))
		}
	}
	return nil
}

// anew says how to get a path a fresh sequence.
func anew(path string) string {
	return fmt.Sprintf("stop everybody in this election, delete the node %s and start again: its sequence then begins at 0", path)
}

// whose says who made a node.
func (n nodeName) whose() string {
	if strings.HasPrefix(n.name, sidePrefix) {
		return "of another election, below this one"
	}
	return n.family.String()
}

// instead is what to do where a node of another family stands.
func (n nodeName) instead() string {
	if r, joinable := n.family.recipe(); joinable && r != RecipePlain {
		return fmt.Sprintf("give each its own --path, or use --recipe %s for all", r)
	}
	return "give each its own --path"
}
