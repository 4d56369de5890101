package main

import (
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"
)

// TestInteropClassic is the election on one node as every introduction to ZooKeeper has
// it: five come, one of them makes the node and leads, four watch it. Whenever the
// leader is done one of those leads, at once, and the others go on watching.
func TestInteropClassic(t *testing.T) {
	t.Parallel()
	m := newMixed(t, interopRoom{}, interopKind{recipe: "plain"})
	const participants = 5
	for n := range participants {
		m.start(fmt.Sprintf("zk%d", n), "--recipe", m.kind.recipe, "--session-timeout", interopLong.String(),
			"--", "child", "-linger", "0")
	}
	var led []string
	for n := range participants {
		now := m.term(fmt.Sprintf("one of the %d that are left", participants-n), n)
		if slices.Contains(led, now.id) {
			t.Fatalf("%s leads again, after %v", now.id, led)
		}
		led = append(led, now.id)
		for id, j := range m.members {
			if slices.Contains(led, id) {
				continue
			}
			m.await(id+" to wait", func() bool { return m.logged(id, "waiting") > 0 })
			select {
			case <-j.done:
				t.Fatalf("%s has ended while %s leads", id, now.id)
			default:
			}
		}
		if n > 0 {
			// The node goes with the leader's farewell, not with the end of its session.
			before := m.terms()[n-1]
			if pause := time.Duration(now.begin - before.last); pause > interopLong/2 {
				t.Errorf("%s leads %v after %s", now.id, pause, before.id)
			}
		}
		if err := syscall.Kill(now.pid, syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if code := m.ended(now.id); code != 0 {
			t.Errorf("%s: exit %d, want its command's", now.id, code)
		}
	}
}
