package zkelect

import (
	"errors"
	"syscall"
	"testing"
	"time"
)

// stubborn ignores a stop and dies by force alone.
var stubborn = fakePlan{stopTakes: -1, killTakes: 10 * ms}

func within(t *testing.T, what string, got, want, tolerance time.Duration) {
	t.Helper()
	if (got - want).Abs() > tolerance {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// expect compares what was done to a work.
func (k *fakeWork) expect(stops, kills int) {
	k.w.t.Helper()
	if s, n, _, _ := k.said(); s != stops || n != kills {
		k.w.t.Errorf("%s: %d stops and %d kills, want %d and %d", k.c.id, s, n, stops, kills)
	}
}

// released checks that nothing of a term is left, and that the record says so.
func (w *fakeWorld) released(k *fakeWork) {
	w.t.Helper()
	if w.live() != "" && w.place.node(w.live()) == k.term.Node {
		w.t.Errorf("live of %s is left", k.c.id)
	}
	for _, n := range w.queue() {
		if w.place.node(n.name) == k.term.Node {
			w.t.Errorf("the queue node of %s is left", k.c.id)
		}
	}
	r := w.record()
	if w.place.node(r.Term.Node) == k.term.Node && !r.Term.Clean {
		w.t.Errorf("the term is not closed: %s", r.encode())
	}
	for _, u := range r.Unclean {
		if w.place.node(u.Node) == k.term.Node {
			w.t.Errorf("the term counts as unclean: %s", r.encode())
		}
	}
}

func TestCandidateLeadsAndExits(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		a, k := w.lead("a", fakePlan{runs: time.Minute, code: 3})
		b := w.wait("b")
		if out := a.ended(); out.Cause != CauseExited || !out.Ran || out.Code != 3 || a.err != nil {
			t.Errorf("%+v, %v", out, a.err)
		}
		k.expect(0, 0)
		w.released(k)
		next := b.work(0)
		if next.term.Token <= k.term.Token || next.term.Session == k.term.Session || next.term.ID != "b" || next.term.Path != fakePath {
			t.Errorf("%+v after %+v", next.term, k.term)
		}
		r := w.record()
		if r.Last.ID != "a" || r.Last.Cause != CauseExited || *r.Last.ExitCode != 3 || r.Term.ID != "b" || len(r.Unclean) != 0 {
			t.Errorf("record %s", r.encode())
		}
		within(t, "takeover", next.startedAt, k.endedAt, 20*ms)
	})
}

func TestCandidateStop(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		a, k := w.lead("a", fakePlan{stopTakes: time.Second, killTakes: 10 * ms})
		time.Sleep(time.Minute)
		at := w.now()
		a.Stop(syscall.SIGTERM)
		out := a.ended()
		if out.Cause != CauseStopped || !out.Ran || out.Signal != syscall.SIGTERM || a.err != nil {
			t.Errorf("%+v, %v", out, a.err)
		}
		_, _, stop, _ := k.said()
		within(t, "stop", stop, at, ms)
		k.expect(1, 0)
		w.released(k)
		if len(w.queue()) != 0 || w.live() != "" {
			t.Errorf("left: %v, live %q", w.queue(), w.live())
		}
	})
}

func TestCandidateStopOfStubbornWork(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		a, k := w.lead("a", stubborn)
		time.Sleep(time.Minute)
		at := w.now()
		a.Stop(syscall.SIGTERM)
		a.ended()
		_, _, stop, kill := k.said()
		within(t, "stop", stop, at, ms)
		within(t, "kill", kill, at+5*time.Second, ms)
		k.expect(1, 1)
		w.released(k)
	})
}

func TestSecondSignalKills(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		a, k := w.lead("a", stubborn)
		time.Sleep(time.Minute)
		a.Stop(syscall.SIGINT)
		time.Sleep(time.Second)
		at := w.now()
		a.Kill()
		out := a.ended()
		_, _, _, kill := k.said()
		within(t, "kill", kill, at, ms)
		k.expect(1, 1)
		if out.Cause != CauseStopped || out.Signal != syscall.SIGKILL {
			t.Errorf("%+v", out)
		}
	})
}

func TestKillWithoutStop(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		a, k := w.lead("a", stubborn)
		at := w.now()
		a.Kill()
		a.ended()
		_, _, _, kill := k.said()
		within(t, "kill", kill, at, ms)
		if _, kills, _, _ := k.said(); kills != 1 {
			t.Error("killed", kills, "times")
		}
	})
}

// A process that cannot be killed holds the node: heartbeats go on.
func TestUnkillableWorkHoldsTheNode(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		a, k := w.lead("a", fakePlan{stopTakes: -1, killTakes: 3 * time.Minute})
		b := w.wait("b")
		a.Stop(syscall.SIGTERM)
		time.Sleep(2 * time.Minute)
		if a.node() == "" || w.live() != a.node() || b.ran() != 0 {
			t.Errorf("node %q, live %q, %d works of b", a.node(), w.live(), b.ran())
		}
		within(t, "last check", w.current("a").lastGood(), w.now(), 3*time.Second)
		a.ended()
		w.released(k)
		within(t, "takeover", b.work(0).startedAt, k.endedAt, 20*ms)
	})
}

// What is left of the work when its main part ends is asked to end, then killed,
// and only then the term is closed.
func TestLeftoverOfTheWork(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		a, k := w.lead("a", fakePlan{runs: 20 * time.Second, code: 2, leaves: true, stopTakes: -1, killTakes: 10 * ms})
		out := a.ended()
		_, _, stop, kill := k.said()
		k.expect(1, 1)
		within(t, "stop", stop, k.startedAt+20*time.Second, ms)
		within(t, "kill", kill, stop+5*time.Second, ms)
		if out.Cause != CauseExited || out.Code != 2 || out.Signal != 0 {
			t.Errorf("%+v", out)
		}
		w.released(k)
		if r := w.record(); r.Last.Cause != CauseExited || *r.Last.ExitCode != 2 {
			t.Errorf("record %s", r.encode())
		}
	})
}

func TestStartFails(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		broken := errors.New("no such program")
		a := w.candidate("a")
		a.plan = func(int) fakePlan { return fakePlan{fails: broken} }
		a.begin()
		if out := a.ended(); out.Cause != CauseError || out.Ran || !errors.Is(a.err, broken) {
			t.Errorf("%+v, %v", out, a.err)
		}
		r := w.record()
		if !r.Term.Clean || r.Last.Cause != CauseError || r.Last.ExitCode != nil || w.live() != "" || len(w.queue()) != 0 {
			t.Errorf("left: live %q, %v, record %s", w.live(), w.queue(), r.encode())
		}
	})
}

// A signal while nothing runs yet is told, so that the exit code can be.
func TestStopBeforeTheWork(t *testing.T) {
	for name, stop := range map[string]func(*fakeWorld, *fakeCandidate){
		"connecting": func(w *fakeWorld, a *fakeCandidate) {
			w.cut("a", false)
			a.begin()
			time.Sleep(time.Second)
			a.Stop(syscall.SIGHUP)
		},
		"joining": func(w *fakeWorld, a *fakeCandidate) {
			w.on("a", (*fakeRequest).joins, fault{delay: time.Second})
			a.begin()
			time.Sleep(500 * ms)
			a.Stop(syscall.SIGHUP)
		},
		"waiting": func(w *fakeWorld, a *fakeCandidate) {
			w.lead("b", fakePlan{})
			a.begin()
			a.awaitEvent(EventWaiting)
			a.Stop(syscall.SIGHUP)
		},
		"opening": func(w *fakeWorld, a *fakeCandidate) {
			w.on("a", w.opening, fault{delay: time.Second})
			a.begin()
			a.awaitEvent(EventJoined)
			time.Sleep(500 * ms)
			a.Stop(syscall.SIGHUP)
		},
		"opening without answer": func(w *fakeWorld, a *fakeCandidate) {
			w.on("a", w.opening, fault{loss: silentAfter})
			a.begin()
			a.awaitEvent(EventJoined)
			time.Sleep(500 * ms)
			a.Stop(syscall.SIGHUP)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *fakeWorld) {
				a := w.candidate("a")
				stop(w, a)
				at := w.now()
				out := a.ended()
				if out.Cause != CauseStopped || out.Ran || out.Signal != syscall.SIGHUP || a.err != nil {
					t.Errorf("%+v, %v", out, a.err)
				}
				if a.ran() != 0 {
					t.Error("something was started")
				}
				if took := w.now() - at; took > 4*time.Second {
					t.Errorf("left after %v", took)
				}
				if a.node() != "" {
					t.Errorf("%s is left", a.node())
				}
			})
		})
	}
}
