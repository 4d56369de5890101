package zkelect

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"zkelect/zkelect/zktest"
)

// line is an election with a leader and waiters, in the order of their names.
type line struct {
	*election
	t   *testing.T
	all []*participant
	w   *stampedWork // the leader's
}

// newLine queues participants one after the other; the first leads.
func newLine(t *testing.T, cfgs func(e *election) []CandidateConfig, plan ...workPlan) *line {
	t.Helper()
	l := &line{election: newElection(t, zktest.Shared(t)), t: t}
	for n, cfg := range cfgs(l.election) {
		p := contend(t, cfg, plan...)
		if n == 0 {
			l.w = p.awaitWork(0)
		} else {
			p.awaitEvent(EventWaiting)
		}
		l.all = append(l.all, p)
	}
	return l
}

// ids are configurations for participants straight to the server.
func ids(names string) func(e *election) []CandidateConfig {
	return func(e *election) (cfgs []CandidateConfig) {
		for _, id := range strings.Fields(names) {
			cfgs = append(cfgs, e.steady(id))
		}
		return cfgs
	}
}

// order is who stands in the queue.
func (l *line) order() (who []string) {
	for _, n := range l.participants() {
		who = append(who, n.data)
	}
	return who
}

// untouched makes sure that the leader goes on and that nobody has moved.
func (l *line) untouched(order string) {
	l.t.Helper()
	time.Sleep(50 * time.Millisecond) // for what should not come
	if l.w.stopped.Load() != 0 || !l.w.alive() {
		l.t.Error("the leader was stopped")
	}
	if got := strings.Join(l.order(), " "); got != order {
		l.t.Errorf("the queue is %s, and was %s", got, order)
	}
	awaitTrue(l.t, "no request is left", func() bool { return len(l.pending()) == 0 })
}

// pending are the requests that wait for an answer.
func (e *election) pending() []string {
	e.t.Helper()
	plain, _, err := e.eye.Children(e.abs(e.requests))
	noError(e.t, err)
	named, _, err := e.eye.Children(e.abs(e.transfer))
	noError(e.t, err)
	return append(plain, named...)
}

func (l *line) check() { l.t.Helper(); checkExclusion(l.t, l.all...) }

func TestResignMoves(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]ResignConfig{"plain": {}, "by id": {ID: "a"}, "to": {To: "b"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			repeated(t, func(t *testing.T) {
				// The whole grace and the kill lie between the two.
				l := newLine(t, ids("a b c"), workPlan{StopTakes: -1, KillTakes: 50 * time.Millisecond})
				got, err := l.resign(cfg)
				noError(t, err)
				checkResigned(t, got, "a", "b")
				l.all[1].awaitWork(0)
				if out, err := l.all[0].awaitEnd(); out.Cause != CauseResigned || err != nil {
					t.Errorf("who resigned ended with %+v, %v", out, err)
				}
				if r := l.record(); r.Last == nil || r.Last.ID != "a" || r.Last.Cause != CauseResigned {
					t.Errorf("the record of the last term: %+v", r.Last)
				}
				l.check()
			})
		})
	}
}

func TestResignQueuesAgain(t *testing.T) {
	t.Parallel()
	l := newLine(t, func(e *election) []CandidateConfig {
		cfgs := ids("a b")(e)
		for n := range cfgs {
			cfgs[n].Requeue = RequeueLost
		}
		return cfgs
	})
	for n := range 6 {
		got, err := l.resign(ResignConfig{})
		noError(t, err)
		checkResigned(t, got, l.all[n%2].id, l.all[1-n%2].id)
		l.all[n%2].awaitEvents(EventJoined, 2+n/2)
	}
	l.check()
}

func TestResignRefused(t *testing.T) {
	t.Parallel()
	l := newLine(t, ids("a b c c"))
	foreign := l.abs(l.latch) + "/_c_0b6a2b5c-0d5f-4c3e-9a53-1f0e5d3c2b1a-latch-"
	_, err := l.eye.Create(foreign, []byte("curator"), zk.FlagEphemeralSequential, zk.WorldACL(zk.PermAll))
	noError(t, err)
	last := contend(t, l.steady("z"))
	last.awaitEvent(EventWaiting)
	l.all = append(l.all, last)
	for _, test := range []struct {
		what string
		cfg  ResignConfig
		want error
	}{
		{"another id leads", ResignConfig{ID: "b"}, ErrNoLeader},
		{"unknown", ResignConfig{To: "nobody"}, ErrRefused},
		{"ambiguous", ResignConfig{To: "c"}, ErrRefused},
		{"leads already", ResignConfig{To: "a"}, ErrRefused},
		{"past a Curator participant", ResignConfig{To: "z"}, ErrRefused},
		{"past a Curator participant, by node", ResignConfig{To: last.awaitEvent(EventJoined).attr("node").String()}, ErrRefused},
		{"force cannot choose", ResignConfig{To: "b", Force: true}, ErrConfig},
	} {
		if got, err := l.resign(test.cfg); !errors.Is(err, test.want) || got != nil {
			t.Errorf("%s: %+v, %v; want %v", test.what, got, err, test.want)
		}
	}
	l.untouched("a b c c curator z")

	// To Curator itself there is nobody in between but zkelects.
	got, err := l.resign(ResignConfig{To: "curator"})
	noError(t, err)
	checkResigned(t, got, "a", "curator")
	// It takes no request.
	if got, err := l.resign(ResignConfig{}); !errors.Is(err, ErrRefused) {
		t.Errorf("a Curator leader: %+v, %v", got, err)
	}
	l.check()
}

func TestResignWithoutSuccessor(t *testing.T) {
	t.Parallel()
	l := newLine(t, ids("a"))
	if got, err := l.resign(ResignConfig{}); !errors.Is(err, ErrRefused) {
		t.Errorf("%+v, %v", got, err)
	}
	l.untouched("a")
	got, err := l.resign(ResignConfig{NoSuccessor: true})
	noError(t, err)
	checkResigned(t, got, "a", "")
	if got, err := l.resign(ResignConfig{NoSuccessor: true}); !errors.Is(err, ErrNoLeader) {
		t.Errorf("%+v, %v", got, err)
	}
	l.awaitEmpty()
}

// TestTransferPastFive: those before the target step aside, it keeps its node,
// and the leader leads until the target is next.
func TestTransferPastFive(t *testing.T) {
	t.Parallel()
	for _, byNode := range []bool{false, true} {
		t.Run(fmt.Sprintf("by node %v", byNode), func(t *testing.T) {
			t.Parallel()
			repeated(t, func(t *testing.T) {
				l := newLine(t, ids("a 1 2 3 4 5 target behind"))
				target := l.participants()[6].name
				cfg := ResignConfig{To: "target"}
				if byNode {
					cfg.To = target
				}
				got, err := l.resign(cfg)
				noError(t, err)
				checkResigned(t, got, "a", "target")
				w := l.all[6].awaitWork(0)
				if path.Base(w.term.Node) != target {
					t.Errorf("the target had %s and leads with %s", target, w.term.Node)
				}
				if out, err := l.all[0].awaitEnd(); out.Cause != CauseResigned || err != nil {
					t.Errorf("who resigned ended with %+v, %v", out, err)
				}
				awaitTrue(t, "all are in the queue again", func() bool { return len(l.order()) == 7 })
				now := l.order()
				slices.Sort(now[2:]) // in which order they step aside is open
				if got := strings.Join(now, " "); got != "target behind 1 2 3 4 5" {
					t.Errorf("the queue is %s", got)
				}
				for n := range l.all { // the token rises on and on
					if n > 0 {
						turn := slices.IndexFunc(l.all, func(p *participant) bool { return p.id == l.order()[0] })
						l.all[turn].awaitWork(0)
						l.all[turn].leave()
					}
				}
				l.check()
				l.awaitEmpty()
			})
		})
	}
}

// TestTransfersAtOnce: only the oldest is honoured for a term; the other
// ends with a word that says so.
func TestTransfersAtOnce(t *testing.T) {
	t.Parallel()
	repeated(t, func(t *testing.T) {
		l := newLine(t, ids("a b c d"))
		type answer struct {
			to  string
			got *Resigned
			err error
		}
		answers := make(chan answer, 2)
		for _, to := range []string{"c", "d"} {
			go func() {
				got, err := l.resign(ResignConfig{To: to})
				answers <- answer{to, got, err}
			}()
		}
		won := ""
		for range 2 {
			switch a := <-answers; {
			case a.err == nil && won == "":
				won = a.to
				checkResigned(t, a.got, "a", a.to)
			case a.err == nil:
				t.Errorf("both %s and %s won", won, a.to)
			case !errors.Is(a.err, ErrOtherSuccessor) && !errors.Is(a.err, ErrRefused) && !errors.Is(a.err, ErrNoLeader):
				t.Errorf("to %s: %v", a.to, a.err)
			}
		}
		if won == "" {
			t.Fatal("neither won")
		}
		turn := slices.IndexFunc(l.all, func(p *participant) bool { return p.id == won })
		w := l.all[turn].awaitWork(0)
		if r := l.record(); !r.names(path.Base(w.term.Node)) || r.Term.Begun != nil {
			t.Errorf("the record: %+v", r.Term)
		}
		l.check()
	})
}

// TestResignAndTransfer at once: a plain request is fulfilled by any end of the
// term, a transfer by its target's term alone.
func TestResignAndTransfer(t *testing.T) {
	t.Parallel()
	repeated(t, func(t *testing.T) {
		l := newLine(t, ids("a b c"))
		plain := make(chan error, 1)
		go func() {
			_, err := l.resign(ResignConfig{ID: "a"})
			plain <- err
		}()
		got, err := l.resign(ResignConfig{To: "c"})
		if perr := <-plain; perr != nil && !errors.Is(perr, ErrNoLeader) {
			t.Errorf("plain: %v", perr)
		}
		leads := l.order()[0]
		switch {
		case err == nil:
			checkResigned(t, got, *got.Old, "c")
		case !errors.Is(err, ErrOtherSuccessor) && !errors.Is(err, ErrRefused):
			t.Errorf("transfer: %v", err)
		case errors.Is(err, ErrOtherSuccessor) && leads == "c":
			t.Errorf("c leads: %v", err)
		}
		l.check()
	})
}
