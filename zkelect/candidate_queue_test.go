package zkelect

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
)

func noWait(c *CandidateConfig) { c.NoWait = true }
func waitFor(d time.Duration) func(*CandidateConfig) {
	return func(c *CandidateConfig) { c.Wait = d }
}

// Candidates lead in the order of the queue, and a change wakes one of them.
func TestQueueOfCandidates(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		plan := fakePlan{runs: time.Minute}
		w.lead("c0", plan)
		const n = 6
		for i := 1; i < n; i++ {
			c := w.candidate(fmt.Sprint("c", i))
			c.plan = func(int) fakePlan { return plan }
			c.begin()
			c.awaitEvent(EventWaiting)
		}
		time.Sleep(50 * time.Second) // all have long been quiet
		requests := map[string]int{}
		w.mu.Lock()
		w.seen = func(s *fakeSession, r *fakeRequest, _ fakeAnswer) {
			if !r.beats() {
				requests[s.name]++
			}
		}
		w.mu.Unlock()
		time.Sleep(30 * time.Second)
		w.mu.Lock()
		if requests["c0"] == 0 || requests["c1"] == 0 || len(requests) > 2 {
			t.Errorf("requests around the end of one: %v", requests)
		}
		w.seen = nil
		w.mu.Unlock()
		for i := 1; i < n; i++ {
			w.candidates[i].ended()
		}
		for i := 1; i < n; i++ {
			if earlier, later := w.works[i-1], w.works[i]; later.c.id != fmt.Sprint("c", i) || later.term.Token <= earlier.term.Token {
				t.Errorf("work %d is of %s", i, later.c.id)
			}
		}
	})
}

// A waiter in the middle leaves: nobody leads, and its successor looks further
// ahead.
func TestWaiterLeaves(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		a, _ := w.lead("a", fakePlan{})
		b, c, d := w.wait("b"), w.wait("c"), w.wait("d")
		c.Stop(0)
		c.ended()
		time.Sleep(time.Minute)
		if n, _ := d.event(EventBlocked); b.ran()+d.ran()+n != 0 {
			t.Fatal("two lead, or wish to")
		}
		a.Stop(0)
		within(t, "takeover", b.work(0).startedAt, w.works[0].dead(), 30*ms)
		b.Stop(0)
		d.work(0)
	})
}

// A waiter that is asked to leave while it reconnects does leave: else whoever
// is behind waits for the end of its session.
func TestWaiterLeavesWhileReconnecting(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		w.lead("a", fakePlan{})
		w.mu.Lock()
		w.reconnect = func() time.Duration { return 300 * ms }
		w.mu.Unlock()
		b := w.wait("b")
		w.current("b").kick(1)
		at := w.now()
		b.Stop(0)
		b.ended()
		if took := w.now() - at; b.node() != "" || took > 1500*ms {
			t.Errorf("left after %v, node %q", took, b.node())
		}
	})
}

// A candidate whose node is deleted, or whose session is over, queues again.
func TestWaiterJoinsAgain(t *testing.T) {
	for name, lose := range map[string]func(w *fakeWorld, c *fakeCandidate){
		"node deleted": func(w *fakeWorld, c *fakeCandidate) { w.byHand(remove(w.place.node(c.node()))) },
		"node deleted while cut off": func(w *fakeWorld, c *fakeCandidate) {
			w.cut("b", true)
			w.byHand(remove(w.place.node(c.node())))
			time.Sleep(5 * time.Second)
			w.heal("b")
		},
		"session over": func(w *fakeWorld, c *fakeCandidate) {
			w.cut("b", false)
			time.Sleep(40 * time.Second)
			w.heal("b")
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *fakeWorld) {
				a, _ := w.lead("a", fakePlan{})
				b, c := w.wait("b"), w.wait("c")
				before := b.node()
				lose(w, b)
				time.Sleep(30 * time.Second)
				if now := b.node(); now == "" || now == before {
					t.Errorf("node %q, was %q", now, before)
				}
				a.Stop(0)
				c.work(0)
				c.Stop(0)
				b.work(0)
			})
		})
	}
}

// A waiter that is cut off for a while keeps its place, and misses nothing.
func TestWaiterSuspended(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		a, _ := w.lead("a", fakePlan{})
		b := w.wait("b")
		c := w.wait("c")
		place := b.node()
		w.cut("b", true)
		a.Stop(0)
		a.ended()
		time.Sleep(20 * time.Second)
		if c.ran() != 0 {
			t.Error("c did not wait for b")
		}
		w.heal("b")
		if k := b.work(0); k.name() != place {
			t.Errorf("%s leads, the place was %s", k.name(), place)
		}
	})
}

func TestNobodyWaits(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		w.lead("a", fakePlan{})
		b := w.run("b", noWait)
		out := b.ended()
		if out.Cause != CauseNotLeader || out.Leader != "a" || !errors.Is(b.err, ErrNotLeader) {
			t.Errorf("%+v, %v", out, b.err)
		}
		if took := w.now() - w.works[0].startedAt; took > 200*ms {
			t.Errorf("took %v", took)
		}
		if b.node() != "" {
			t.Error("it is still in the queue")
		}
	})
}

func TestNobodyWaitsForLive(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		_, k := w.lead("a", fakePlan{})
		w.cut("a", true)
		w.byHand(remove(k.term.Node))
		b := w.run("b", noWait)
		if out := b.ended(); out.Cause != CauseNotLeader || out.Leader != "a" {
			t.Errorf("%+v, %v", out, b.err)
		}
	})
}

func TestWaitLimit(t *testing.T) {
	for _, where := range []string{"queue", "live", "connecting again"} {
		t.Run(where, func(t *testing.T) {
			inWorld(t, func(w *fakeWorld) {
				_, k := w.lead("a", fakePlan{stopTakes: -1, killTakes: 40 * time.Second})
				began := w.now()
				b := w.run("b", waitFor(20*time.Second))
				b.awaitEvent(EventWaiting)
				switch where {
				case "live":
					w.byHand(remove(k.term.Node))
				case "connecting again":
					w.cut("b", false)
				}
				out := b.ended()
				if out.Cause != CauseNotLeader || !errors.Is(b.err, ErrNotLeader) {
					t.Errorf("%+v, %v", out, b.err)
				}
				within(t, "waited", w.now()-began, 20*time.Second, 2*time.Second)
				if where == "queue" && out.Leader != "a" {
					t.Errorf("leader %q", out.Leader)
				}
			})
		})
	}
}

// Who never reached ZooKeeper has not lost against anybody.
func TestNeverConnected(t *testing.T) {
	for _, change := range []func(*CandidateConfig){
		func(c *CandidateConfig) { c.ConnectTimeout = 5 * time.Second },
		func(c *CandidateConfig) { c.ConnectTimeout = time.Hour; c.Wait = 5 * time.Second },
	} {
		inWorld(t, func(w *fakeWorld) {
			w.cut("a", false)
			began := w.now()
			a := w.run("a", change)
			if out := a.ended(); out.Cause != CauseError || !errors.Is(a.err, ErrUnreachable) {
				t.Errorf("%+v, %v", out, a.err)
			}
			within(t, "tried", w.now()-began, 5*time.Second, time.Second)
		})
	}
}

// Another family on the path is refused, before joining and after winning.
func TestOtherFamilyRefused(t *testing.T) {
	const kazoo = fakePath + "/6d1166b6bdbc4a49845acbb9226d8d0b__lock__0000000003"
	for _, when := range []string{"before", "meanwhile"} {
		t.Run(when, func(t *testing.T) {
			inWorld(t, func(w *fakeWorld) {
				stranger := func() {
					w.mu.Lock()
					defer w.mu.Unlock()
					w.note("a stranger joins")
					w.store.multi(7, []any{create(kazoo, "", zk.FlagEphemeral)})
					w.committed(nil, nil)
				}
				var b *fakeCandidate
				if when == "before" {
					w.make(fakePath)
					stranger()
					b = w.run("b")
				} else {
					a, _ := w.lead("a", fakePlan{})
					b = w.wait("b")
					stranger()
					a.Stop(0)
				}
				if out := b.ended(); out.Cause != CauseError || !errors.Is(b.err, ErrUnsafe) || b.ran() != 0 {
					t.Errorf("%+v, %v, %d works", out, b.err, b.ran())
				}
				if b.node() != "" || w.live() != "" {
					t.Errorf("left: %q, live %q", b.node(), w.live())
				}
			})
		})
	}
}

// What stands in the way of an election is refused in words.
func TestUnusableNodes(t *testing.T) {
	persistent := latchName(curatorUUID, 0)
	for name, ops := range map[string][]any{
		"path is ephemeral":       {create("/jobs", "", zk.FlagPersistent), create(fakePath, "", zk.FlagEphemeral)},
		"folder is ephemeral":     {create("/jobs", "", zk.FlagEphemeral)},
		"side node is garbage":    {create("/jobs", "", zk.FlagPersistent), create("/jobs/.zkelect-x", "10.0.0.7", zk.FlagPersistent)},
		"a persistent node ahead": {create("/jobs", "", zk.FlagPersistent), create(fakePath, "", zk.FlagPersistent), create(fakePath+"/"+persistent, "", zk.FlagPersistent)},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *fakeWorld) {
				w.mu.Lock()
				if _, err := w.store.multi(7, ops); err != nil {
					t.Fatal(err)
				}
				if n := w.store.nodes[fakePath]; name == "a persistent node ahead" {
					n.sequence = 1
					w.store.nodes[fakePath] = n
				}
				w.mu.Unlock()
				a := w.run("a")
				if out := a.ended(); out.Cause != CauseError || !errors.Is(a.err, ErrNode) && !errors.Is(a.err, ErrUnsafe) || a.ran() != 0 || a.node() != "" {
					t.Errorf("%+v, %v, %d works", out, a.err, a.ran())
				}
			})
		})
	}
}

// Near the end of the sequence a warning, at the end a refusal.
func TestEndOfSequence(t *testing.T) {
	for _, c := range []struct {
		next         int32
		warned, runs bool
	}{{warnSequence - 1, false, true}, {warnSequence, true, true}, {lastSequence - 1, true, true}, {lastSequence, false, false}} {
		t.Run(fmt.Sprint(c.next), func(t *testing.T) {
			inWorld(t, func(w *fakeWorld) {
				w.make(fakePath)
				w.mu.Lock()
				n := w.store.nodes[fakePath]
				n.sequence = c.next
				w.store.nodes[fakePath] = n
				w.mu.Unlock()
				a := w.candidate("a")
				a.plan = func(int) fakePlan { return fakePlan{runs: time.Second} }
				a.begin()
				out := a.ended()
				joined, _ := a.event(EventJoined)
				if n, _ := a.event(EventSequence); n > 0 != c.warned || c.runs != (out.Cause == CauseExited) || c.runs != (joined > 0) || !c.runs && !errors.Is(a.err, ErrUnsafe) {
					t.Errorf("warned %d times, joined %d times, %+v, %v", n, joined, out, a.err)
				}
			})
		})
	}
}

// Those who looked at the counter before it was at its end have the last number all
// the same: two of them have the same, and nobody can tell who is first.
func TestEndOfSequenceAtOnce(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		w.make(fakePath)
		w.mu.Lock()
		n := w.store.nodes[fakePath]
		n.sequence = lastSequence - 1
		w.store.nodes[fakePath] = n
		w.mu.Unlock()
		all := []*fakeCandidate{w.candidate("a"), w.candidate("b"), w.candidate("c")}
		for _, c := range all {
			c.plan = func(int) fakePlan { return fakePlan{runs: time.Second} }
			c.begin()
		}
		joined, led := 0, 0
		for _, c := range all {
			out := c.ended()
			n, _ := c.event(EventJoined)
			joined += n
			switch {
			case out.Cause == CauseExited:
				led++
			case !errors.Is(c.err, ErrUnsafe) || !strings.Contains(c.err.Error(), "at its end"):
				t.Errorf("%s: %+v, %v", c.id, out, c.err)
			}
		}
		if joined < 2 || led > 1 {
			t.Errorf("%d have joined, %d have led", joined, led)
		}
	})
}
