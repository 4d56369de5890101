package main

import (
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"path"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/go-zookeeper/zk"

	"zkelect/zkelect/zktest"
)

// interopRow is somebody who leads in an election, and which of our recipes may join.
type interopRow struct {
	name   string
	family string // how a refusal names it
	safe   string // "" for none
	lead   func(m *mixed, row interopRow) (leave func())
}

// interopRows are the table of the pairings: each row has every one of our recipes as
// its columns.
var interopRows = []interopRow{
	{"curator-latch", "(recipe latch)", "latch", interopProgram},
	{"curator-selector", "(recipe selector)", "selector", interopProgram},
	{"curator-mutex", "(recipe selector)", "selector", interopProgram},
	{"kazoo-election", "(recipe kazoo)", "kazoo", interopProgram},
	{"gozookeeper-lock", "(recipe selector)", "selector", interopProgram},
	{"n_", "LeaderElectionSupport", "", interopNode("/n_", zk.FlagEphemeral|zk.FlagSequence)},
	{"hadoop", "Hadoop", "", interopNode("/ActiveStandbyElectorLock", zk.FlagEphemeral)},
	{"plain-node", "(recipe plain)", "plain", interopNode("", zk.FlagEphemeral)},
	{"zkelect-latch", "(recipe latch)", "latch", interopOurs},
	{"zkelect-selector", "(recipe selector)", "selector", interopOurs},
	{"zkelect-kazoo", "(recipe kazoo)", "kazoo", interopOurs},
	{"zkelect-plain", "(recipe plain)", "plain", interopOurs},
}

// interopRecipes are those of ours.
var interopRecipes = []string{"latch", "selector", "kazoo", "plain"}

// interopProgram has one of the programs lead.
func interopProgram(m *mixed, row interopRow) func() {
	m.t.Helper()
	i := slices.IndexFunc(interopKinds, func(k interopKind) bool { return k.name == row.name })
	m.kind = interopKinds[i]
	m.enter("other1")
	m.term("the program", 0)
	return func() {
		m.t.Helper()
		if _, err := m.others["other1"].ask("release"); err != nil {
			m.t.Fatal(err)
		}
	}
}

// interopNode has somebody lead of whom there is but a node.
func interopNode(name string, flags int32) func(*mixed, interopRow) func() {
	return func(m *mixed, _ interopRow) func() {
		m.t.Helper()
		full := m.root + name
		if err := createAll(m.zk, path.Dir(full), nil, 0); err != nil && !errors.Is(err, zk.ErrNodeExists) {
			m.t.Fatal(err)
		}
		full, err := m.zk.Create(full, []byte("host1"), flags, zk.WorldACL(zk.PermAll))
		if err != nil {
			m.t.Fatal(err)
		}
		return func() {
			m.t.Helper()
			if err := m.zk.Delete(full, -1); err != nil {
				m.t.Fatal(err)
			}
		}
	}
}

// interopOurs has another zkelect lead.
func interopOurs(m *mixed, row interopRow) func() {
	m.t.Helper()
	m.start("first", "--recipe", row.safe, "--", "child", "-linger", "0")
	m.term("the zkelect", 0)
	return func() {
		m.t.Helper()
		m.signal("first", syscall.SIGTERM)
	}
}

// interopPairing has every recipe of ours come where somebody leads. Those that can't be
// told from it by that one are refused, and it hears and sees nothing of them; the one
// that it shares a queue with waits for its turn.
func interopPairing(t *testing.T, room interopRoom, row interopRow) {
	m := newMixed(t, room, interopKind{})
	leave := row.lead(m, row)
	for _, recipe := range interopRecipes {
		if recipe != row.safe {
			m.refused(row, 125, []string{"recipe " + recipe, row.family, m.example()},
				"run", "-q", "--recipe", recipe, "--", "false")
		}
	}
	if !strings.HasPrefix(row.name, "zkelect-") {
		m.refused(row, 2, []string{"is not a zkelect"}, "resign", "--no-successor")
	}
	if row.safe == "" {
		return
	}
	// After all the refusals, so that none of them has left anything in its way.
	m.start("second", "--recipe", row.safe, "--", "child")
	m.await("the second to wait", func() bool { return m.logged("second", "waiting") > 0 })
	before := len(m.terms())
	leave()
	if now := m.term("the second", before); now.id != "second" {
		t.Errorf("%s leads, want the one that waited", now.id)
	}
}

// refused runs a zkelect that has to exit with the code, saying why, and without a trace.
func (m *mixed) refused(row interopRow, code int, why []string, args ...string) {
	m.t.Helper()
	before, at := m.tree(), zktest.Stamp()
	zkelect, err := exec.LookPath("zkelect")
	if err != nil {
		m.t.Fatal(err)
	}
	cmd := exec.Command(zkelect, args...)
	cmd.Env = m.env
	out, err := cmd.CombinedOutput()
	what := fmt.Sprintf("zkelect %s beside %s", strings.Join(args, " "), row.name)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != code {
		m.t.Errorf("%s: %v, want exit %d\n%s", what, err, code, out)
	}
	for _, words := range why {
		if !strings.Contains(string(out), words) {
			m.t.Errorf("%s does not say %q: %s", what, words, out)
		}
	}
	if after := m.tree(); !maps.Equal(before, after) {
		m.t.Errorf("%s has changed something:\nbefore %v\nafter  %v", what, before, after)
	}
	// Who is alive goes on leading.
	if terms := m.terms(); len(terms) > 0 {
		m.await(row.name+" to go on", func() bool { return m.terms()[0].last > at })
		if terms := m.terms(); len(terms) > 1 {
			m.t.Errorf("%s: %s began another term", what, terms[1].id)
		}
	}
}

// example is a node of those who are there.
func (m *mixed) example() string {
	m.t.Helper()
	if nodes := m.queue(); len(nodes) > 0 {
		return nodes[0]
	}
	return "/jobs/e"
}

// tree is every node of this test's, with what changes when it does. Beside the election
// too: a side node that a zkelect of the wrong recipe has left would be in the way of the
// right ones.
func (m *mixed) tree() map[string]string {
	m.t.Helper()
	tree := map[string]string{}
	var look func(node string)
	look = func(node string) {
		names, stat, err := m.zk.Children(node)
		if err != nil {
			m.t.Fatal(err)
		}
		tree[node] = fmt.Sprintf("czxid %d, mzxid %d, pzxid %d", stat.Czxid, stat.Mzxid, stat.Pzxid)
		for _, name := range names {
			look(path.Join(node, name))
		}
	}
	look("/" + m.chroot)
	return tree
}
