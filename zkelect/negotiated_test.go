package zkelect

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"zkelect/zkelect/zktest"
)

// inherit makes heir, which must be down, serve what dying holds: sessions and
// all, under limits of its own.
func inherit(t *testing.T, heir, dying *zktest.Server) {
	t.Helper()
	noError(t, dying.Kill())
	noError(t, heir.Kill())
	noError(t, heir.Wipe())
	noError(t, os.Rename(filepath.Join(dying.Dir(), "data"), filepath.Join(heir.Dir(), "data")))
	noError(t, heir.Restart())
}

// A server with other limits takes the session over and grants a smaller
// timeout than the one before. From that moment it expires the session sooner,
// so the lease that was computed with the larger timeout must shrink at once:
// else the work outlives the session by the difference.
func TestSmallerTimeoutAfterReconnectionShrinksTheLease(t *testing.T) {
	t.Parallel()
	wide := zktest.Start(t)
	narrow := zktest.Start(t, zktest.ExtraConfig(map[string]string{"maxSessionTimeout": "10000"}))
	toWide, toNarrow := zktest.NewProxy(t, wide.Addr()), zktest.NewProxy(t, narrow.Addr())
	noError(t, narrow.Kill())

	e := newElection(t, wide)
	cfg := e.config("a", toWide.Addr(), toNarrow.Addr())
	cfg.SessionTimeout = 30 * time.Second
	a := contend(t, cfg)
	work := a.awaitWork(0)
	if got := a.c.sess.timeout(); got != cfg.SessionTimeout {
		t.Fatalf("granted %v", got)
	}
	// Until a lease has the length that it has in the long run.
	heartbeats := func(px *zktest.Proxy) int {
		return len(px.Requests(func(o zktest.Op) bool { return o.Type == zktest.Multi && o.Any(zktest.Of(zktest.Check)) }))
	}
	awaitTrue(t, "two heartbeats", func() bool { return heartbeats(toWide)+heartbeats(toNarrow) > 2 }) // and the opening
	inherit(t, narrow, wide)
	a.awaitEvent(EventReconnected)
	if got := a.c.sess.timeout(); got != 10*time.Second {
		t.Fatalf("granted %v after the reconnection", got)
	}

	other := e.config("b")
	other.Servers = narrow.Addr() + strings.TrimPrefix(other.Servers, wide.Addr())
	b := contend(t, other)
	b.awaitEvent(EventJoined)
	// No node: the lease was over at the reconnection, and a has left cleanly.
	gone, stop, err := zktest.WatchDeletion(narrow.Addr(), e.abs(work.term.Node))
	toNarrow.Cut()
	cut := zktest.Stamp()
	b.awaitWork(0)
	awaitTrue(t, "the work of a is dead", func() bool { return !work.alive() })
	if err == nil {
		defer stop()
		expired := (<-gone).Boot
		t.Logf("after the cut: session expired %v, work dead %v", time.Duration(expired-cut), time.Duration(work.ended.Load()-cut))
		if over := time.Duration(work.ended.Load() - expired); over > 0 {
			t.Errorf("the work outlived its session by %v", over)
		}
	}
	checkExclusion(t, a, b)
}

// The server's limits govern, and one line says so.
func TestServerGrantsAnotherTimeout(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		limits       map[string]string
		asks, grants time.Duration
		tick         time.Duration // as it can be known
	}{
		"less": {map[string]string{"maxSessionTimeout": "3000"}, 20 * time.Second, 3 * time.Second, 500 * time.Millisecond},
		"more": {map[string]string{"minSessionTimeout": "5000"}, 3 * time.Second, 5 * time.Second, 2500 * time.Millisecond},
		"same": {nil, 3 * time.Second, 3 * time.Second, 500 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newElection(t, zktest.Start(t, zktest.ExtraConfig(c.limits)))
			cfg := e.config("a")
			cfg.SessionTimeout, cfg.Requeue = c.asks, RequeueAlways
			p := contend(t, cfg, workPlan{Exits: 50 * time.Millisecond})
			p.awaitWork(1)
			told := p.events(EventTimeout)
			if c.asks == c.grants {
				if len(told) > 0 {
					t.Errorf("told without a cause: %v", told)
				}
			} else if len(told) != 1 || told[0].attr("asked").Duration() != c.asks || told[0].attr("granted").Duration() != c.grants {
				t.Errorf("told: %v", told)
			}
			b := p.awaitEvents(EventBudget, 2)
			if b.attr("timeout").Duration() != c.grants || b.attr("tick").Duration() != c.tick {
				t.Errorf("the lease in force: %v", b.Attrs)
			}
			if lease := e.record().Term.Lease; lease != c.grants.Milliseconds() {
				t.Errorf("the record says that the lease is %d ms", lease)
			}
		})
	}
}

// What the servers grant does not hold a lease: refused before joining, with the
// smallest timeout that would.
func TestGrantedTimeoutTooSmall(t *testing.T) {
	t.Parallel()
	e := newElection(t, zktest.Start(t, zktest.ExtraConfig(map[string]string{"maxSessionTimeout": "1200"})))
	cfg := e.config("a")
	cfg.SessionTimeout = 30 * time.Second
	out, err := contend(t, cfg).awaitEnd()
	if out.Cause != CauseError || !errors.Is(err, ErrUnsafe) || !strings.Contains(err.Error(), "1.2s") {
		t.Errorf("%+v, %v", out, err)
	}
	t.Log(err)
	if e.see(e.latch) != nil || e.see(e.side) != nil {
		t.Error("it has made nodes")
	}
}
