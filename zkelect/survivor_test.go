package zkelect

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"zkelect/zkelect/zktest"
)

// elector is a candidate that is to die.
type elector struct {
	*election
	c    *Candidate
	name string // of its queue node
	will will
}

// joined is a candidate that stands in the queue and has a guard.
func (e *election) joined(cfg CandidateConfig) *elector {
	e.t.Helper()
	c, err := NewCandidate(cfg)
	noError(e.t, err)
	ctx := e.t.Context()
	noError(e.t, c.ensureSession(ctx))
	e.t.Cleanup(func() { c.sess.close(0) })
	noError(e.t, c.place.prepare(ctx, c.sess))
	name, err := c.join(ctx, newUUID(false))
	noError(e.t, err)
	a := &elector{election: e, c: c, name: name}
	noError(e.t, json.Unmarshal(c.will(name), &a.will))
	return a
}

// opened is a candidate whose term is open.
func (e *election) opened(cfg CandidateConfig) *elector {
	e.t.Helper()
	a := e.joined(cfg)
	_, err := a.c.open(e.t.Context(), a.name, turn{})
	noError(e.t, err)
	return a
}

// die is what the servers see of a SIGKILL: a connection that ends. The session
// and its nodes live on for 20 s.
func (a *elector) die() { a.c.sess.close(0) }

// survived executes the will, in good time.
func (a *elector) survived() {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(a.t.Context(), harnessPatience)
	defer cancel()
	began := time.Now()
	noError(a.t, execute(ctx, a.will))
	a.t.Logf("the survivor took %v", time.Since(began))
}

// heir waits in the queue behind.
func (a *elector) heir(cfg CandidateConfig) *participant {
	a.t.Helper()
	b := contend(a.t, cfg)
	b.awaitEvent(EventWaiting)
	return b
}

// leads waits for the heir's work. That a survivor, and no expiry, has made way
// for it is known from the time.
func (a *elector) leads(b *participant, since time.Time) {
	a.t.Helper()
	b.awaitWork(0)
	took := time.Since(since)
	a.t.Logf("the next one led after %v", took)
	if took > a.will.Timeout/2 {
		a.t.Errorf("the next one led after %v: by the end of a session", took)
	}
}

// mustBeClosed looks at what the survivor has left.
func (a *elector) mustBeClosed() *record {
	a.t.Helper()
	for _, n := range a.participants() {
		if n.name == a.name {
			a.t.Errorf("the queue node %s stands", n.name)
		}
	}
	if live := a.see(a.live); live != nil && live.data == a.name {
		a.t.Error("live stands")
	}
	rec := a.record()
	if rec.names(a.name) && !rec.Term.Clean {
		a.t.Errorf("the term counts as unclean: %s", rec.encode())
	}
	return rec
}

// mustHaveDied is mustBeClosed for a term that was open.
func (a *elector) mustHaveDied() {
	a.t.Helper()
	rec := a.mustBeClosed()
	l := rec.Last
	if l == nil || l.ID != a.c.cfg.ID || l.Cause != CauseDied || l.ExitCode != nil || l.Since == nil || l.Until == nil {
		a.t.Errorf("how it ended: %s", rec.encode())
	}
}

// An elector dies in its term; its survivor closes it, and the next one leads.
func TestSurvivorCloses(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*CandidateConfig){
		"open": func(*CandidateConfig) {},
		"with credentials": func(c *CandidateConfig) {
			c.Auth = &Auth{Scheme: "digest", Secret: []byte("alice:s3cret")}
		},
		"private": func(c *CandidateConfig) {
			c.Auth, c.ACL = &Auth{Scheme: "digest", Secret: []byte("alice:s3cret")}, ACLPrivate
		},
		"no chroot": func(c *CandidateConfig) { // as far as the participants know
			server, chroot, _ := strings.Cut(c.Servers, "/")
			c.Servers, c.Path = server, "/"+chroot+c.Path
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			repeated(t, func(t *testing.T) {
				e := newElection(t, zktest.Shared(t))
				noError(t, e.eye.AddAuth("digest", []byte("super:zktest")))
				cfg := e.steady("a")
				change(&cfg)
				a := e.opened(cfg)
				cfg.ID = "b"
				b := a.heir(cfg)
				since := time.Now()
				a.die()
				a.survived()
				a.leads(b, since)
				b.c.Stop(0)
				b.awaitEnd()
				if rec := e.record(); len(rec.Unclean) != 0 || rec.Last.ID != "b" {
					t.Errorf("record %s", rec.encode())
				}
			})
		})
	}
}

// What status shows of it.
func TestSurvivorIsSeen(t *testing.T) {
	t.Parallel()
	e := newElection(t, zktest.Shared(t))
	a := e.opened(e.steady("a"))
	a.die()
	a.survived()
	a.mustHaveDied()
	i, err := Open(t.Context(), e.steady("eye").Config)
	noError(t, err)
	defer i.Close()
	s, err := i.Inspect(t.Context(), e.latch)
	noError(t, err)
	if s.Leader != nil || len(s.Participants) != 0 || s.Last == nil || s.Last.ID != "a" || s.Last.Cause != "died" {
		t.Errorf("status: %+v, last %+v", s, s.Last)
	}
}

// What others did to the nodes does not keep a survivor from closing.
func TestSurvivorFindsNodesGone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		gone func(*elector) []string
		died bool
	}{
		"queue node": {func(a *elector) []string { return []string{a.node(a.name)} }, true},
		"live":       {func(a *elector) []string { return []string{a.live} }, true},
		// Then the heir opens before the survivor comes, and cannot know.
		"both":                {func(a *elector) []string { return []string{a.node(a.name), a.live} }, false},
		"side node":           {func(a *elector) []string { return []string{a.live, a.requests, a.transfer, a.side} }, false},
		"side and queue node": {func(a *elector) []string { return []string{a.live, a.requests, a.transfer, a.side, a.node(a.name)} }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newElection(t, zktest.Shared(t))
			a := e.opened(e.steady("a"))
			b := a.heir(e.steady("b"))
			a.die()
			for _, path := range c.gone(a) {
				noError(t, e.eye.Delete(e.abs(path), -1))
			}
			since := time.Now()
			a.survived()
			a.leads(b, since)
			b.leave()
			e.awaitEmpty()
			if rec := e.record(); c.died && len(rec.Unclean) != 0 {
				t.Errorf("record %s", rec.encode())
			}
		})
	}
	// Before the heir's opening it is the record that tells.
	e := newElection(t, zktest.Shared(t))
	a := e.opened(e.steady("a"))
	a.die()
	noError(t, e.eye.Delete(e.abs(e.node(a.name)), -1))
	a.survived()
	a.mustHaveDied()
}

// A survivor leaves a later term alone, whoever's it is, and terms that an
// earlier one has left open stay in the list.
func TestSurvivorTouchesNothingOfOthers(t *testing.T) {
	t.Parallel()
	t.Run("another's term", func(t *testing.T) {
		t.Parallel()
		e := newElection(t, zktest.Shared(t))
		a := e.opened(e.steady("a"))
		b := a.heir(e.steady("b"))
		a.die()
		a.survived()
		w := b.awaitWork(0)
		e.mustStand(true, "b")
		before := e.see(e.side).stat.Version
		a.survived() // comes again, with all that it could do wrong
		time.Sleep(100 * time.Millisecond)
		e.mustStand(true, "b")
		if now := e.see(e.side).stat.Version; now != before || !w.alive() {
			t.Errorf("version %d after %d, work alive: %v", now, before, w.alive())
		}
		if rec := e.record(); rec.Last.Cause != CauseDied {
			t.Errorf("record %s", rec.encode())
		}
	})
	t.Run("still in the queue", func(t *testing.T) {
		t.Parallel()
		e := newElection(t, zktest.Shared(t))
		b := contend(t, e.steady("b"))
		b.awaitWork(0)
		a := e.joined(e.steady("a")) // it waits, and its guard stands
		before := e.see(e.side).stat.Version
		a.die()
		a.survived()
		e.mustStand(true, "b")
		if now := e.see(e.side).stat.Version; now != before {
			t.Error("it wrote the record")
		}
	})
	t.Run("closed already", func(t *testing.T) {
		t.Parallel()
		e := newElection(t, zktest.Shared(t))
		a := e.opened(e.steady("a"))
		rec := e.record()
		noError(t, a.c.closeTerm(t.Context(), &term{sess: a.c.sess, name: a.name, unanswered: time.Second}, conclusion{endRecord: endRecord{ID: "a", Cause: CauseExited}}))
		a.die()
		a.survived()
		if now := a.mustBeClosed(); now.Last.Cause != CauseExited {
			t.Errorf("record %s after %s", now.encode(), rec.encode())
		}
	})
	t.Run("unclean terms", func(t *testing.T) {
		t.Parallel()
		e := newElection(t, zktest.Shared(t))
		a := e.joined(e.steady("a"))
		rec := e.record()
		rec.Unclean = []termRecord{{Node: "_c_x-latch-0000000001", ID: "x", Lease: 1}, {Node: "_c_y-latch-0000000002", ID: "y", Lease: 60_000}}
		_, err := e.eye.Set(e.abs(e.side), rec.encode(), -1)
		noError(t, err)
		_, err = a.c.open(t.Context(), a.name, turn{})
		noError(t, err)
		time.Sleep(20 * time.Millisecond) // longer than the shorter lease
		a.die()
		a.survived()
		a.mustHaveDied()
		if now := e.record(); len(now.Unclean) != 2 {
			t.Errorf("record %s", now.encode())
		}
	})
}

// Where the record cannot be understood nothing is done.
func TestSurvivorGivesUpOnGarbage(t *testing.T) {
	t.Parallel()
	for _, garbage := range []string{"hello", `{"format":2,"recipe":"latch"}`, `{"format":1,"recipe":"kazoo"}`} {
		e := newElection(t, zktest.Shared(t))
		a := e.opened(e.steady("a"))
		_, err := e.eye.Set(e.abs(e.side), []byte(garbage), -1)
		noError(t, err)
		a.die()
		if err := execute(t.Context(), a.will); !errors.Is(err, ErrNode) && !errors.Is(err, ErrUnsafe) {
			t.Errorf("%q: %v", garbage, err)
		}
		if e.see(e.side).data != garbage || e.see(e.live) == nil || len(e.participants()) != 1 {
			t.Errorf("%q: it did something", garbage)
		}
	}
	e := newElection(t, zktest.Shared(t))
	a := e.opened(e.steady("a"))
	a.die()
	for _, recipe := range []string{"plain", "", "later"} {
		a.will.Recipe = recipe
		if err := execute(t.Context(), a.will); (err == nil) != (recipe == "plain") {
			t.Errorf("recipe %q: %v", recipe, err)
		}
		e.mustStand(true, "a")
	}
}

// A survivor without the rights of its elector does nothing, and says nothing
// of the credentials that it has.
func TestSurvivorMayNot(t *testing.T) {
	t.Parallel()
	e := newElection(t, zktest.Shared(t))
	noError(t, e.eye.AddAuth("digest", []byte("super:zktest")))
	cfg := e.steady("a")
	cfg.Auth, cfg.ACL = &Auth{Scheme: "digest", Secret: []byte("alice:s3cret")}, ACLCreator
	a := e.opened(cfg)
	a.die()
	a.will.Auth = &Auth{Scheme: "digest", Secret: []byte("mallory:gu3ss")}
	if err := execute(t.Context(), a.will); err == nil || strings.Contains(err.Error(), "gu3ss") {
		t.Errorf("%v", err)
	}
	if _, _, err := e.eye.Get(e.abs(e.live)); errors.Is(err, zk.ErrNoNode) {
		t.Error("live is gone")
	}
}

// The will of an elector that was about to make its node names it by its UUID alone.
func TestSurvivorFindsItsNode(t *testing.T) {
	t.Parallel()
	numbers := "0123456789"
	for name, test := range map[string]func(*elector){
		"open": func(a *elector) {
			b := a.heir(a.steady("b"))
			since := time.Now()
			a.die()
			a.survived()
			a.leads(b, since)
			a.mustHaveDied()
		},
		"queue node gone": func(a *elector) {
			noError(a.t, a.eye.Delete(a.abs(a.node(a.name)), -1))
			a.die()
			a.survived()
			a.mustHaveDied()
			if a.see(a.live) != nil {
				a.t.Error("live stands")
			}
		},
		"another's UUID": func(a *elector) {
			a.will.Node = a.c.cfg.Recipe.prefix(newUUID(false))
			before := string(a.record().encode())
			a.survived()
			if after := string(a.record().encode()); after != before || a.see(a.node(a.name)) == nil || a.see(a.live) == nil {
				a.t.Errorf("%s\nbecame %s", before, after)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newElection(t, zktest.Shared(t))
			a := e.opened(e.steady("a"))
			a.will.Node = strings.TrimRight(a.will.Node, numbers)
			test(a)
		})
	}
	t.Run("joined", func(t *testing.T) {
		t.Parallel()
		e := newElection(t, zktest.Shared(t))
		a := e.joined(e.steady("a"))
		a.will.Node = strings.TrimRight(a.will.Node, numbers)
		a.die()
		a.survived()
		a.mustBeClosed()
	})
}
