package zkelect

import (
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/go-zookeeper/zk"
)

const (
	javaLatch  = "_c_f261bcda-2df8-4bf0-b67e-063205c27182-latch-"
	javaLock   = "_c_0bd7db98-7293-4ebf-868c-644ed8a9d2cc-lock-"
	goLock     = "_c_38553bd6d1d57f710ae70ddcc3d24715-lock-"
	pyLock     = "6d1166b6bdbc4a49845acbb9226d8d0b__lock__"
	pyRead     = "da5719988c244fc793f49ec3aa29b566__rlock__"
	javaWrite  = "_c_0bd7db98-7293-4ebf-868c-644ed8a9d2cc-__WRIT__"
	javaRead   = "_c_0bd7db98-7293-4ebf-868c-644ed8a9d2cc-__READ__"
	ownLatch   = "_c_0f5d4f40-0f65-8e1c-a2ba-aaaaaaaaaaaa-latch-"
	ownLatchHP = "_c_0f5d4f40-0f65-8e1d-a2ba-bbbbbbbbbbbb-latch-"
	ownKazoo   = "0f5d4f400f658e1ca2baaaaaaaaaaaaa__lock__"
)

func seq(prefix string, n int64) string { return fmt.Sprintf("%s%010d", prefix, n) }

// scene is what stands at and beside a path, as a reader finds it.
type scene struct {
	name       string
	children   []string
	own        int64    // the owner of the path's own node; 0: persistent, -1: missing
	recipe     string   // of the record; "" for no side node
	term, live string   // the queueings that the record and live name
	liveOwner  int64    // whose live is; 9 is the participants' own
	gone       []string // listed and then not there any more
	persistent []string
	data       map[string]string

	family family
	leader string // the name of its node
	queue  []string
	token  bool
	missed bool
	warns  []string // a part of each warning
}

// read shows the scene as elected does.
func (c scene) read() *snapshot {
	s := newSnapshot("/jobs/x")
	if c.recipe != "" {
		s.rec = &record{Format: recordFormat, Recipe: c.recipe}
		if c.term != "" {
			s.rec.Term = &termRecord{Node: c.term, ID: "a", Host: "web1", PID: 7}
		}
	}
	var live, own *zk.Stat
	if c.live != "" {
		s.live, live = c.live, &zk.Stat{EphemeralOwner: c.liveOwner, Czxid: 77}
	}
	if c.own >= 0 {
		own = &zk.Stat{EphemeralOwner: c.own}
	}
	s.recognise(c.children, own)
	nodes := make([]node, len(s.queue))
	for n, q := range s.queue {
		if slices.Contains(c.gone, q.name) {
			continue
		}
		nodes[n] = node{data: []byte(c.data[q.name]), stat: &zk.Stat{EphemeralOwner: 9}}
		if slices.Contains(c.persistent, q.name) {
			nodes[n].stat.EphemeralOwner = 0
		}
	}
	s.fill(nodes, live)
	s.last()
	return s
}

func TestRecognise(t *testing.T) {
	many := []string{seq(pyLock, 5)}
	for i := range 100_000 {
		many = append(many, fmt.Sprintf("odd%d", i), seq(javaLatch, int64(i)))
	}
	for _, c := range []scene{
		{name: "nothing yet", family: familyUnknown},
		{name: "Curator's latch", children: []string{seq(javaLatch, 12), seq(javaLatch, 3)}, family: familyLatch, leader: seq(javaLatch, 3), queue: []string{seq(javaLatch, 3), seq(javaLatch, 12)}},
		{name: "Curator's selector and mutex, and go-zookeeper's lock", children: []string{seq(goLock, 2), seq(javaLock, 10), seq(javaLock, 1)},
			family: familyLock, leader: seq(javaLock, 1), queue: []string{seq(javaLock, 1), seq(goLock, 2), seq(javaLock, 10)}},
		{name: "kazoo", children: []string{seq(pyLock, 2), seq(pyLock, 1)}, family: familyKazoo, leader: seq(pyLock, 1), queue: []string{seq(pyLock, 1), seq(pyLock, 2)}},
		{name: "LeaderElectionSupport", children: []string{"n_0000000010", "n_0000000002"}, family: familySupport, leader: "n_0000000002", queue: []string{"n_0000000002", "n_0000000010"}},
		{name: "Hadoop", children: []string{hadoopCrumb, hadoopLock}, family: familyHadoop, leader: hadoopLock, queue: []string{hadoopLock}},
		{name: "Hadoop with nobody active", children: []string{hadoopCrumb}, family: familyHadoop},
		{name: "one ephemeral node", own: 9, family: familyPlain, leader: "x", queue: []string{"x"}},

		// zkelects
		{name: "a zkelect leads", children: []string{seq(ownLatch, 4), seq(javaLatch, 5)}, recipe: "latch", term: seq(ownLatch, 4), live: seq(ownLatch, 4), liveOwner: 9,
			family: familyLatch, leader: seq(ownLatch, 4), token: true, queue: []string{seq(ownLatch, 4), seq(javaLatch, 5)}},
		{name: "a zkelect that has not begun", children: []string{seq(ownLatch, 4)}, recipe: "latch", family: familyLatch, queue: []string{seq(ownLatch, 4)}},
		{name: "a zkelect that waits for processes", children: []string{seq(ownLatch, 4)}, recipe: "latch", term: seq(ownLatch, 3), live: seq(ownLatch, 3), liveOwner: 8,
			family: familyLatch, queue: []string{seq(ownLatch, 4)}, warns: []string{"waits for the processes of the leader before"}},
		{name: "a Java program before a zkelect whose processes live", children: []string{seq(ownLatch, 4), seq(javaLatch, 2)}, recipe: "latch", term: seq(ownLatch, 1), live: seq(ownLatch, 1), liveOwner: 8,
			family: familyLatch, leader: seq(javaLatch, 2), queue: []string{seq(javaLatch, 2), seq(ownLatch, 4)}},
		{name: "kazoo before a zkelect", children: []string{seq(ownKazoo, 4), seq(pyLock, 2)}, recipe: "kazoo", family: familyKazoo, leader: seq(pyLock, 2), queue: []string{seq(pyLock, 2), seq(ownKazoo, 4)}},
		{name: "nobody, but a side node", recipe: "selector", own: 0, family: familyLock},
		{name: "only live is left", recipe: "kazoo", children: []string{seq(javaLatch, 1)}, term: seq(ownKazoo, 1), live: seq(ownKazoo, 1), liveOwner: 8,
			family: familyKazoo, warns: []string{"LeaderLatch (recipe latch), beside nodes of kazoo's"}},
		{name: "plain by a zkelect", own: 9, recipe: "plain", term: "u", live: "u", liveOwner: 9, family: familyPlain, leader: "x", token: true, queue: []string{"x"}},
		{name: "plain, another's live", own: 9, recipe: "plain", term: "u", live: "u", liveOwner: 8, family: familyPlain, queue: []string{"x"}, warns: []string{"waits for the processes"}},
		{name: "plain by another program, where zkelects were", own: 9, recipe: "plain", family: familyPlain, leader: "x", queue: []string{"x"}},
		{name: "plain and gone", own: -1, recipe: "plain", family: familyPlain},
		{name: "plain, not ephemeral", own: 0, recipe: "plain", family: familyPlain, warns: []string{"/jobs/x is not ephemeral"}},
		{name: "an ephemeral node where zkelects elected by latch", own: 9, recipe: "latch", family: familyPlain, leader: "x", queue: []string{"x"}, warns: []string{"by recipe latch before"}},
		{name: "another program where zkelects were", children: []string{seq(pyLock, 1)}, recipe: "latch", family: familyKazoo, leader: seq(pyLock, 1), queue: []string{seq(pyLock, 1)}, warns: []string{"by recipe latch before"}},
		{name: "a recipe of a later version", children: []string{seq(pyLock, 1)}, recipe: "later", family: familyKazoo, leader: seq(pyLock, 1), queue: []string{seq(pyLock, 1)}},

		// mixtures: each warns once, with an example
		{name: "kazoo beside Curator's latch, which counts it", children: []string{seq(javaLatch, 1), seq(javaLatch, 2), seq(pyLock, 0)},
			family: familyLatch, leader: seq(javaLatch, 1), queue: []string{seq(javaLatch, 1), seq(javaLatch, 2), seq(pyLock, 0)},
			warns: []string{`holds "` + seq(pyLock, 0) + `", which is of kazoo's Election or Lock (recipe kazoo), beside nodes of a Curator LeaderLatch (recipe latch): each kind has a leader of its own`}},
		{name: "a name that Curator's latch sorts first", children: []string{seq(javaLatch, 1), seq(javaLatch, 2), "00000000000000000000000000000000__lock__0000000007"},
			family: familyLatch, queue: []string{"00000000000000000000000000000000__lock__0000000007", seq(javaLatch, 1), seq(javaLatch, 2)},
			warns: []string{"each kind has a leader of its own", "stands first, before nodes of a Curator LeaderLatch (recipe latch): none of those leads"}},
		{name: "kazoo does not see Curator's", children: []string{seq(javaLatch, 0), seq(javaLock, 1), seq(pyLock, 2), seq(pyLock, 3)},
			family: familyKazoo, leader: seq(pyLock, 2), queue: []string{seq(pyLock, 2), seq(pyLock, 3)}, warns: []string{"LeaderLatch", "LeaderSelector"}},
		{name: "the first of the others", children: []string{seq(javaLatch, 7), seq(javaLatch, 5), seq(pyLock, 1), seq(pyLock, 2), seq(pyLock, 3)},
			family: familyKazoo, leader: seq(pyLock, 1), queue: []string{seq(pyLock, 1), seq(pyLock, 2), seq(pyLock, 3)}, warns: []string{`holds 2 nodes of a Curator LeaderLatch (recipe latch), such as "` + seq(javaLatch, 5) + `"`}},
		{name: "as many of each: always the same", children: []string{seq(pyLock, 2), seq(javaLock, 1)}, family: familyLock, leader: seq(javaLock, 1), queue: []string{seq(javaLock, 1), seq(pyLock, 2)}, warns: []string{"kazoo"}},
		{name: "latch beside selector", children: []string{seq(javaLatch, 1), seq(javaLatch, 2), seq(javaLock, 0)}, family: familyLatch, leader: seq(javaLatch, 1),
			queue: []string{seq(javaLatch, 1), seq(javaLatch, 2), seq(javaLock, 0)}, warns: []string{"LeaderSelector"}},
		{name: "the record decides where its kind stands", children: []string{seq(ownLatch, 9), seq(pyLock, 1), seq(pyLock, 2)}, recipe: "latch", term: seq(ownLatch, 9), live: seq(ownLatch, 9), liveOwner: 9,
			family: familyLatch, leader: seq(ownLatch, 9), token: true, queue: []string{seq(ownLatch, 9), seq(pyLock, 1), seq(pyLock, 2)}, warns: []string{"holds 2 nodes of kazoo's"}},
		{name: "strangers among Curator's are participants", children: []string{seq(javaLatch, 1), "latch-0000000000", "config"}, family: familyLatch,
			queue: []string{"latch-0000000000", seq(javaLatch, 1), "config"}, warns: []string{"holds 2 nodes of another kind of program, such as", "stands first"}},
		{name: "strangers among kazoo's are not", children: []string{seq(pyLock, 1), "0"}, family: familyKazoo, leader: seq(pyLock, 1), queue: []string{seq(pyLock, 1)}},
		{name: "LeaderElectionSupport fails on strangers", children: []string{"n_0000000001", "x"}, family: familySupport, leader: "n_0000000001", queue: []string{"n_0000000001"}, warns: []string{"fails on names of others"}},
		{name: "an election below", children: []string{seq(javaLatch, 1), ".zkelect-y"}, family: familyLatch, queue: []string{".zkelect-y", seq(javaLatch, 1)}, warns: []string{"of another election, below this one", "stands first"}},
		{name: "100,000 odd ones", children: many, family: familyLatch, leader: seq(javaLatch, 0), warns: []string{"holds 100000 nodes of another kind", "kazoo"}},

		// readers
		{name: "kazoo's readers beside a lock", children: []string{seq(pyRead, 0), seq(pyRead, 1), seq(pyLock, 2)}, family: familyKazoo, leader: seq(pyLock, 2), queue: []string{seq(pyLock, 2)}, warns: []string{"holds 2 nodes of kazoo's ReadLock"}},
		{name: "kazoo's readers alone", children: []string{seq(pyRead, 0)}, family: familyKazoo, warns: []string{"kazoo's ReadLock: a WriteLock waits"}},
		{name: "Curator's read-write lock", children: []string{seq(javaWrite, 0), seq(javaRead, 1)}, family: familyReadWrite, leader: seq(javaWrite, 0), queue: []string{seq(javaWrite, 0), seq(javaRead, 1)}},
		{name: "readers hold it together", children: []string{seq(javaRead, 0), seq(javaWrite, 1)}, family: familyReadWrite, queue: []string{seq(javaRead, 0), seq(javaWrite, 1)}},

		// nodes that vanish, nodes that stay, numbers that have run over
		{name: "one behind is gone", children: []string{seq(javaLatch, 1), seq(javaLatch, 2)}, gone: []string{seq(javaLatch, 2)}, family: familyLatch, leader: seq(javaLatch, 1), queue: []string{seq(javaLatch, 1)}},
		{name: "the first is gone: look again", children: []string{seq(javaLatch, 1), seq(javaLatch, 2)}, gone: []string{seq(javaLatch, 1)}, family: familyLatch, leader: seq(javaLatch, 2), queue: []string{seq(javaLatch, 2)}, missed: true},
		{name: "the plain node is gone", own: 9, gone: []string{"x"}, family: familyPlain, missed: true},
		{name: "a lock that nobody will release", children: []string{seq(pyLock, 1), seq(pyLock, 2)}, persistent: []string{seq(pyLock, 1)}, family: familyKazoo, leader: seq(pyLock, 1),
			queue: []string{seq(pyLock, 1), seq(pyLock, 2)}, warns: []string{seq(pyLock, 1) + " is not ephemeral: nobody"}},
		{name: "two of them", children: []string{"n_0000000001", "n_0000000002"}, persistent: []string{"n_0000000001", "n_0000000002"}, family: familySupport, leader: "n_0000000001",
			queue: []string{"n_0000000001", "n_0000000002"}, warns: []string{"holds 2 nodes that are not ephemeral"}},
		{name: "Curator's after the end of the sequence", children: []string{seq(javaLatch, 3), seq(javaLatch, -5), seq(javaLatch, -7)}, family: familyLatch, leader: seq(javaLatch, -5),
			queue: []string{seq(javaLatch, -5), seq(javaLatch, -7), seq(javaLatch, 3)}, warns: []string{"has run over (-5)"}},
		{name: "LeaderElectionSupport's, by the number", children: []string{seq("n_", 3), seq("n_", -5), seq("n_", -2147483648)}, family: familySupport, leader: seq("n_", -2147483648),
			queue: []string{seq("n_", -2147483648), seq("n_", -5), seq("n_", 3)}, warns: []string{"has run over"}},
		{name: "kazoo sees only some of them", children: []string{seq(pyLock, 3), seq(pyLock, -5), seq(pyLock, -2147483648)}, family: familyKazoo, leader: seq(pyLock, -2147483648),
			queue: []string{seq(pyLock, -2147483648), seq(pyLock, 3)}, warns: []string{"has run over"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := c.read()
			if s.family != c.family || s.Recipe != families[c.family].recipe {
				t.Fatalf("family %s, recipe %s; want %s", s.family, s.Recipe, c.family)
			}
			var leader string
			if s.Leader != nil {
				leader = path.Base(s.Leader.Node)
			}
			if leader != c.leader || s.missed != c.missed {
				t.Errorf("leader %q, want %q; missed %v", leader, c.leader, s.missed)
			}
			if s.Leader != nil && (s.Leader.FencingToken == 77) != c.token {
				t.Errorf("token %d", s.Leader.FencingToken)
			}
			var shown []string
			for _, p := range s.Participants {
				shown = append(shown, path.Base(p.Node))
			}
			if len(c.children) < 100 && !slices.Equal(shown, c.queue) || len(s.queue) != len(shown) {
				t.Errorf("participants %q, want %q", shown, c.queue)
			}
			if len(s.Warnings) != len(c.warns) {
				t.Errorf("%d warnings, want %d: %q", len(s.Warnings), len(c.warns), s.Warnings)
			}
			for _, want := range c.warns {
				if !slices.ContainsFunc(s.Warnings, func(w string) bool { return strings.Contains(w, want) }) {
					t.Errorf("no %q in %q", want, s.Warnings)
				}
			}
		})
	}
}

// Whatever stands somewhere, a reader says few words about it.
func TestRecogniseAnything(t *testing.T) {
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 2))
		c := scene{own: int64(r.IntN(3) - 1), recipe: []string{"", "", "latch", "kazoo", "plain", "later"}[r.IntN(6)], data: map[string]string{}}
		for range r.IntN(12) {
			name := names[r.IntN(len(names))].name
			c.children = append(c.children, name)
			c.data[name] = strings.Repeat("\x00\x1b", r.IntN(2)*r.IntN(1000))
			if r.IntN(4) == 0 {
				c.gone = append(c.gone, name)
			}
			if r.IntN(4) == 0 {
				c.persistent = append(c.persistent, name)
			}
		}
		if c.own == 1 {
			c.children = nil
		}
		if c.recipe != "" && r.IntN(2) == 0 {
			c.term, c.live, c.liveOwner = "x", "x", int64(8+r.IntN(2))
		}
		s := c.read()
		if len(s.Warnings) > len(families)+5 || len(s.Participants) > len(c.children)+1 || s.Leader != nil && s.Leader != &s.Participants[0] {
			t.Fatalf("seed %d: %+v", seed, s.Election)
		}
		for _, p := range s.Participants {
			if len(p.ID) > 4*maxIDLen || strings.ContainsAny(p.ID, "\x00\x1b") {
				t.Fatalf("id %q", p.ID)
			}
		}
	}
}
