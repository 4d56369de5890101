package zkelect

import (
	"crypto/rand"
	"fmt"
	"strconv"
	"strings"
)

// Recipe is the way in which participants' nodes are named and ordered.
type Recipe int

// The recipes. Those of one family may stand in one queue.
const (
	RecipeLatch    Recipe = iota // Curator LeaderLatch
	RecipeSelector               // Curator LeaderSelector and InterProcessMutex
	RecipeKazoo                  // kazoo Election and Lock
	RecipePlain                  // one ephemeral node
)

var recipeNames = [...]string{RecipeLatch: "latch", RecipeSelector: "selector", RecipeKazoo: "kazoo", RecipePlain: "plain"}

// String is the recipe's name on the command line and in the record.
func (r Recipe) String() string {
	if r < 0 || int(r) >= len(recipeNames) {
		return "unknown"
	}
	return recipeNames[r]
}

// ParseRecipe is the reverse of String.
func ParseRecipe(name string) (Recipe, error) {
	for r, n := range recipeNames {
		if n == name {
			return Recipe(r), nil
		}
	}
	return 0, fmt.Errorf("%w: recipe %q; use latch, selector, kazoo or plain", ErrConfig, name)
}

// family is a kind of programs that can read one another's nodes, so that they
// exclude each other on one path. Two families on one path have two leaders.
type family int

const (
	familyUnknown family = iota
	familyLatch
	familyLock
	familyKazoo
	familyPlain
	familyReader  // waits for the writers of kazoo's family, and they not for it
	familySupport // the rest can be shown and not joined
	familyHadoop
	familyReadWrite
)

// families says of each what made its nodes, in a sentence about one of them, what
// status calls it, and the program where that is no recipe of ours.
var families = [...]struct{ made, recipe, program string }{
	familyUnknown:   {"of another kind of program", "unknown", ""},
	familyLatch:     {"of a Curator LeaderLatch (recipe latch)", "latch", ""},
	familyLock:      {"of a Curator LeaderSelector or InterProcessMutex, or of go-zookeeper's Lock (recipe selector)", "selector", ""},
	familyKazoo:     {"of kazoo's Election or Lock (recipe kazoo)", "kazoo", ""},
	familyPlain:     {"of an election on one ephemeral node (recipe plain)", "plain", ""},
	familyReader:    {"of kazoo's ReadLock", "kazoo", ""},
	familySupport:   {"of ZooKeeper's LeaderElectionSupport", "support", "ZooKeeper's LeaderElectionSupport"},
	familyHadoop:    {"of Hadoop's ActiveStandbyElector", "hadoop", "Hadoop's ActiveStandbyElector"},
	familyReadWrite: {"of a Curator InterProcessReadWriteLock", "unknown", "Curator's InterProcessReadWriteLock"},
}

// String says whose a node is.
func (f family) String() string { return families[f].made }

// family is who may stand in one queue with a recipe.
func (r Recipe) family() family {
	switch r {
	case RecipeSelector:
		return familyLock
	case RecipeKazoo:
		return familyKazoo
	case RecipePlain:
		return familyPlain
	}
	return familyLatch
}

// recipe is the one that stands in the queue of a family.
func (f family) recipe() (r Recipe, joinable bool) {
	for r := range recipeNames {
		if Recipe(r).family() == f {
			return Recipe(r), true
		}
	}
	return 0, false
}

// The marks before a sequence. Curator's programs sort by what follows the last
// one of theirs.
const (
	protectedPrefix = "_c_"
	latchMark       = "latch-"
	lockMark        = "lock-"
	kazooMark       = "__lock__"
	readMark        = "-__READ__"
	uuidLen         = 36 // with dashes; 32 without
	sequenceLen     = 10 // %010d of a signed 32-bit integer
)

// namings are the names of participants' nodes: prefix, UUID, mark, sequence.
var namings = [...]struct {
	prefix string
	uuid   int // its length; 0 for none
	mark   string
	family family
}{
	{protectedPrefix, uuidLen, "-" + latchMark, familyLatch},
	{protectedPrefix, uuidLen, "-" + lockMark, familyLock},
	{protectedPrefix, 32, "-" + lockMark, familyLock}, // go-zookeeper
	{"", 32, kazooMark, familyKazoo},
	{"", 32, "__rlock__", familyReader},
	{"", 0, "n_", familySupport},
	{protectedPrefix, uuidLen, readMark, familyReadWrite}, // may hold beside others of its kind
	{protectedPrefix, uuidLen, "-__WRIT__", familyReadWrite},
}

// The one node that Hadoop's elections are about, and the one that it leaves for
// fencing.
const (
	hadoopLock  = "ActiveStandbyElectorLock"
	hadoopCrumb = "ActiveBreadCrumb"
)

// The version nibble and the twelve free bits after it (RFC 9562, version 8)
// tell a zkelect's nodes from those of Curator, whose UUIDs are of version 4:
// resign must know who can be asked. The last letter tells whether the id is
// HOST:PID as made by default.
const (
	ownUUID        = "8e1c"
	ownUUIDHostPID = "8e1d"
)

// newUUID makes the UUID of one queueing; it is never used twice.
func newUUID(hostPID bool) string {
	var b [16]byte
	rand.Read(b[:]) // never fails (crypto/rand)
	b[8] = b[8]&0x3f | 0x80
	mark := ownUUID
	if hostPID {
		mark = ownUUIDHostPID
	}
	return fmt.Sprintf("%x-%x-%s-%x-%x", b[0:4], b[4:6], mark, b[8:10], b[10:16])
}

// prefix is what the server appends the sequence to. It has none for RecipePlain.
func (r Recipe) prefix(uuid string) string {
	switch r {
	case RecipeSelector:
		return protectedPrefix + uuid + "-" + lockMark
	case RecipeKazoo:
		return dashless(uuid) + kazooMark
	}
	return protectedPrefix + uuid + "-" + latchMark
}

func dashless(uuid string) string { return strings.ReplaceAll(uuid, "-", "") }

// nodeName is what the name of a participant's node says.
type nodeName struct {
	name     string
	family   family
	uuid     string // without dashes, "" where the name has none
	dashes   bool   // the name has them: go-zookeeper's and kazoo's have not
	sequence int64  // -1 where there is none
}

// parseNode takes a child's name apart. It never fails: a stranger is a
// nodeName of no family.
func parseNode(name string) nodeName {
	for _, naming := range namings {
		rest, ok := strings.CutPrefix(name, naming.prefix)
		if !ok || len(rest) < naming.uuid {
			continue
		}
		digits, ok := strings.CutPrefix(rest[naming.uuid:], naming.mark)
		if !ok || !isUUID(rest[:naming.uuid]) {
			continue
		}
		if sequence, ok := parseSequence(digits); ok {
			return nodeName{name, naming.family, dashless(rest[:naming.uuid]), naming.uuid == uuidLen, sequence}
		}
	}
	if name == hadoopLock || name == hadoopCrumb {
		return nodeName{name: name, family: familyHadoop, sequence: -1}
	}
	return nodeName{name: name, sequence: -1}
}

// parseSequence reads %010d of a signed 32-bit integer.
func parseSequence(s string) (int64, bool) {
	v, err := strconv.ParseInt(s, 10, 32)
	if v >= 0 && s != "" && s[0] != '-' && s[0] != '+' {
		return v, err == nil && len(s) == sequenceLen
	}
	return v, err == nil && s == fmt.Sprintf("%0*d", sequenceLen, v)
}

// isUUID takes one with dashes or without, or none at all.
func isUUID(s string) bool {
	for i, c := range []byte(s) {
		switch {
		case len(s) == uuidLen && (i == 8 || i == 13 || i == 18 || i == 23):
			if c != '-' {
				return false
			}
		case !('0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'):
			return false
		}
	}
	return true
}

// ours tells whether a zkelect made the node.
func (n nodeName) ours() bool { return n.marked(ownUUID) || n.hostPID() }

// hostPID tells whether the id of the node is HOST:PID as made by default.
func (n nodeName) hostPID() bool { return n.marked(ownUUIDHostPID) }

func (n nodeName) marked(mark string) bool {
	// go-zookeeper's digits are random all of them, so that they may be anything.
	ours := n.dashes && (n.family == familyLatch || n.family == familyLock) || n.family == familyKazoo
	return ours && n.uuid[12:16] == mark
}

// splitHostPID takes an id apart that DefaultID made.
func splitHostPID(id string) (host string, pid int) {
	i := strings.LastIndexByte(id, ':')
	if i <= 0 {
		return "", 0
	}
	pid, err := strconv.Atoi(id[i+1:])
	if err != nil || pid <= 0 {
		return "", 0
	}
	return id[:i], pid
}

// sortKey is what the programs of a family sort children by. Those of Curator's
// LockInternals sort all there are, by what follows the last mark, or by the whole
// name (standardFixForSorting in StandardLockInternalsDriver, Curator 5.4). The
// others look at their own kind alone, so that strangers come last: kazoo's sort what
// follows the mark as a string, and LeaderElectionSupport sorts numbers.
func (f family) sortKey(n nodeName) string {
	switch f {
	case familyLatch:
		return after(n.name, latchMark)
	case familyLock:
		return after(n.name, lockMark)
	}
	switch {
	case n.family != f || n.sequence < 0 && !n.overrun():
		return "~" + n.name
	case f == familyKazoo:
		return after(n.name, kazooMark)
	}
	return fmt.Sprintf("%010d", n.sequence+1<<31)
}

// overrun tells whether the number in a name is negative: the counter has run over its
// end. Where there is no number the sequence is negative too.
func (n nodeName) overrun() bool {
	return n.sequence < 0 && n.family != familyUnknown && n.family != familyHadoop && n.family != familyPlain
}

func after(name, mark string) string {
	if i := strings.LastIndex(name, mark); i >= 0 {
		return name[i+len(mark):]
	}
	return name
}
