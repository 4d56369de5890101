package zkelect

import (
	"errors"
	"path"
	"testing"
	"time"

	"zkelect/zkelect/zktest"
)

// resignConfig is a request to resign through addrs, straight to the server
// where none is given.
func (e *election) resignConfig(addrs ...string) ResignConfig {
	return ResignConfig{Config: e.config("", addrs...).Config, Timeout: 10 * time.Second}
}

// mustHaveNoRequests tells of requests to resign that nobody has removed.
func (e *election) mustHaveNoRequests() {
	e.t.Helper()
	for _, dir := range []string{e.requests, e.transfer} {
		names, _, err := e.eye.Children(e.abs(dir))
		noError(e.t, err)
		if len(names) > 0 {
			e.t.Errorf("left in %s: %v", dir, names)
		}
	}
}

// lossOfResign is a request of somebody in a resignation that gets lost.
type lossOfResign struct {
	name   string
	whose  string // "leader", "aside" (the waiter that steps aside) or "resigner"
	to     bool   // it is a transfer past that waiter
	force  bool
	target func(*election) func(zktest.Op) bool
}

// loseInAResignation has the leader a resign, and the request of one of those
// who take part be lost.
func loseInAResignation(t *testing.T, kind lossKind, l lossOfResign) {
	e := newElection(t, zktest.Shared(t))
	way := newLossyPath(t, e.server, kind)
	via := map[string][]string{l.whose: way.addrs()}
	join := func(id, role string) *participant {
		cfg := e.config(id, via[role]...)
		cfg.SessionTimeout = 8 * time.Second
		return contend(t, cfg)
	}
	a := join("a", "leader")
	a.awaitWork(0)
	b := join("b", "aside")
	b.awaitEvent(EventWaiting)
	c := join("c", "")
	c.awaitEvent(EventWaiting)
	e.mustStand(true, "a", "b", "c")

	if l.whose == "leader" {
		way.awaitHeartbeats(e, 3)
	}
	lost := way.arm(l.target(e))
	cfg := e.resignConfig(via["resigner"]...)
	cfg.SessionTimeout, cfg.Force = 8*time.Second, l.force
	next, last := b, c
	if l.to {
		cfg.To, next, last = "c", c, b
	}
	done, err := Resign(t.Context(), cfg)
	noError(t, err)
	lost.wait(t)
	if *done.Old != "a" || done.New == nil || *done.New != next.id {
		t.Fatalf("resigned from %s to %v", *done.Old, done.New)
	}
	out, err := a.awaitEnd()
	noError(t, err)
	if want := map[bool]Cause{true: CauseLost, false: CauseResigned}[l.force]; out.Cause != want {
		t.Errorf("the leader ended by %q, not %q", out.Cause, want)
	}
	work := next.awaitWork(0)
	lost.release()
	awaitTrue(t, "the last one waits", func() bool { return len(e.participants()) == 2 })
	e.mustStand(true, next.id, last.id)
	e.mustHaveNoRequests()
	if !work.alive() || len(last.events(EventExpired))+len(next.events(EventExpired)) > 0 {
		t.Error("the lost request cost a session or the next term")
	}
	next.leave()
	last.awaitWork(0)
	e.mustStand(true, last.id)
	checkExclusion(t, a, b, c)
	last.leave()
	e.awaitEmpty()
}

func TestLostReplyInAResignation(t *testing.T) {
	t.Parallel()
	for _, l := range []lossOfResign{
		{name: "request", whose: "resigner", target: (*election).requestCreate},
		{name: "mark", whose: "leader", target: (*election).markMulti},
		{name: "closing", whose: "leader", target: (*election).closingMulti},
		{name: "transfer request", whose: "resigner", to: true, target: (*election).requestCreate},
		{name: "transfer mark", whose: "leader", to: true, target: (*election).markMulti},
		{name: "stepping aside", whose: "aside", to: true, target: (*election).asideMulti},
		{name: "joining again", whose: "aside", to: true, target: (*election).queueCreate},
		{name: "forced delete", whose: "resigner", force: true, target: (*election).queueDelete},
		{name: "closing after force", whose: "leader", force: true, target: (*election).closingMulti},
	} {
		for _, kind := range lossKinds {
			t.Run(l.name+"/"+kind.name, func(t *testing.T) {
				t.Parallel()
				soaked(t, func(t *testing.T) { loseInAResignation(t, kind, l) })
			})
		}
	}
}

// markTime is how long a resigner waits where the leader is to see the request first,
// on a busy machine too.
const markTime = 2 * time.Second

// deafLeader leads behind a proxy of its own, with a session that outlives a cut
// of a few seconds, and a grace that outlives markTime.
func deafLeader(t *testing.T, e *election, plan workPlan) (*participant, *stampedWork, *zktest.Proxy) {
	t.Helper()
	px := zktest.NewProxy(t, e.server.Addr())
	cfg := e.config("a", px.Addr())
	cfg.SessionTimeout, cfg.StopTimeout = 12*time.Second, markTime+time.Second
	a := contend(t, cfg, plan)
	return a, a.awaitWork(0), px
}

// A request that the leader did not begin in time is withdrawn, whatever answer
// of that is lost, and the leader goes on.
func TestLostReplyOfAWithdrawal(t *testing.T) {
	t.Parallel()
	for _, kind := range lossKinds {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			e := newElection(t, zktest.Shared(t))
			a, work, px := deafLeader(t, e, workPlan{})
			b := contend(t, e.steady("b"))
			b.awaitEvent(EventWaiting)

			way := newLossyPath(t, e.server, kind)
			lost := way.arm(e.withdrawMulti())
			cfg := e.resignConfig(way.addrs()...)
			cfg.Timeout = time.Second
			px.Cut()
			_, err := Resign(t.Context(), cfg)
			px.Heal()
			lost.wait(t)
			lost.release()
			var timeout *ResignTimeout
			if !errors.As(err, &timeout) || timeout.State != Withdrawn {
				t.Fatalf("%v is no withdrawal", err)
			}
			awaitTrue(t, "no request is left", func() bool {
				names, _, err := e.eye.Children(e.abs(e.requests))
				return err == nil && len(names) == 0
			})
			time.Sleep(time.Second)
			e.mustStand(true, "a", "b")
			if work.stopped.Load() != 0 || e.record().Term.Begun != nil {
				t.Fatal("the leader honoured a request that was withdrawn")
			}
			_, err = Resign(t.Context(), e.resignConfig())
			noError(t, err)
			b.awaitWork(0)
			checkExclusion(t, a, b)
		})
	}
}

// The mark that a request is honoured is under way when the request is
// withdrawn. It must not be executed any more.
func TestMarkMeetsAWithdrawal(t *testing.T) {
	t.Parallel()
	e := newElection(t, zktest.Shared(t))
	a, work, px := deafLeader(t, e, workPlan{})
	b := contend(t, e.steady("b"))
	b.awaitEvent(EventWaiting)
	mark := px.CutBefore(e.markMulti())
	cfg := e.resignConfig()
	cfg.Timeout = markTime
	_, err := Resign(t.Context(), cfg)
	mark.Wait(t, harnessPatience)
	px.Heal()
	var timeout *ResignTimeout
	if !errors.As(err, &timeout) || timeout.State != Withdrawn {
		t.Fatalf("%v is no withdrawal", err)
	}
	time.Sleep(1500 * time.Millisecond)
	e.mustStand(true, "a", "b")
	if work.stopped.Load() != 0 || e.record().Term.Begun != nil {
		t.Fatal("the leader honoured a request that was withdrawn")
	}
	checkExclusion(t, a, b)
}

// The mark stands, but the leader has no answer to it. A resigner whose time is
// over says that it has begun, and a begun term ends, whoever dies.
func TestMarkWithoutAnswerEndsTheTerm(t *testing.T) {
	t.Parallel()
	e := newElection(t, zktest.Shared(t))
	a, work, px := deafLeader(t, e, workPlan{StopTakes: markTime + 500*time.Millisecond})
	b := contend(t, e.steady("b"))
	b.awaitEvent(EventWaiting)
	mark := px.HoldReply(e.markMulti())
	cfg := e.resignConfig()
	cfg.Timeout = markTime
	_, err := Resign(t.Context(), cfg)
	mark.Wait(t, harnessPatience)
	var timeout *ResignTimeout
	if !errors.As(err, &timeout) || timeout.State != Begun {
		t.Fatalf("%v does not say that it has begun", err)
	}
	out, err := a.awaitEnd()
	noError(t, err)
	if out.Cause != CauseResigned || work.stopped.Load() == 0 {
		t.Errorf("the leader ended by %q", out.Cause)
	}
	b.awaitWork(0)
	if last := e.record().Last; last == nil || last.Cause != CauseResigned || last.ID != "a" {
		t.Errorf("the record says of the last term: %+v", last)
	}
	checkExclusion(t, a, b)
}

// Two resigners ask at once and each loses its reply: one term ends, not two.
func TestTwoResignersWithLostReplies(t *testing.T) {
	t.Parallel()
	e := newElection(t, zktest.Shared(t))
	var all []*participant
	for _, id := range []string{"a", "b", "c"} {
		p := contend(t, e.steady(id))
		p.awaitEvent(EventJoined)
		all = append(all, p)
	}
	all[0].awaitWork(0)
	results := make(chan error, 2)
	for range 2 {
		way := newLossyPath(t, e.server, lossKinds[0])
		way.arm(e.requestCreate())
		go func() {
			done, err := Resign(t.Context(), e.resignConfig(way.addrs()...))
			if err == nil && *done.New != "b" {
				err = errors.New("led by " + *done.New)
			}
			results <- err
		}()
	}
	noError(t, <-results)
	noError(t, <-results)
	work := all[1].awaitWork(0)
	time.Sleep(300 * time.Millisecond)
	if !work.alive() {
		t.Error("one request too many was honoured")
	}
	if node := e.participants()[0].name; path.Base(work.term.Node) != node {
		t.Errorf("%s leads, not %s", node, work.term.Node)
	}
	e.mustHaveNoRequests()
	checkExclusion(t, all...)
}
