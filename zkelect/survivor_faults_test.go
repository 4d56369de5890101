package zkelect

import (
	"context"
	"errors"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"zkelect/zkelect/zktest"
)

// openingHeld is an elector that dies while its opening is under way: it has
// left, over px, and comes to the server when px heals.
func openingHeld(t *testing.T, e *election) (a *elector, px *zktest.Proxy) {
	t.Helper()
	px = zktest.NewProxy(t, e.server.Addr())
	a = e.joined(e.steady("a", px.Addr()))
	held := px.CutBefore(e.opening())
	opened := make(chan error, 1)
	go func() {
		_, err := a.c.open(t.Context(), a.name, turn{})
		opened <- err
	}()
	held.Wait(t, harnessPatience)
	a.die()
	if err := <-opened; !errors.Is(err, errSessionLost) {
		t.Fatalf("opening: %v", err)
	}
	a.will.Servers = e.connect()
	return a, px
}

// An opening that comes to the servers after the survivor has been there fails:
// nobody would ever close that term.
func TestSurvivorOutrunsTheOpening(t *testing.T) {
	t.Parallel()
	repeated(t, func(t *testing.T) {
		e := newElection(t, zktest.Shared(t)).premade()
		a, px := openingHeld(t, e)
		b := a.heir(e.steady("b"))
		since := time.Now()
		a.survived()
		a.leads(b, since)
		px.Heal()
		time.Sleep(200 * time.Millisecond)
		e.mustStand(true, "b")
		if rec := e.record(); len(rec.Unclean) != 0 {
			t.Errorf("record %s", rec.encode())
		}
	})
}

// An opening that is executed after the survivor has read the record, and before
// it deletes the queue node, opens a term that the survivor then closes.
func TestSurvivorSeesTheOpeningAtTheLastMoment(t *testing.T) {
	t.Parallel()
	repeated(t, func(t *testing.T) {
		e := newElection(t, zktest.Shared(t)).premade()
		a, px := openingHeld(t, e)
		b := a.heir(e.steady("b"))
		way := zktest.NewProxy(t, e.server.Addr())
		a.will.Servers = e.connect(way.Addr())
		held := way.CutBefore(e.queueDelete())
		since := time.Now()
		over := make(chan error, 1)
		go func() { over <- execute(t.Context(), a.will) }()
		held.Wait(t, harnessPatience)
		px.Heal()
		awaitTrue(t, "the opening is executed", func() bool { return e.see(e.live) != nil })
		way.Heal()
		noError(t, <-over)
		a.leads(b, since)
		e.mustStand(true, "b")
		if rec := e.record(); len(rec.Unclean) != 0 || rec.Last.Cause != CauseDied || rec.Last.ID != "a" {
			t.Errorf("record %s", rec.encode())
		}
	})
}

// A survivor's request or its answer is lost on the way, for each of its
// requests. The next one leads long before a session ends.
func TestSurvivorLosesReplies(t *testing.T) {
	t.Parallel()
	for _, target := range []struct {
		name   string
		queued bool // it dies in the queue, not in its term
		match  func(*election) func(zktest.Op) bool
	}{
		{name: "connect", match: func(*election) func(zktest.Op) bool { return zktest.Of(zktest.Connect) }},
		{name: "record", match: func(e *election) func(zktest.Op) bool { return zktest.On(e.abs(e.side), zktest.GetData) }},
		{name: "closing", match: (*election).closingMulti},
		{name: "queue node", queued: true, match: (*election).queueDelete},
	} {
		for _, kind := range lossKinds {
			t.Run(target.name+"/"+kind.name, func(t *testing.T) {
				t.Parallel()
				soaked(t, func(t *testing.T) {
					e := newElection(t, zktest.Shared(t)).premade()
					var a *elector
					if target.queued {
						a = e.joined(e.steady("a"))
					} else {
						a = e.opened(e.steady("a"))
					}
					b := a.heir(e.steady("b"))
					a.die()
					way := newLossyPath(t, e.server, kind)
					a.will.Servers = e.connect(way.addrs()...)
					lost := way.arm(target.match(e))
					since := time.Now()
					over := make(chan error, 1)
					go func() { over <- execute(t.Context(), a.will) }()
					lost.wait(t)
					noError(t, <-over)
					a.leads(b, since)
					lost.release()
					e.mustStand(true, "b")
					if rec := e.record(); len(rec.Unclean) != 0 {
						t.Errorf("record %s", rec.encode())
					}
				})
			})
		}
	}
}

// Of three servers one is dead, and another is silent.
func TestSurvivorWithoutAServer(t *testing.T) {
	t.Parallel()
	for name, dead := range map[string][]string{
		"refused": {zktest.Closed(t), zktest.Closed(t)},
		"silent":  {zktest.Silent(t), zktest.Silent(t)},
		"garbage": {zktest.Garbage(t, []byte("HTTP/1.1 400 Bad Request\r\n\r\n"))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newElection(t, zktest.Shared(t))
			a := e.opened(e.steady("a"))
			b := a.heir(e.steady("b"))
			a.die()
			a.will.Servers = e.connect(append(slices.Clone(dead), e.server.Addr())...)
			since := time.Now()
			a.survived()
			a.leads(b, since)
		})
	}
}

// In an ensemble the server of the elector dies with it.
func TestSurvivorWhoseServerDied(t *testing.T) {
	t.Parallel()
	ensemble := zktest.StartEnsemble(t, 3)
	follower := ensemble.Followers()[0]
	e := newElection(t, ensemble.Leader())
	a := e.opened(e.steady("a", follower.Addr()))
	b := a.heir(e.steady("b"))
	noError(t, follower.Kill())
	a.die()
	var addrs []string
	for _, s := range ensemble.Servers {
		addrs = append(addrs, s.Addr())
	}
	a.will.Servers = e.connect(addrs...)
	since := time.Now()
	a.survived()
	a.leads(b, since)
	e.mustStand(true, "b")
	if rec := e.record(); rec.Last.Cause != CauseDied || len(rec.Unclean) != 0 {
		t.Errorf("record %s", rec.encode())
	}
}

// Through a server that is behind a survivor sees things as they were at any time
// before, and closes the term all the same.
func TestSurvivorFromBehind(t *testing.T) {
	t.Parallel()
	states := 1
	for n := 0; n < states; n++ {
		inWorld(t, func(w *fakeWorld) {
			seen := []map[string]fakeNode{maps.Clone(w.store.nodes)}
			w.whenExecuted(func(*fakeSession, *fakeRequest, fakeAnswer) { seen = append(seen, maps.Clone(w.store.nodes)) })
			ctx, p, a := context.Background(), w.place, w.session("a")
			noError(t, p.prepare(ctx, a))
			noError(t, p.ensure(ctx, a, p.latch))
			full, err := a.create(ctx, p.node(RecipeLatch.prefix(newUUID(false))), nil, zk.FlagEphemeralSequential)
			noError(t, err)
			name := path.Base(full)
			rec, version, err := p.readRecord(ctx, a)
			noError(t, err)
			_, err = a.multi(ctx, p.opening(name, rec.open(termRecord{Node: name, ID: "a"}), version)...)
			noError(t, err)

			states = len(seen)
			s := w.session("survivor")
			s.survives, s.conn.view = a.sid, seen[n]
			noError(t, will{Path: p.latch, Node: name, Timeout: w.timeout}.close(ctx, s, RecipeLatch))
			if r := w.record(); !r.Term.Clean || r.Last.Cause != CauseDied || w.live() != "" || len(w.queue()) != 0 {
				t.Errorf("from state %d: record %s, live %q, queue %v", n, r.encode(), w.live(), w.queue())
			}
		})
	}
	if states < 6 {
		t.Errorf("%d states", states)
	}
}

// Where there is nobody to talk to, a survivor gives up with its elector's session.
func TestSurvivorGivesUp(t *testing.T) {
	t.Parallel()
	for name, server := range map[string]string{"refused": zktest.Closed(t), "silent": zktest.Silent(t), "unknown": "no-such-host.invalid:2181"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := will{Servers: server + "/jobs", Path: "/e", Recipe: "latch", Timeout: 700 * time.Millisecond, Node: "_c_x-latch-0000000001",
				Auth: &Auth{Scheme: "digest", Secret: []byte("alice:s3cret")}}
			began := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), w.Timeout)
			defer cancel()
			err := execute(ctx, w)
			if took := time.Since(began); took < w.Timeout || took > w.Timeout+2*time.Second {
				t.Errorf("gave up after %v", took)
			}
			if !errors.Is(err, ErrUnreachable) && !errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%v", err)
			}
		})
	}
}
