package zkelect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"zkelect/zkelect/zktest"
)

// behindOneThatHangs is a line of a leader, a waiter that is cut off and so does
// not step aside, and a target.
func behindOneThatHangs(t *testing.T) (*line, *zktest.Proxy) {
	t.Helper()
	var px *zktest.Proxy
	l := newLine(t, func(e *election) []CandidateConfig {
		px = zktest.NewProxy(t, e.server.Addr())
		return []CandidateConfig{e.steady("a"), e.steady("hangs", px.Addr()), e.steady("target")}
	})
	px.Cut()
	return l, px
}

// later calls resign in the background and returns when its request stands.
func (e *election) later(cfg ResignConfig) <-chan error {
	e.t.Helper()
	done := make(chan error, 1)
	go func() {
		_, err := e.resign(cfg)
		done <- err
	}()
	awaitTrue(e.t, "the request", func() bool { return len(e.pending()) > 0 })
	return done
}

func TestTransferToOneThatDies(t *testing.T) {
	t.Parallel()
	l, px := behindOneThatHangs(t)
	done := l.later(ResignConfig{To: "target"})
	l.all[2].c.Kill()
	if err := <-done; !errors.Is(err, ErrRefused) {
		t.Error(err)
	}
	px.Heal()
	l.untouched("a hangs")
	l.check()
}

func TestTransferThatIsTooLate(t *testing.T) {
	t.Parallel()
	l, px := behindOneThatHangs(t)
	got, err := l.resign(ResignConfig{To: "target", Timeout: 500 * time.Millisecond})
	var late *ResignTimeout
	if !errors.As(err, &late) || late.State != Withdrawn || got != nil {
		t.Errorf("%+v, %v", got, err)
	}
	px.Heal()
	l.untouched("a hangs target")
	l.check()
}

// TestResignerThatDies before the leader has begun has withdrawn.
func TestResignerThatDies(t *testing.T) {
	t.Parallel()
	l, px := behindOneThatHangs(t)
	mortal := zktest.Dial(t, 5*time.Second, l.server.Addr())
	data, err := json.Marshal(request{Format: recordFormat, Term: path.Base(l.w.term.Node), To: l.participants()[2].name, By: "mortal"})
	noError(t, err)
	_, err = mortal.Create(l.abs(l.transfer)+"/dies", data, zk.FlagEphemeral, zk.WorldACL(zk.PermAll))
	noError(t, err)
	mortal.Close()
	px.Heal()
	l.untouched("a hangs target")
	l.check()
}

func TestResignThatIsCancelled(t *testing.T) {
	t.Parallel()
	l, px := behindOneThatHangs(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := Resign(ctx, ResignConfig{Config: l.config("").Config, To: "target"})
		done <- err
	}()
	awaitTrue(t, "the request", func() bool { return len(l.pending()) > 0 })
	cancel()
	if err := <-done; err == nil {
		t.Error("no error")
	}
	px.Heal()
	l.untouched("a hangs target")
	l.check()
}

// TestResignerThatLosesItsSession asks again in the next one, also where the
// first one went before it had an answer.
func TestResignerThatLosesItsSession(t *testing.T) {
	t.Parallel()
	for _, answered := range []bool{true, false} {
		t.Run(fmt.Sprintf("answered %v", answered), func(t *testing.T) {
			t.Parallel()
			l, hung := behindOneThatHangs(t)
			px := zktest.NewProxy(t, l.server.Addr())
			told := &eventLog{t: t, who: "resigner"}
			t.Cleanup(told.show)
			cfg := ResignConfig{Config: l.config("", px.Addr()).Config, To: "target"}
			cfg.SessionTimeout, cfg.Observer = 1500*time.Millisecond, told.observe
			asks := zktest.On(l.abs(l.transfer), zktest.Create)
			held := px.HoldReply(asks)
			if answered {
				held.Cancel()
			}
			done := make(chan error, 1)
			go func() {
				_, err := Resign(t.Context(), cfg)
				done <- err
			}()
			asked := func() bool {
				select {
				case err := <-done:
					t.Fatalf("it gave up: %v", err)
				default:
				}
				return len(l.pending()) == 1
			}
			awaitTrue(t, "the request", asked)
			if answered {
				awaitTrue(t, "the answer", func() bool { all := px.Requests(nil); return !asks(all[len(all)-1].Op) })
			}
			px.Cut()
			awaitTrue(t, "the request went with its session", func() bool { return !asked() })
			px.Heal()
			awaitTrue(t, "the request again", asked)
			hung.Heal()
			noError(t, <-done)
			l.all[2].awaitWork(0)
			l.check()
		})
	}
}

// ledFromBehind is a line whose leader is behind a proxy.
func ledFromBehind(t *testing.T, timeout time.Duration, plan ...workPlan) (*line, *zktest.Proxy) {
	t.Helper()
	var px *zktest.Proxy
	l := newLine(t, func(e *election) []CandidateConfig {
		px = zktest.NewProxy(t, e.server.Addr())
		leader := e.config("a", px.Addr())
		leader.SessionTimeout, leader.StopTimeout = timeout, 3*time.Second
		return []CandidateConfig{leader, e.steady("b"), e.steady("c")}
	}, plan...)
	return l, px
}

// TestResignUnanswered: the leader cannot answer in time, so the request is
// withdrawn, and it stays withdrawn when the leader is back.
func TestResignUnanswered(t *testing.T) {
	t.Parallel()
	for _, to := range []string{"", "b"} {
		t.Run("to "+to, func(t *testing.T) {
			t.Parallel()
			l, px := ledFromBehind(t, 20*time.Second)
			l.awaitHeartbeats(2, px)
			px.Cut()
			got, err := l.resign(ResignConfig{To: to, Timeout: 700 * time.Millisecond})
			var late *ResignTimeout
			if !errors.As(err, &late) || late.State != Withdrawn || got != nil {
				t.Errorf("%+v, %v", got, err)
			}
			px.Heal()
			l.awaitHeartbeats(2, px)
			l.untouched("a b c")
			l.check()
		})
	}
}

// TestResignThatTakesLong: the leader has begun, and its work ignores Stop.
func TestResignThatTakesLong(t *testing.T) {
	t.Parallel()
	l, _ := ledFromBehind(t, 10*time.Second, workPlan{StopTakes: -1})
	// Less than the grace of 3 s, and time enough for a busy machine to begin.
	got, err := l.resign(ResignConfig{Timeout: 2 * time.Second})
	var late *ResignTimeout
	if !errors.As(err, &late) || late.State != Begun || got != nil {
		t.Errorf("%+v, %v", got, err)
	}
	if r := l.record(); r.Term.ID == "a" && r.Term.Begun == nil {
		t.Errorf("the record does not say so: %+v", r.Term)
	}
	// A stop that has begun is never taken back. A second request is for the
	// same term, and waits for its end.
	got, err = l.resign(ResignConfig{})
	noError(t, err)
	checkResigned(t, got, "a", "b")
	if grace := time.Duration(l.w.killed.Load() - l.w.stopped.Load()); grace < 2900*time.Millisecond {
		t.Errorf("the grace was %v", grace)
	}
	l.all[1].awaitWork(0)
	l.check()
}

// TestResignWhoseLeaderDies: the term ends, for whatever reason, and that was
// asked for.
func TestResignWhoseLeaderDies(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		cfg  ResignConfig
		next string
	}{
		"plain":      {ResignConfig{}, "b"},
		"by id":      {ResignConfig{ID: "a"}, "b"},
		"to b":       {ResignConfig{To: "b"}, "b"},
		"to another": {ResignConfig{To: "c"}, "c"}, // b has stepped aside
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, px := ledFromBehind(t, 8*time.Second)
			px.Cut()
			got, err := l.resign(test.cfg)
			noError(t, err)
			checkResigned(t, got, "a", test.next)
			l.check()
		})
	}
}

// TestTransferOvertaken: the leader ends by itself before the target is next.
func TestTransferOvertaken(t *testing.T) {
	t.Parallel()
	l, px := behindOneThatHangs(t)
	done := l.later(ResignConfig{To: "target"})
	l.all[0].leave()
	px.Heal()
	if err := <-done; !errors.Is(err, ErrOtherSuccessor) {
		t.Error(err)
	}
	l.all[1].awaitWork(0)
	l.check()
}

// TestTransferToOneThatDiesTooLate: once begun the term ends in any case, so the
// resigner waits for its end and says who leads instead.
func TestTransferToOneThatDiesTooLate(t *testing.T) {
	t.Parallel()
	l, _ := ledFromBehind(t, 10*time.Second, workPlan{StopTakes: -1})
	done := l.later(ResignConfig{To: "b"})
	awaitTrue(t, "the leader has begun", func() bool { r := l.record(); return r.Term.Begun != nil })
	l.all[1].c.Kill()
	if err := <-done; !errors.Is(err, ErrOtherSuccessor) {
		t.Error(err)
	}
	if l.w.alive() {
		t.Error("the term is not over")
	}
	l.all[2].awaitWork(0)
	l.check()
}
