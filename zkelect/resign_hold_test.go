package zkelect

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"zkelect/zkelect/zktest"
)

// holdMulti is a write of the record beside a request, or alone.
func (e *election) holdMulti() func(zktest.Op) bool {
	sets := isMulti(part(zktest.SetData, e.abs(e.side)))
	return func(op zktest.Op) bool { return sets(op) && !op.Any(part(zktest.Create, e.abs(e.live))) }
}

func (e *election) clockMulti() func(zktest.Op) bool {
	return isMulti(part(zktest.Create, e.abs(e.side)+"/clock-"))
}

// Whatever answer of the holder's is lost: the election is held once, the term ends,
// and nobody leads until the hold is removed, once too.
func TestLostReplyOfAHold(t *testing.T) {
	t.Parallel()
	for _, kind := range lossKinds {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			soaked(t, func(t *testing.T) {
				e := newElection(t, zktest.Shared(t))
				a := contend(t, e.steady("a"))
				a.awaitWork(0)
				b := contend(t, e.steady("b"))
				b.awaitEvent(EventWaiting)

				way := newLossyPath(t, e.server, kind)
				cfg := e.resignConfig(way.addrs()...)
				cfg.SessionTimeout, cfg.Timeout = 8*time.Second, harnessPatience
				cfg.Hold = &HoldConfig{Reason: "lost"}
				before := e.see(e.side).stat.Version
				lost := way.arm(e.holdMulti())
				done, err := Resign(t.Context(), cfg)
				noError(t, err)
				lost.wait(t)
				checkResigned(t, done, "a", "")
				if out, err := a.awaitEnd(); err != nil || out.Cause != CauseResigned {
					t.Errorf("%+v, %v", out, err)
				}
				b.awaitEvent(EventHeld)
				lost.release()
				e.mustStand(false, "b")
				e.mustHaveNoRequests()
				if n := e.see(e.side).stat.Version - before; n != 2 {
					t.Errorf("the record was written %d times, not by a hold and a closing", n)
				}
				rec := e.record()
				if v := rec.Hold.view(); done.Hold == nil || v == nil || *v != *done.Hold {
					t.Errorf("held as %v, and the record says %v", done.Hold, v)
				}

				cfg.Hold, cfg.Unhold = nil, true
				lost = way.arm(e.holdMulti())
				done, err = Resign(t.Context(), cfg)
				noError(t, err)
				lost.wait(t)
				if done.Unheld == nil || done.Unheld.Reason != "lost" {
					t.Errorf("%+v was removed", done.Unheld)
				}
				b.awaitWork(0)
				lost.release()
				if rec := e.record(); rec.Hold != nil || !b.all()[0].alive() {
					t.Errorf("record %s", rec.encode())
				}
				checkExclusion(t, a, b)
			})
		})
	}
}

// The same of the question for the servers' time.
func TestLostReplyOfTheTime(t *testing.T) {
	t.Parallel()
	for _, kind := range lossKinds {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			e := newElection(t, zktest.Shared(t))
			cfg := e.resignConfig()
			cfg.Hold = &HoldConfig{For: 1500 * time.Millisecond}
			done, err := Resign(t.Context(), cfg)
			noError(t, err)
			way := newLossyPath(t, e.server, kind)
			lost := way.arm(e.clockMulti())
			mine := e.config("a", way.addrs()...)
			mine.SessionTimeout = 8 * time.Second
			a := contend(t, mine)
			a.awaitWork(0)
			lost.wait(t)
			lost.release()
			opened := e.see(e.live)
			if began := msTime(opened.stat.Ctime); began.Before(*done.Hold.Until) {
				t.Errorf("led from %v on, held until %v", began, done.Hold.Until)
			}
			names, _, err := e.eye.Children(e.abs(e.side))
			noError(t, err)
			if strings.Contains(strings.Join(names, " "), "clock") {
				t.Errorf("left in the side node: %v", names)
			}
			checkExclusion(t, a)
		})
	}
}

// Who dies right after the write has held the election all the same, and its leader
// ends: here the process of the holder is cut off for ever, and its session ends.
func TestHolderDies(t *testing.T) {
	t.Parallel()
	e := newElection(t, zktest.Shared(t))
	px := zktest.NewProxy(t, e.server.Addr())
	leader := e.config("a", px.Addr())
	leader.SessionTimeout = 20 * time.Second // it outlives that of the holder
	a := contend(t, leader)
	a.awaitWork(0)
	e.awaitHeartbeats(2, px)
	b := contend(t, e.steady("b"))
	b.awaitEvent(EventWaiting)
	way := zktest.NewProxy(t, e.server.Addr())
	written := way.CutReply(e.holdMulti())
	cfg := e.resignConfig(way.Addr())
	cfg.SessionTimeout, cfg.Hold = time.Second, &HoldConfig{}
	ctx, cancel := context.WithCancel(t.Context())
	px.Cut() // so that the leader hears of it when the request is gone
	failed := make(chan error, 1)
	go func() {
		_, err := Resign(ctx, cfg)
		failed <- err
	}()
	written.Wait(t, harnessPatience)
	way.Cut()
	cancel()
	var late *ResignTimeout
	if err := <-failed; !errors.As(err, &late) || late.State != Unknown {
		t.Errorf("the holder says %v", err)
	}
	awaitTrue(t, "the request is gone", func() bool { return len(e.pending()) == 0 })
	px.Heal()
	out, err := a.awaitEnd()
	noError(t, err)
	if out.Cause != CauseResigned {
		t.Errorf("%+v", out)
	}
	b.awaitEvent(EventHeld)
	e.mustStand(false, "b")
	checkExclusion(t, a, b)
}

// Two hold at once, and a leader comes and goes meanwhile: both have held it when they
// return, and one hold stands.
func TestTwoHolders(t *testing.T) {
	t.Parallel()
	repeated(t, func(t *testing.T) {
		e := newElection(t, zktest.Shared(t))
		var all []*participant
		for _, id := range []string{"a", "b"} {
			cfg := e.steady(id)
			cfg.Requeue, cfg.RequeueDelay = RequeueAlways, time.Millisecond
			all = append(all, contend(t, cfg))
		}
		w := nextWork(t, 0, all...)
		holders := make(chan error, 2)
		for _, reason := range []string{"one", "two"} {
			go func() {
				_, err := e.resign(ResignConfig{Hold: &HoldConfig{Reason: reason}})
				if err == nil && e.record().Hold == nil {
					err = errors.New("not held")
				}
				holders <- err
			}()
		}
		w.end(0, 0)
		noError(t, <-holders)
		noError(t, <-holders)
		started := len(all[0].all()) + len(all[1].all())
		time.Sleep(300 * time.Millisecond)
		if n := len(all[0].all()) + len(all[1].all()); n != started || e.see(e.live) != nil {
			t.Errorf("%d works were started in spite of the hold", n-started)
		}
		_, err := e.resign(ResignConfig{Unhold: true})
		noError(t, err)
		nextWork(t, started, all...)
		checkExclusion(t, all...)
	})
}

// Before anything is written it is refused: another program, another leader, rights.
func TestHoldRefused(t *testing.T) {
	t.Parallel()
	l := newLine(t, ids("a"))
	for _, test := range []struct {
		what string
		cfg  ResignConfig
		want error
	}{
		{"another id", ResignConfig{Hold: &HoldConfig{}, ID: "b"}, ErrNoLeader},
		{"a successor", ResignConfig{Hold: &HoldConfig{}, To: "b"}, ErrConfig},
		{"not held", ResignConfig{Unhold: true}, ErrNoHold},
		{"both", ResignConfig{Unhold: true, Hold: &HoldConfig{}}, ErrConfig},
		{"too long", ResignConfig{Hold: &HoldConfig{For: maxHold + 1}}, ErrConfig},
	} {
		if got, err := l.resign(test.cfg); !errors.Is(err, test.want) || got != nil {
			t.Errorf("%s: %+v, %v; want %v", test.what, got, err, test.want)
		}
	}
	foreign := l.abs(l.latch) + "/_c_0b6a2b5c-0d5f-4c3e-9a53-1f0e5d3c2b1a-latch-"
	name, err := l.eye.Create(foreign, []byte("curator"), zk.FlagEphemeralSequential, zk.WorldACL(zk.PermAll))
	noError(t, err)
	if got, err := l.resign(ResignConfig{Hold: &HoldConfig{}}); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "curator") {
		t.Errorf("%+v, %v", got, err)
	}
	noError(t, l.eye.Delete(name, -1))
	l.untouched("a")
	if l.record().Hold != nil {
		t.Error("it is held")
	}
	noError(t, l.eye.Delete(l.abs(l.requests), -1)) // by hand: it is made anew
	got, err := l.resign(ResignConfig{Hold: &HoldConfig{}})
	noError(t, err)
	checkResigned(t, got, "a", "")
	l.check()
}
