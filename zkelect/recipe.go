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

const (
	protectedPrefix = "_c_"
	latchMark       = "latch-"
	uuidLen         = 36
	sequenceLen     = 10 // %010d of a signed 32-bit integer
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

// latchPrefix is what the server appends the sequence to.
func latchPrefix(uuid string) string { return protectedPrefix + uuid + "-" + latchMark }

// nodeName is what the name of a participant's node says.
type nodeName struct {
	name     string
	key      string // what the queue is sorted by
	uuid     string // "" where the name has none
	sequence int64
	latch    bool // a name as LeaderLatch makes it
}

// parseNode takes a child's name apart. It never fails: a stranger is a
// nodeName that is no latch.
func parseNode(name string) nodeName {
	n := nodeName{name: name, key: sortKey(name), sequence: -1}
	rest, ok := strings.CutPrefix(name, protectedPrefix)
	if !ok || len(rest) < uuidLen+1 || !isUUID(rest[:uuidLen]) || rest[uuidLen] != '-' {
		return n
	}
	digits, ok := strings.CutPrefix(rest[uuidLen+1:], latchMark)
	if !ok {
		return n
	}
	seq, ok := parseSequence(digits)
	if !ok {
		return n
	}
	n.uuid, n.sequence, n.latch = rest[:uuidLen], seq, true
	return n
}

// parseSequence reads %010d of a signed 32-bit integer.
func parseSequence(s string) (int64, bool) {
	v, err := strconv.ParseInt(s, 10, 32)
	if v >= 0 && s != "" && s[0] != '-' && s[0] != '+' {
		return v, err == nil && len(s) == sequenceLen
	}
	return v, err == nil && s == fmt.Sprintf("%0*d", sequenceLen, v)
}

func isUUID(s string) bool {
	for i, c := range []byte(s) {
		switch {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case !('0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'):
			return false
		}
	}
	return len(s) == uuidLen
}

// ours tells whether a zkelect made the node.
func (n nodeName) ours() bool {
	return n.latch && (n.uuid[14:18] == ownUUID || n.uuid[14:18] == ownUUIDHostPID)
}

// hostPID tells whether the id of the node is HOST:PID as made by default.
func (n nodeName) hostPID() bool { return n.latch && n.uuid[14:18] == ownUUIDHostPID }

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

// sortKey is what Curator's LockInternals sorts children by: what follows the
// last mark, or the whole name (StandardLockInternalsDriver,
// standardFixForSorting, Curator 5.4).
func sortKey(name string) string {
	if i := strings.LastIndex(name, latchMark); i >= 0 {
		return name[i+len(latchMark):]
	}
	return name
}
