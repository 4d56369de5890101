package zkelect

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"zkelect/zkelect/zktest"
)

// What go-zookeeper does to sessions, and that none of it comes through. The
// subtests called "naked" show the library by itself: each pins the reason for
// a cure, and fails if an update has made the cure needless.

// openSession is a session of T to the election's server.
func (e *election) openSession(t *testing.T, timeout time.Duration, addrs ...string) *zkSession {
	t.Helper()
	cfg := e.config("", addrs...).Config
	cfg.SessionTimeout = timeout
	cfg.setDefaults()
	ctx, cancel := context.WithTimeout(t.Context(), harnessPatience)
	defer cancel()
	s, err := newSession(ctx, &cfg)
	noError(t, err)
	t.Cleanup(func() { s.close(time.Second) })
	return s
}

// newRoot is an election whose chroot alone stands, behind a proxy.
func newRoot(t *testing.T) (*election, *zktest.Proxy) {
	t.Helper()
	e := newElection(t, zktest.Shared(t))
	return e, zktest.NewProxy(t, e.server.Addr())
}

func stateOf(s session) sessionState {
	st, _, _ := s.status()
	return st
}

var openACL = zk.WorldACL(zk.PermAll)

// After expiry the library opens a session by itself, and what was asked for in
// the old one is executed in the new one.
func TestExpiryOpensNoSession(t *testing.T) {
	t.Parallel()
	t.Run("naked", func(t *testing.T) {
		t.Parallel()
		e, px := newRoot(t)
		// Three servers: what is queued is refused whenever the list is through.
		all := []*zktest.Proxy{px, zktest.NewProxy(t, e.server.Addr()), zktest.NewProxy(t, e.server.Addr())}
		c := zktest.Dial(t, 1500*time.Millisecond, all[0].Addr(), all[1].Addr(), all[2].Addr())
		old := c.SessionID()
		_, err := c.Create(e.abs("/mark"), nil, zk.FlagEphemeral, openACL)
		noError(t, err)
		gone := e.server.DeletedAt(t, e.abs("/mark"))
		for _, px := range all {
			px.Cut()
		}
		<-gone
		go c.Create(e.abs("/queued"), nil, zk.FlagEphemeral, openACL)
		time.Sleep(50 * time.Millisecond)
		for _, px := range all {
			px.Heal()
		}
		awaitTrue(t, "the queued request is executed", func() bool { return e.see("/queued") != nil })
		if owner := e.see("/queued").stat.EphemeralOwner; owner == old {
			t.Error("the library keeps to its session now")
		}
	})
	t.Run("ours", func(t *testing.T) {
		t.Parallel()
		e, px := newRoot(t)
		s := e.openSession(t, 1500*time.Millisecond, px.Addr())
		id := s.id()
		_, err := s.create(t.Context(), "/mark", nil, zk.FlagEphemeral)
		noError(t, err)
		gone := e.server.DeletedAt(t, e.abs("/mark"))
		px.Cut()
		// One when the library still thinks it is connected, one when it does not.
		answers := make(chan error, 2)
		ask := func(path string) {
			_, err := s.create(t.Context(), path, nil, zk.FlagEphemeral)
			answers <- err
		}
		go ask("/early")
		<-gone
		go ask("/late")
		time.Sleep(50 * time.Millisecond)
		px.Heal()
		awaitTrue(t, "the loss is known", func() bool { return stateOf(s) == sessionLost })
		for range 2 {
			if err := <-answers; !errors.Is(err, errSessionLost) && !ambiguous(err) {
				t.Errorf("answered: %v", err)
			}
		}
		if _, err := s.create(t.Context(), "/after", nil, 0); !errors.Is(err, errSessionLost) {
			t.Errorf("answered after the loss: %v", err)
		}
		knocks := len(px.Requests(zktest.Of(zktest.Connect)))
		time.Sleep(1500 * time.Millisecond) // the library's own pause is a second
		for _, path := range []string{"/early", "/late", "/after"} {
			if e.see(path) != nil {
				t.Errorf("%s was executed", path)
			}
		}
		if n := len(px.Requests(zktest.Of(zktest.Connect))); n != knocks || px.Conns() != 0 {
			t.Errorf("it knocks on: %d times, then %d; %d connections", knocks, n, px.Conns())
		}
		for _, q := range px.Requests(nil) {
			if q.Session != id && q.Session != 0 {
				t.Errorf("%v in session 0x%x", q.Op, q.Session)
			}
		}
	})
}

// jam makes a client wait for a handshake that does not come, with more
// requests waiting than the library has room for.
func jam(px *zktest.Proxy, ask func()) {
	px.Cut()
	px.Reset()
	time.Sleep(1200 * time.Millisecond) // the library's own pause, and the dial
	for range 20 {
		go ask()
	}
	time.Sleep(50 * time.Millisecond)
}

// A Close that finds no room for its request is forgotten, and the library goes
// on reconnecting and pinging: the session and its nodes never end.
func TestCloseEndsTheSession(t *testing.T) {
	t.Parallel()
	t.Run("naked", func(t *testing.T) {
		t.Parallel()
		e, px := newRoot(t)
		c := zktest.Dial(t, 6*time.Second, px.Addr())
		id := c.SessionID()
		jam(px, func() { c.Exists(e.chroot) })
		c.Close()
		time.Sleep(1100 * time.Millisecond) // until it has given up queueing it
		px.Heal()
		awaitTrue(t, "a ping of a session that was closed", func() bool {
			for _, q := range px.Requests(zktest.Of(zktest.Ping)) {
				if q.Session == id && q.Conn > 1 {
					return true
				}
			}
			return false
		})
	})
	t.Run("ours", func(t *testing.T) {
		t.Parallel()
		e, px := newRoot(t)
		s := e.openSession(t, 4*time.Second, px.Addr())
		_, err := s.create(t.Context(), "/mark", nil, zk.FlagEphemeral)
		noError(t, err)
		jam(px, func() { s.exists(t.Context(), "/") })
		gone := e.server.DeletedAt(t, e.abs("/mark"))
		px.Forget()
		begun := time.Now()
		s.close(300 * time.Millisecond)
		if took := time.Since(begun); took > time.Second {
			t.Errorf("close took %v", took)
		}
		px.Heal()
		select {
		case <-gone:
		case <-time.After(6 * time.Second):
			t.Error("the session lives on")
		}
		if all := px.Requests(nil); len(all) > 0 || px.Conns() > 0 {
			t.Errorf("it goes on: %d connections, %v", px.Conns(), all)
		}
	})
	t.Run("connected", func(t *testing.T) {
		t.Parallel()
		e, px := newRoot(t)
		s := e.openSession(t, 10*time.Second, px.Addr())
		_, err := s.create(t.Context(), "/mark", nil, zk.FlagEphemeral)
		noError(t, err)
		s.close(time.Second)
		if e.see("/mark") != nil {
			t.Error("its node is left")
		}
		awaitTrue(t, "its connection is closed", func() bool { return px.Conns() == 0 })
	})
	t.Run("silent", func(t *testing.T) {
		t.Parallel()
		e, px := newRoot(t)
		s := e.openSession(t, 10*time.Second, px.Addr())
		px.Cut()
		begun := time.Now()
		s.close(300 * time.Millisecond)
		if took := time.Since(begun); took > time.Second {
			t.Errorf("close took %v", took)
		}
		if stateOf(s) != sessionLost {
			t.Error("not over")
		}
		s.close(time.Second) // twice does no harm
	})
}

// While the connection is down the library holds requests, sixteen of them, and
// blocks their callers: ours return when their context says so.
func TestRequestsReturnWhileSuspended(t *testing.T) {
	t.Parallel()
	e, px := newRoot(t)
	s := e.openSession(t, 10*time.Second, px.Addr())
	noError(t, px.Refuse(true))
	px.Reset()
	awaitTrue(t, "the disconnection", func() bool { return stateOf(s) == sessionSuspended })
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	begun := time.Now()
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			if _, err := s.multi(ctx, check("/")); err == nil {
				t.Error("answered")
			}
		})
	}
	all.Wait()
	if took := time.Since(begun); took > time.Second {
		t.Errorf("they returned after %v", took)
	}
	noError(t, px.Refuse(false))
	_, err := s.multi(t.Context(), check("/"))
	noError(t, err)
	if n := len(px.Requests(zktest.Of(zktest.Multi))); n != 1 {
		t.Errorf("%d requests whose callers had gone were sent", n-1)
	}
}

// With one server the library sleeps for a second before each reconnection.
func TestReconnectionIsQuick(t *testing.T) {
	t.Parallel()
	t.Run("naked", func(t *testing.T) {
		t.Parallel()
		e, px := newRoot(t)
		c := zktest.Dial(t, 6*time.Second, px.Addr())
		begun := time.Now()
		px.Reset()
		awaitTrue(t, "the reconnection", func() bool {
			_, _, err := c.Exists(e.chroot)
			return err == nil
		})
		took := time.Since(begun)
		t.Logf("reconnected in %v", took)
		if took < 900*time.Millisecond {
			t.Error("the library does not sleep any more")
		}
	})
	t.Run("ours", func(t *testing.T) {
		t.Parallel()
		e, px := newRoot(t)
		s := e.openSession(t, 6*time.Second, px.Addr())
		id := s.id()
		reconnect := func() time.Duration {
			_, before, _ := s.status()
			begun := time.Now()
			px.Reset()
			awaitTrue(t, "the reconnection", func() bool { _, now, _ := s.status(); return now > before })
			_, err := read(t.Context(), s, func() (*zk.Stat, error) { return s.exists(t.Context(), "/") })
			noError(t, err)
			return time.Since(begun)
		}
		best := time.Hour // of some, as the machine may be busy: the library sleeps each time
		for range 3 {
			time.Sleep(600 * time.Millisecond) // so that the one before counts as one that lasted
			took := reconnect()
			t.Logf("reconnected in %v", took)
			best = min(best, took)
		}
		if best > 500*time.Millisecond {
			t.Error("too slow")
		}
		// A connection that is reset again and again is made again at a slower
		// pace, but within the patience of a leader.
		var worst time.Duration
		for range 6 {
			worst = max(worst, reconnect())
		}
		t.Logf("reconnected six times in a row in at most %v each", worst)
		if patience := (budget{timeout: 6 * time.Second}).patience(); worst > patience {
			t.Errorf("longer than %v", patience)
		}
		if s.id() != id {
			t.Error("in another session")
		}
	})
}
