package main

import (
	"testing"
	"time"

	"zkelect/zkelect/zktest"
)

// interopCut cuts a zkelect that leads off from the servers. The program behind it knows
// nothing of leases and leads as soon as the session is over: by then the zkelect's
// command has to be dead.
func interopCut(t *testing.T, room interopRoom, kind interopKind) {
	m := newMixed(t, room, kind)
	proxy := zktest.NewProxy(t, zktest.Shared(t).Addr())
	for n := range max(1, scriptRepeat(t)/2) { // most of it is waiting
		// Long enough for a busy machine not to end it before its time.
		m.start("zk1", "--servers", proxy.Addr()+"/"+m.chroot, "--recipe", kind.recipe,
			"--session-timeout", "6s", "--stop-timeout", "200ms", "--", "child", "-ignore", "TERM")
		m.arrives("zk1")
		if n == 0 {
			m.enter("other1")
		} else if _, err := m.others["other1"].ask("release"); err != nil {
			t.Fatal(err)
		} else {
			m.arrives("other1")
		}
		if now := m.term("the zkelect", 2*n); now.id != "zk1" {
			t.Fatalf("%s leads, want the zkelect", now.id)
		}
		proxy.Cut()
		if now := m.term("the other", 2*n+1); now.id != "other1" {
			t.Fatalf("%s leads, want the other", now.id)
		}
		if code := m.ended("zk1"); code != 122 {
			t.Errorf("exit %d, want 122: lost", code)
		}
		proxy.Heal()
	}
	terms := m.terms()
	t.Logf("the command was dead %v before the other led", time.Duration(terms[1].begin-terms[0].last).Round(time.Millisecond))
}
