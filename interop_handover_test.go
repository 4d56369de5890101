package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"zkelect/zkelect/zktest"
)

const (
	// interopHandovers are those of each kind of program, for each repetition.
	interopHandovers = 15
	// interopSession is that of a program whose death its session's end tells. The
	// others have interopLong, with which no busy machine takes leadership from them:
	// Debian's Curator is 5.4.0, in which a latch that comes back in a new session can
	// lead by a node of the old one (CURATOR-696), beside another of Curator's own.
	// That is no matter of ours, so nobody is to reconnect here.
	interopSession = 4 * time.Second
	interopLong    = 20 * time.Second
)

// interopHandover has three zkelects and three programs of another kind in one
// election. At any time one of them leads, they follow one another in the order of the
// queue, and all of them know of each other.
func interopHandover(t *testing.T, room interopRoom, kind interopKind) {
	m := newMixed(t, room, kind)
	// Those that meet in this order are of every mixture: ours after theirs, theirs
	// after ours, and each after its own.
	for _, id := range []string{"other1", "zk1", "zk2", "other2", "other3", "zk3"} {
		m.enter(id)
	}
	for n := range interopHandovers * scriptRepeat(t) {
		m.handOver(n)
		if n%3 == 2 {
			m.step(n)
		}
	}
	t.Logf("from the last sign of life of one leader to the first of the next: %v", m.pauses)
}

// mixed is an election of zkelects and others.
type mixed struct {
	*crowd
	room   interopRoom
	kind   interopKind
	zk     *zk.Conn
	root   string // the election on the server
	others map[string]*foreigner
	owners map[string]string // of the nodes of the queue, by name
	passed int               // terms of zkelects that we have ended
	deaths int               // leaderships of those that may die that we have ended
	starts int
	pauses map[string][]time.Duration // without a leader, by how the one before ended
}

func newMixed(t *testing.T, room interopRoom, kind interopKind) *mixed {
	m := &mixed{crowd: newCrowd(t), room: room, kind: kind, others: map[string]*foreigner{}, owners: map[string]string{}, pauses: map[string][]time.Duration{}}
	m.zk = zktest.Shared(t).Client(t)
	m.root = path.Join("/", m.chroot, "/jobs/e")
	t.Cleanup(m.endOthers)
	return m
}

// enter starts a participant, which joins at the back of the queue.
func (m *mixed) enter(id string) {
	m.t.Helper()
	m.starts++
	if strings.HasPrefix(id, "zk") {
		m.start(id, "--recipe", m.kind.recipe, "--requeue", "always", "--session-timeout", interopLong.String(),
			"--", "child", "-linger", "0")
	} else {
		session := interopLong
		if m.isMortal(id) {
			session = interopSession
		}
		f, err := m.room.foreign(m.kind, fmt.Sprintf("%s/%s-%d", m.dir, id, m.starts),
			zktest.Shared(m.t).Addr()+"/"+m.chroot, "/jobs/e", id, m.stamps, session)
		if err != nil {
			m.t.Fatal(err)
		}
		m.others[id] = f
	}
	m.arrives(id)
}

// isMortal tells whether it is by a kill -9 that this one's leadership ends.
func (m *mixed) isMortal(id string) bool { return id == "other2" }

// queue is the nodes in their order.
func (m *mixed) queue() []string {
	m.t.Helper()
	nodes, _, err := m.zk.Children(m.root)
	if err != nil && !errors.Is(err, zk.ErrNoNode) {
		m.t.Fatal(err)
	}
	sequence := func(name string) string { return name[max(0, len(name)-10):] }
	slices.SortFunc(nodes, func(a, b string) int { return strings.Compare(sequence(a), sequence(b)) })
	return nodes
}

// await is as a crowd's, but of longer steps: here many wait at a time, and most of them
// for the end of a session or the start of a Java machine.
func (m *mixed) await(what string, holds func() bool) {
	m.t.Helper()
	for deadline := time.Now().Add(bound); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			m.t.Fatalf("waited %v for %s", bound, what)
		}
	}
}

// arrives waits until there is a node that nobody's is yet: it is that one's.
func (m *mixed) arrives(id string) {
	m.t.Helper()
	var added []string
	m.await("a node of "+id, func() bool {
		added = slices.DeleteFunc(m.queue(), func(node string) bool { return m.owners[node] != "" })
		return len(added) > 0
	})
	if len(added) > 1 {
		m.t.Fatalf("%s has joined, and in the queue are %v", id, added)
	}
	m.owners[added[0]] = id
}

// ids is whose the nodes are.
func (m *mixed) ids(nodes []string) (ids []string) {
	for _, node := range nodes {
		ids = append(ids, m.owners[node])
	}
	return ids
}

// handOver ends the nth leadership, and looks at the next one.
func (m *mixed) handOver(n int) {
	m.t.Helper()
	now := m.term("the first", n)
	before := m.queue()
	want := m.ids(before)
	leader := want[0]
	if now.id != leader {
		m.t.Fatalf("%s leads, want %s: the queue is %v", now.id, leader, want)
	}
	m.asksAll(before, n)

	cause := m.endTerm(leader, now)
	next := m.term(fmt.Sprintf("the one after %s (%s)", leader, cause), n+1)
	if next.id != want[1] {
		m.t.Fatalf("%s leads after %s (%s), want %s: the queue was %v", next.id, leader, cause, want[1], want)
	}
	m.pauses[cause] = append(m.pauses[cause], time.Duration(next.begin-m.terms()[n].last).Round(time.Millisecond))
	m.await("the node of "+leader+" to be gone", func() bool { return !slices.Contains(m.queue(), before[0]) })
	if cause == "kill" || cause == "death" {
		m.enter(leader)
	} else {
		m.arrives(leader)
	}
	want = append(want[1:], leader)
	if got := m.ids(m.queue()); !slices.Equal(got, want) {
		m.t.Fatalf("after %s (%s) the queue is %v, want %v", leader, cause, got, want)
	}
}

// term waits for the nth leadership. No other may have begun since, nor lasted so long.
func (m *mixed) term(who string, n int) lifespan {
	m.t.Helper()
	m.await(who+" to lead", func() bool { // by the names alone: to read them all takes a while
		files, _ := filepath.Glob(filepath.Join(m.stamps, "term-*"))
		return len(files) > n
	})
	terms := m.terms()
	if len(terms) != n+1 {
		m.t.Fatalf("%s leads, and after it %s", terms[n].id, terms[n+1].id)
	}
	return terms[n]
}

// endTerm ends the leadership in one of the ways that there are, which it returns.
func (m *mixed) endTerm(leader string, term lifespan) (cause string) {
	m.t.Helper()
	if f := m.others[leader]; f != nil {
		if m.isMortal(leader) {
			if m.deaths++; m.deaths%2 == 1 { // not always: it takes as long as its session
				m.kill(f.job)
				return "death"
			}
		}
		if m.kind.resigns {
			m.zkelectSays("resign")
			return "revoke"
		}
		if _, err := f.ask("release"); err != nil {
			m.t.Fatal(err)
		}
		return "release"
	}
	// Shifted from round to round, so that each ends in each of the ways.
	cause = []string{"exit", "kill", "resign"}[(m.passed+m.passed/3)%3]
	m.passed++
	switch cause {
	case "exit":
		if err := syscall.Kill(term.pid, syscall.SIGTERM); err != nil {
			m.t.Fatal(err)
		}
	case "kill":
		m.kill(m.members[leader])
	case "resign":
		m.zkelectSays("resign")
	}
	return cause
}

func (m *mixed) kill(j *job) {
	m.t.Helper()
	if err := j.signal(syscall.SIGKILL); err != nil {
		m.t.Fatal(err)
	}
	<-j.done
}

// step has a zkelect that waits leave the queue, so that those behind it have another
// one before them, and join it again at the back.
func (m *mixed) step(n int) {
	m.t.Helper()
	queue := m.ids(m.queue())
	waiting := slices.DeleteFunc(slices.Clone(queue[1:]), func(id string) bool { return !strings.HasPrefix(id, "zk") })
	id := waiting[n/3%len(waiting)]
	m.signal(id, syscall.SIGTERM)
	m.ended(id)
	m.enter(id)
	want := append(slices.DeleteFunc(queue, func(other string) bool { return other == id }), id)
	if got := m.ids(m.queue()); !slices.Equal(got, want) {
		m.t.Fatalf("after %s has left and come again the queue is %v, want %v", id, got, want)
	}
}

// ended waits for a zkelect's end and returns its exit code.
func (m *mixed) ended(id string) int {
	m.t.Helper()
	j := m.members[id]
	select {
	case <-j.done:
	case <-time.After(bound):
		m.t.Fatalf("%s goes on after %v", id, bound)
	}
	return j.cmd.ProcessState.ExitCode()
}

// zkelectSays runs another of our commands for the election.
func (m *mixed) zkelectSays(args ...string) string {
	m.t.Helper()
	zkelect, err := exec.LookPath("zkelect")
	if err != nil {
		m.t.Fatal(err)
	}
	cmd := exec.Command(zkelect, args...)
	cmd.Env = m.env
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		m.t.Fatalf("zkelect %s: %v\n%s%s", strings.Join(args, " "), err, out, &stderr)
	}
	return string(out)
}

// asksAll compares what zkelect and one of the others say of the queue.
func (m *mixed) asksAll(queue []string, n int) {
	m.t.Helper()
	var ids []string
	for _, node := range queue {
		data, _, err := m.zk.Get(m.root + "/" + node)
		if err != nil {
			m.t.Fatal(err)
		}
		ids = append(ids, string(data))
	}
	var election struct {
		Recipe       string
		Leader       struct{ ID, Node string }
		Participants []struct{ ID, Node string }
	}
	said := m.zkelectSays("status", "-o", "json")
	if err := json.Unmarshal([]byte(said), &election); err != nil {
		m.t.Fatalf("%v in %s", err, said)
	}
	var gotIDs, gotNodes []string
	for _, p := range election.Participants {
		gotIDs, gotNodes = append(gotIDs, p.ID), append(gotNodes, path.Base(p.Node))
	}
	if election.Recipe != m.kind.recipe || election.Leader.ID != ids[0] || path.Base(election.Leader.Node) != queue[0] ||
		!slices.Equal(gotIDs, ids) || !slices.Equal(gotNodes, queue) {
		m.t.Fatalf("status says %swant %v, nodes %v, of recipe %s", said, ids, queue, m.kind.recipe)
	}

	other := m.others[fmt.Sprintf("other%d", n%3+1)]
	ask := func(command string, want ...string) {
		m.t.Helper()
		got, err := other.ask(command)
		if err != nil {
			m.t.Fatal(err)
		}
		if got != strings.Join(want, " ") {
			m.t.Fatalf("%s of %s: %q, want %q", command, other.id, got, want)
		}
	}
	if m.kind.leader {
		ask("leader", ids[0])
	}
	switch m.kind.participants {
	case "ids":
		ask("participants", ids...)
	case "paths":
		var paths []string
		for _, node := range queue {
			paths = append(paths, "/jobs/e/"+node)
		}
		ask("participants", paths...)
	}
}

// endOthers ends what is left of the other programs, and shows all of what happened
// where the test has failed.
func (m *mixed) endOthers() {
	for _, f := range m.others {
		_ = f.job.signal(syscall.SIGKILL) // fails only where it has ended
	}
	for id, f := range m.others {
		<-f.job.done
		if m.t.Failed() {
			m.t.Logf("%s wrote:\n%s", id, f.wrote())
		}
	}
	if m.t.Failed() {
		terms, err := readStamps(m.stamps)
		m.t.Logf("terms (%v):", err)
		for _, term := range terms {
			m.t.Logf("%-8s %d to %d, token %d", term.id, term.begin, term.last, term.token)
		}
	}
}
