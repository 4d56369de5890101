package zkelect

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"zkelect/zkelect/zktest"
)

// This file and harness_contend_test.go are what the tests with real servers
// share: an election seen from outside (election), participants that run a
// Candidate with work inside this process (contend), what they told (eventLog),
// and the check that no two works were alive at once (checkExclusion).
//
//	e := newElection(t, zktest.Shared(t))
//	px := zktest.NewProxy(t, e.server.Addr())
//	a := contend(t, e.config("a", px.Addr()))   // through the proxy
//	first := a.awaitWork(0)                     // its first term's work, alive
//	b := contend(t, e.config("b"))              // straight to the server
//	b.awaitEvent(EventWaiting)
//	px.Cut()
//	b.awaitWork(0)
//	checkExclusion(t, a, b)
//
// All stamps are CLOCK_BOOTTIME in nanoseconds, as bootTime and zktest.Stamp
// give it, so they compare with one another and with zktest's moments.

// harnessPatience bounds every wait of these helpers: far more than any of them
// needs, so that it only ends what would never end.
const harnessPatience = 40 * time.Second

// repetitions is how often a test that is subject to chance is repeated: the
// environment's ZKELECT_REPEAT, 1 without it.
func repetitions() int {
	if n, err := strconv.Atoi(os.Getenv("ZKELECT_REPEAT")); err == nil && n > 0 {
		return n
	}
	return 1
}

// repeated runs a test as often as repetitions says, each time as a subtest of
// its own beside the others. Beside other tests, too, if it has called Parallel.
func repeated(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	for n := range repetitions() {
		t.Run(strconv.Itoa(n+1), func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}

// awaitTrue waits until the condition holds.
func awaitTrue(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(harnessPatience); !condition(); time.Sleep(3 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", harnessPatience, what)
		}
	}
}

func noError(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// election is one election in a chroot of its own, seen from outside by a
// session straight to the server.
type election struct {
	place  // paths within the chroot
	t      testing.TB
	server *zktest.Server
	chroot string // "/t0123456789abcdef"
	eye    *zk.Conn
}

// newElection makes a chroot on the server for the election at /jobs/billing.
func newElection(t testing.TB, server *zktest.Server) *election {
	t.Helper()
	connect := server.Chroot(t)
	return &election{
		t: t, server: server, place: placeOf("/jobs/billing", RecipeLatch),
		chroot: connect[strings.IndexByte(connect, '/'):], eye: server.Client(t),
	}
}

// abs is a path of the election as the servers and the proxies see it.
func (e *election) abs(path string) string { return e.chroot + path }

// connect is the connect string of the election through addrs (proxies, say),
// straight to its server where none is given.
func (e *election) connect(addrs ...string) string {
	if len(addrs) == 0 {
		addrs = []string{e.server.Addr()}
	}
	return strings.Join(addrs, ",") + e.chroot
}

// config is a configuration for a participant of the election: a session of
// 3 s, which a shared server's tick of 500 ms carries, and a grace of 300 ms.
func (e *election) config(id string, addrs ...string) CandidateConfig {
	return CandidateConfig{
		Config: Config{
			Servers: e.connect(addrs...), Path: e.latch, Recipe: e.recipe,
			SessionTimeout: 3 * time.Second, ConnectTimeout: 10 * time.Second,
		},
		ID: id, StopTimeout: 300 * time.Millisecond,
	}
}

// participants are the nodes in the queue, in order, with their data and owners.
func (e *election) participants() []seenNode {
	e.t.Helper()
	children, _, err := e.eye.Children(e.abs(e.latch))
	if errors.Is(err, zk.ErrNoNode) {
		return nil
	}
	noError(e.t, err)
	var seen []seenNode
	for _, n := range newQueue(children, e.recipe.family()) {
		if s := e.see(e.node(n.name)); s != nil {
			s.name = n.name
			seen = append(seen, *s)
		}
	}
	return seen
}

// seenNode is a node as the server has it.
type seenNode struct {
	name, data string
	stat       *zk.Stat
}

// see reads a node of the election; nil where it is missing.
func (e *election) see(path string) *seenNode {
	e.t.Helper()
	data, stat, err := e.eye.Get(e.abs(path))
	if errors.Is(err, zk.ErrNoNode) {
		return nil
	}
	noError(e.t, err)
	return &seenNode{name: path, data: string(data), stat: stat}
}

// record is what the side node holds; nil where there is none.
func (e *election) record() *record {
	e.t.Helper()
	side := e.see(e.side)
	if side == nil {
		return nil
	}
	r, err := parseRecord([]byte(side.data), e.recipe, e.side)
	noError(e.t, err)
	r.stamped(msTime(side.stat.Mtime), side.stat.Mzxid)
	return r
}

// awaitEmpty waits until no participant and no live is left.
func (e *election) awaitEmpty() {
	e.t.Helper()
	awaitTrue(e.t, "the election is empty", func() bool {
		return len(e.participants()) == 0 && e.see(e.live) == nil
	})
}
