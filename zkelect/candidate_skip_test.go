package zkelect

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
)

// minute is what these tests call so: nobody has that long.
const minute = time.Second

func skips(within time.Duration) func(*CandidateConfig) {
	return func(c *CandidateConfig) { c.SkipIfRunWithin = within }
}

// plans has the works of a candidate end by themselves with these codes, one after
// the other, the last one again and again.
func (c *fakeCandidate) plans(runs time.Duration, codes ...int) {
	c.plan = func(n int) fakePlan { return fakePlan{runs: runs, code: codes[min(n, len(codes)-1)]} }
}

// runs lets a candidate contend whose work takes so long and ends with these codes.
func (w *fakeWorld) runs(id string, takes time.Duration, codes []int, changes ...func(*CandidateConfig)) *fakeCandidate {
	c := w.candidate(id, changes...)
	c.plans(takes, codes...)
	c.begin()
	return c
}

// checkSkipped: it has run nothing, because of the run of that candidate, opened no
// term and left no trace in the record.
func (c *fakeCandidate) checkSkipped(by string) {
	c.w.t.Helper()
	out := c.ended()
	if out.Cause != CauseSkipped || out.Ran || c.err != nil || out.Skipped == nil || out.Skipped.ID != by {
		c.w.t.Errorf("%s: %+v (%+v), %v; want it skipped because of %s", c.id, out, out.Skipped, c.err, by)
	}
	if n, _ := c.event(EventSkipped); n != 1 {
		c.w.t.Errorf("%s told %d times that it is skipped", c.id, n)
	}
	if n, _ := c.event(EventLeading); n > c.ran() {
		c.w.t.Errorf("%s has opened a term", c.id)
	}
	if r := c.w.record(); c.ran() == 0 && (r.Term.ID == c.id || r.Last.ID == c.id || r.Last.Cause == CauseSkipped) {
		c.w.t.Errorf("%s has changed the record: %s", c.id, r.encode())
	}
	if c.node() != "" || c.w.live() != "" {
		c.w.t.Errorf("%s has left %q, live %q", c.id, c.node(), c.w.live())
	}
}

func (c *fakeCandidate) checkRan(cause Cause, code int) {
	c.w.t.Helper()
	if out := c.ended(); out.Cause != cause || out.Code != code || !out.Ran || c.err != nil {
		c.w.t.Errorf("%s: %+v, %v; want it run, %s with code %d", c.id, out, c.err, cause, code)
	}
}

// Three hosts with the same crontab, an hour, and clocks five minutes apart. The job
// takes a minute, so that the late ones find nobody leading.
func TestSkipEachHourOnce(t *testing.T) {
	for _, recipe := range []Recipe{RecipeLatch, RecipeSelector, RecipeKazoo, RecipePlain} {
		inWorldOf(t, recipe, func(w *fakeWorld) {
			for hour := range 5 {
				ran := 0
				began := time.Now()
				for host := range 3 {
					c := w.runs(fmt.Sprint("web", host, "-", hour), minute, []int{0}, skips(30*minute))
					c.ended()
					if ran += c.ran(); c.out.Cause == CauseSkipped && (host == 0 || c.out.Skipped.ID != fmt.Sprint("web0-", hour)) {
						t.Errorf("%s is skipped because of %+v", c.id, c.out.Skipped)
					}
					time.Sleep(time.Until(began.Add(time.Duration(host+1) * 5 * minute)))
				}
				if ran != 1 {
					t.Errorf("%v: run %d times in hour %d", recipe, ran, hour)
				}
				time.Sleep(time.Until(began.Add(60 * minute)))
			}
		})
	}
}

// Whoever waited out a long run has come before it was over, and does not run again,
// however long it took.
func TestSkipAfterALongRun(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		a := w.runs("a", 40*minute, []int{0}, skips(30*minute))
		a.work(0)
		b, c := w.wait("b", skips(30*minute)), w.wait("c", skips(30*minute))
		a.checkRan(CauseExited, 0)
		b.checkSkipped("a")
		c.checkSkipped("a")
		if r := b.out.Skipped; r.Ended == nil || r.Ended.Sub(r.Began) < 40*minute || r.Cause != CauseExited || *r.ExitCode != 0 || r.FencingToken == 0 {
			t.Errorf("skipped because of %+v", r)
		}
		// Who comes later runs it: a began 40 minutes ago.
		w.runs("d", minute, []int{0}, skips(30*minute)).checkRan(CauseExited, 0)
	})
}

// A failed run is taken by the next one that waits, until one succeeds.
func TestSkipTakesAFailedRun(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		a := w.runs("a", minute, []int{1}, skips(30*minute))
		a.work(0)
		b := w.candidate("b", skips(30*minute))
		b.plan = func(int) fakePlan { return fakePlan{runs: minute, fails: errors.New("cannot start")} }
		b.begin()
		b.awaitEvent(EventWaiting)
		c := w.candidate("c", skips(30*minute))
		c.plans(minute, 0)
		c.begin()
		c.awaitEvent(EventWaiting)
		d := w.wait("d", skips(30*minute))
		a.checkRan(CauseExited, 1)
		if out := b.ended(); out.Cause != CauseError {
			t.Errorf("%+v", out)
		}
		c.checkRan(CauseExited, 0)
		d.checkSkipped("c")
		if n, _ := c.event(EventAgain); n != 0 {
			t.Error("what failed has left an end")
		}
	})
}

// What counts: work that ended by itself with code 0, or with SkipAfterAny all work
// that ended.
func TestSkipCounts(t *testing.T) {
	anyRun := func(c *CandidateConfig) { c.SkipAfter = SkipAfterAny }
	for name, c := range map[string]struct {
		plan        fakePlan
		end         func(*fakeCandidate)
		success, of bool // with SkipAfterSuccess, with SkipAfterAny
	}{
		"success":  {fakePlan{runs: minute}, nil, true, true},
		"failure":  {fakePlan{runs: minute, code: 1}, nil, false, true},
		"stopped":  {fakePlan{}, func(c *fakeCandidate) { c.Stop(0) }, false, true},
		"leavings": {fakePlan{runs: minute, leaves: true}, nil, true, true},
		"lost": {fakePlan{}, func(c *fakeCandidate) {
			c.w.byHand(remove(c.w.place.node(c.node())))
		}, false, true},
		"resigned": {fakePlan{}, func(c *fakeCandidate) { c.Interrupt() }, false, true},
	} {
		for _, counts := range []struct {
			how     func(*CandidateConfig)
			skipped bool
		}{{func(*CandidateConfig) {}, c.success}, {anyRun, c.of}} {
			inWorld(t, func(w *fakeWorld) {
				a, _ := w.lead("a", c.plan) // without the flag: the record is kept all the same
				if c.end != nil {
					c.end(a)
				}
				a.ended()
				b := w.runs("b", minute, []int{0}, skips(60*minute), counts.how)
				b.ended()
				if got := b.out.Cause == CauseSkipped; got != counts.skipped {
					t.Errorf("%s: %+v, skipped is to be %v: %s", name, b.out, counts.skipped, w.record().encode())
				}
			})
		}
	}
}

// What counts as lately is counted from the first node of a Run, whatever became of it.
func TestSkipCountsFromTheFirstNode(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		a := w.runs("a", 40*minute, []int{0})
		a.work(0)
		b := w.wait("b", skips(5*minute))
		first := b.Candidate.joined.at
		time.Sleep(20 * minute)
		w.byHand(remove(w.place.node(b.node())))
		b.awaitEvent(EventPlaceLost)
		a.ended()
		b.checkSkipped("a")
		if joined, ok := b.attr(EventSkipped, "joined").(time.Time); !ok || !joined.Equal(first) {
			t.Errorf("joined %v, told %v", first, joined)
		}
	})
}

// Contending again until it is done: failures come again, and the success ends it.
func TestSkipEndsRequeueAlways(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		a := w.runs("a", minute, []int{1, 3, 0, 7}, skips(30*minute), func(c *CandidateConfig) { c.Requeue = RequeueAlways })
		out := a.ended()
		if out.Cause != CauseSkipped || out.Skipped.ID != "a" || a.ran() != 3 || a.err != nil {
			t.Errorf("%+v after %d runs, %v", out, a.ran(), a.err)
		}
		r := w.record()
		if r.Runs.Last.Token != r.Term.Token || *r.Runs.Succeeded.ExitCode != 0 || len(w.queue()) != 0 {
			t.Errorf("the record: %s", r.encode())
		}
	})
}

// The leader died with its run, or right after it: nobody wrote the end, so it runs
// again, and says so where it would have counted.
func TestSkipRunsAgainAfterACrash(t *testing.T) {
	for name, survived := range map[string]bool{"survivor": true, "nobody": false} {
		for takes, again := range map[time.Duration]int{10 * minute: 1, 50 * minute: 0} {
			inWorld(t, func(w *fakeWorld) {
				_, k := w.lead("a", fakePlan{})
				time.Sleep(takes)
				w.cut("a", true)
				if survived {
					k.dead()
					s := w.session("survivor")
					w.until("connected", func() bool { st, _, _ := s.status(); return st == sessionConnected })
					s.survives = k.term.Session
					noError(t, will{Path: fakePath, Node: k.name(), Timeout: w.timeout}.close(w.t.Context(), s, RecipeLatch))
				}
				b := w.runs("b", minute, []int{0}, skips(45*minute))
				b.checkRan(CauseExited, 0)
				if n, _ := b.event(EventAgain); n != again {
					t.Errorf("%s, after %v: told %d times that it runs again, want %d", name, takes, n, again)
				}
				if again == 1 && b.attr(EventAgain, "by") != "a" {
					t.Errorf("told of %v", b.attr(EventAgain, "by"))
				}
				c := w.runs("c", minute, []int{0}, skips(45*minute))
				c.checkSkipped("b")
			})
		}
	}
}

// Whoever could not say how its run ended, and contends again, says it before it
// skips: else the others would run it again.
func TestSkipSaysItsOwnEndFirst(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		a := w.candidate("a", skips(30*minute), func(c *CandidateConfig) { c.Requeue = RequeueAlways })
		a.plans(10*minute, 0)
		a.begin()
		k := a.work(0)
		time.Sleep(9*minute + 500*ms)
		w.cut("a", true)
		k.dead()
		a.awaitEvent(EventUnreleased)
		w.heal("a")
		if out := a.ended(); out.Cause != CauseSkipped || out.Skipped.ID != "a" || a.ran() != 1 {
			t.Errorf("%+v, %d runs", out, a.ran())
		}
		if r := w.record(); !r.Term.Clean || r.Last.Cause != CauseExited || r.Runs.Succeeded.ID != "a" || r.Runs.Succeeded.Token != k.term.Token {
			t.Errorf("the record: %s", r.encode())
		}
		b := w.runs("b", minute, []int{0}, skips(60*minute))
		b.checkSkipped("a")
		if b.ran() != 0 {
			t.Error("it ran again")
		}
	})
}

// A run that was not written is known to its own host alone, and is written with
// its next opening, though another has led since: unless that one has run, too.
func TestSkipRunCarried(t *testing.T) {
	for ran, last := range map[bool]string{false: "a", true: "b"} {
		inWorld(t, func(w *fakeWorld) {
			a := w.candidate("a", func(c *CandidateConfig) { c.Requeue = RequeueAlways })
			a.plans(20*minute, 0)
			a.begin()
			k := a.work(0)
			b := w.candidate("b")
			b.plan = func(int) fakePlan {
				if !ran {
					return fakePlan{fails: errors.New("cannot start")}
				}
				return fakePlan{runs: minute}
			}
			b.begin()
			b.awaitEvent(EventWaiting)
			time.Sleep(time.Until(w.base.Add(19 * minute)))
			w.cut("a", true)
			k.dead()
			b.ended()
			w.heal("a")
			a.work(1)
			if r := w.record(); r.Runs == nil || r.Runs.Last.ID != last || r.Runs.Succeeded.ID != last {
				t.Errorf("b ran %v: %s", ran, r.encode())
			}
		})
	}
}

// A run in the future is one that a server with another clock wrote.
func TestSkipIgnoresTheFuture(t *testing.T) {
	for ahead, skipped := range map[time.Duration]bool{0: true, 29 * minute: true, 31 * minute: false, 1e6 * minute: false} {
		inWorld(t, func(w *fakeWorld) {
			w.runs("a", minute, []int{0}).checkRan(CauseExited, 0)
			r := w.record()
			began := time.Now().Add(ahead)
			r.Runs.Succeeded.Began, r.Last.Since = began, &began
			w.mu.Lock()
			w.ends = nil // that was the true one
			w.mu.Unlock()
			noError(t, w.byHand(&zk.SetDataRequest{Path: w.place.side, Data: r.encode(), Version: -1}))
			b := w.runs("b", minute, []int{0}, skips(30*minute))
			b.ended()
			if got := b.out.Cause == CauseSkipped; got != skipped {
				t.Errorf("%v ahead: %+v", ahead, b.out)
			}
			if n, _ := b.event(EventFuture); n != map[bool]int{true: 0, false: 1}[skipped] {
				t.Errorf("%v ahead: warned %d times", ahead, n)
			}
			// Its own run has taken the place of that one.
			if !skipped && w.record().Runs.Succeeded.ID != "b" {
				t.Errorf("the record: %s", w.record().encode())
			}
		})
	}
	// Who has waited for longer than the duration is still in the present.
	inWorld(t, func(w *fakeWorld) {
		w.runs("x", 20*minute, []int{1}).work(0)
		a := w.wait("a")
		a.plans(20*minute, 0)
		b := w.wait("b", skips(5*minute))
		a.checkRan(CauseExited, 0)
		b.checkSkipped("a")
	})
}

// The record that was read may be older than the one that the opening meets. Then
// the opening fails, and the newer one is looked at.
func TestSkipDecidesOnTheRecordItReplaces(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		w.runs("a", minute, []int{1}).checkRan(CauseExited, 1)
		r := w.record()
		r.Runs = r.Runs.with(&runRecord{ID: "x", Token: r.Term.Token, Cause: CauseExited, ExitCode: new(int), Began: time.Now()})
		w.on("b", func(r *fakeRequest) bool { return r.opens(w.place) }, fault{}, func() {
			_, err := w.store.multi(0, []any{&zk.SetDataRequest{Path: w.place.side, Data: r.encode(), Version: -1}})
			noError(t, err)
		})
		b := w.runs("b", minute, []int{0}, skips(30*minute))
		b.checkSkipped("x")
	})
}

// An opening whose answer was lost, and another record by the time the connection is
// back: what is left of it goes with the session.
func TestSkipAfterALostOpening(t *testing.T) {
	for _, loss := range []fakeLoss{lostBefore, lostAfter, silentBefore, silentAfter, swallowed} {
		inWorld(t, func(w *fakeWorld) {
			w.runs("a", minute, []int{1}).checkRan(CauseExited, 1)
			w.on("b", func(r *fakeRequest) bool { return r.opens(w.place) }, fault{loss: loss})
			b := w.runs("b", minute, []int{0}, skips(30*minute))
			b.checkRan(CauseExited, 0)
			w.on("c", func(r *fakeRequest) bool { return r.kind == "get" && r.path == w.place.side }, fault{loss: loss})
			c := w.runs("c", minute, []int{0}, skips(30*minute))
			c.checkSkipped("b")
		})
	}
}

// The same where another record is there when it is looked at again: nothing of the
// lost opening stays.
func TestSkipLostOpeningAndAnotherRun(t *testing.T) {
	for _, loss := range []fakeLoss{lostBefore, lostAfter, silentBefore, silentAfter, swallowed} {
		inWorld(t, func(w *fakeWorld) {
			w.runs("a", minute, []int{1}).checkRan(CauseExited, 1)
			r := w.record()
			r.Runs = r.Runs.with(&runRecord{ID: "x", Token: r.Term.Token, Cause: CauseExited, ExitCode: new(int), Began: time.Now()})
			w.on("b", func(r *fakeRequest) bool { return r.opens(w.place) }, fault{loss: loss}, func() {
				_, err := w.store.multi(0, []any{&zk.SetDataRequest{Path: w.place.side, Data: r.encode(), Version: -1}})
				noError(t, err)
			})
			b := w.runs("b", minute, []int{0}, skips(30*minute))
			b.checkSkipped("x")
			if len(w.queue()) > 0 || b.ran() > 0 {
				t.Errorf("left in the queue: %v; %d runs", w.queue(), b.ran())
			}
		})
	}
}

// With one node for all, what was waited does not count: the first node is the one that
// leads.
func TestSkipPlainCountsFromTheTurn(t *testing.T) {
	inPlainWorld(t, func(w *fakeWorld) {
		a := w.runs("a", 40*minute, []int{0})
		a.work(0)
		b, c := w.runs("b", minute, []int{0}, skips(30*minute)), w.runs("c", minute, []int{0}, skips(45*minute))
		a.checkRan(CauseExited, 0)
		c.ended()
		if b.ended(); b.ran() != 1 || c.ran() != 0 {
			t.Errorf("b ran %d times, c %d", b.ran(), c.ran())
		}
	})
}

// A skipped candidate clears nothing of what is carried, and its fence does not run.
func TestSkipClearsNothing(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		w.known()
		w.died("a")
		w.runs("b", 2*minute, []int{0}).checkRan(CauseExited, 0)
		w.expectRecord(CauseExited, false, "a")
		c := w.candidate("c", skips(30*minute), auto)
		c.fences(func(int) fakePlan { return fakePlan{runs: minute} })
		c.begin()
		c.checkSkipped("b")
		w.expectRecord(CauseExited, false, "a")
		if len(c.fenceWorks) != 0 {
			t.Error("it has fenced")
		}
	})
}

// Who does not wait is told that someone leads, or skips.
func TestSkipWithoutWaiting(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		noWait := func(c *CandidateConfig) { c.NoWait = true }
		a := w.runs("a", 5*minute, []int{0}, skips(30*minute), noWait)
		a.work(0)
		b := w.run("b", skips(30*minute), noWait)
		if out := b.ended(); out.Cause != CauseNotLeader || out.Leader != "a" {
			t.Errorf("%+v", out)
		}
		a.checkRan(CauseExited, 0)
		c := w.run("c", skips(30*minute), noWait)
		c.checkSkipped("a")
	})
}

// The deadline of a wait, and a wish to stop, are as without the flag.
func TestSkipWaitsAndStops(t *testing.T) {
	inWorld(t, func(w *fakeWorld) {
		w.runs("a", 60*minute, []int{0}).work(0)
		b := w.run("b", skips(minute), func(c *CandidateConfig) { c.Wait = 2 * minute })
		if out := b.ended(); out.Cause != CauseNotLeader {
			t.Errorf("%+v", out)
		}
		c := w.wait("c", skips(minute))
		c.Stop(0)
		if out := c.ended(); out.Cause != CauseStopped {
			t.Errorf("%+v", out)
		}
	})
}
