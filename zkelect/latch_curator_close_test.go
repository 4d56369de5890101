package zkelect

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"zkelect/zkelect/zktest"
)

// The second half of latch_curator_test.go: creating, closing, asking.

// Two resets at once [testResetRace, CURATOR-498, CURATOR-45]: where the reply to a create is
// lost, no second node of the same latch stays.
func TestLatchResetRaceLeavesOneNode(t *testing.T) {
	t.Parallel()
	e, px := newRoot(t)
	fault := px.CutReply(zktest.On(e.abs(e.latch)+"/", zktest.Create))
	a := startLatch(t, e.steady("a", px.Addr()))
	fault.Wait(t, harnessPatience)
	a.leads()
	if names := e.names(); names != "a" {
		t.Errorf("in the queue: %s", names)
	}
}

// A create that is under way when the latch is closed [testCreateDeleteRace]: no
// node stays.
func TestLatchCloseDuringCreateLeavesNoNode(t *testing.T) {
	t.Parallel()
	e, px := newRoot(t)
	fault := px.HoldReply(zktest.On(e.abs(e.latch)+"/", zktest.Create))
	a := startLatch(t, e.config("a", px.Addr()))
	fault.Wait(t, harnessPatience)
	noError(t, a.Close(CloseNotifyLeader))
	a.hears("")
	e.awaitEmpty()
}

// Close modes [testCallbackDontNotify]: by SILENT, its default, Curator's latch
// tells its listeners nothing. Ours has no default: the caller says it.
func TestLatchCloseSilent(t *testing.T) {
	t.Parallel()
	e := newElection(t, zktest.Shared(t))
	a, d := leadingLatch(t, e.steady("a"))
	b := waitingLatch(t, e.steady("b"))
	a.hears("is")
	noError(t, a.Close(CloseSilent))
	if a.HasLeadership() || a.State() != LatchClosed || d.Context().Err() == nil || a.Node() != "" {
		t.Errorf("leads %v, %v, node %q", a.HasLeadership(), a.State(), a.Node())
	}
	b.leads()
	a.hears("is")
}

// Close modes [testCallbackNotifyLeader]: by NOTIFY_LEADER the listeners of the
// leader are told, while the next one may lead already. Ours waits for them.
func TestLatchCloseNotifyLeader(t *testing.T) {
	t.Parallel()
	e := newElection(t, zktest.Shared(t))
	a := makeLatch(t, e.steady("a"))
	var ended atomic.Int64
	a.AddListener(Listener{NotLeader: func(*Leadership) {
		time.Sleep(300 * time.Millisecond)
		ended.Store(zktest.Stamp())
	}})
	noError(t, a.Start(context.Background()))
	a.leads()
	b := waitingLatch(t, e.steady("b"))
	noError(t, a.Close(CloseNotifyLeader))
	a.hears("is not")
	b.leads()
	if is := b.hears("is")[0]; ended.Load() == 0 || ended.Load() >= is.at {
		t.Errorf("b led at %d, NotLeader of a over at %d", is.at, ended.Load())
	}
}

// A closed latch that does not lead tells nothing, whatever the mode
// [testCallbackDontNotify].
func TestLatchCloseWhileWaiting(t *testing.T) {
	t.Parallel()
	e := newElection(t, zktest.Shared(t))
	a, _ := leadingLatch(t, e.steady("a"))
	b := waitingLatch(t, e.steady("b"))
	waits := make(chan error, 1)
	go func() {
		_, err := b.Await(context.Background())
		waits <- err
	}()
	noError(t, b.Close(CloseNotifyLeader))
	if err := <-waits; !errors.Is(err, ErrClosed) {
		t.Errorf("awaited: %v", err) // Curator's await throws EOFException
	}
	b.hears("")
	if names := e.names(); names != "a" || !a.HasLeadership() {
		t.Errorf("in the queue: %s, a leads %v", names, a.HasLeadership())
	}
}

// Closed twice, or never started: Curator's latch throws IllegalStateException.
func TestLatchClosedTwice(t *testing.T) {
	t.Parallel()
	e := newElection(t, zktest.Shared(t))
	a := makeLatch(t, e.steady("a"))
	if err := a.Close(CloseSilent); !errors.Is(err, ErrClosed) {
		t.Errorf("before the start: %v", err)
	}
	noError(t, a.Start(context.Background()))
	a.leads()
	a.hears("is")
	noError(t, a.Close(CloseSilent))
	if err := a.Close(CloseNotifyLeader); !errors.Is(err, ErrClosed) {
		t.Errorf("again: %v", err)
	}
	a.hears("is")
}

// getLeader and getParticipants of a path that nobody made [CURATOR-436,
// testUncreatedPathGetLeader]: nobody, and no error. Nothing is made for it.
func TestLatchLeaderOfAnUncreatedPath(t *testing.T) {
	t.Parallel()
	e := newElection(t, zktest.Shared(t))
	a := makeLatch(t, e.steady("a"))
	leader, err := a.Leader(t.Context())
	noError(t, err)
	all, err := a.Participants(t.Context())
	noError(t, err)
	if leader != nil || len(all) != 0 || e.see(e.latch) != nil || e.see(e.side) != nil {
		t.Errorf("leader %+v, participants %+v", leader, all)
	}
}

// getParticipants is in the order of the queue, the first leads.
func TestLatchParticipantsAreInOrder(t *testing.T) {
	t.Parallel()
	e := newElection(t, zktest.Shared(t))
	a, d := leadingLatch(t, e.steady("a"))
	for _, id := range []string{"c", "b", "d"} {
		waitingLatch(t, e.steady(id))
	}
	all, err := a.Participants(t.Context())
	noError(t, err)
	var ids []string
	for n, p := range all {
		ids = append(ids, p.ID)
		if p.Leader != (n == 0) {
			t.Errorf("%s leads: %v", p.ID, p.Leader)
		}
	}
	if strings.Join(ids, " ") != "a c b d" {
		t.Errorf("participants %v", ids)
	}
	leader, err := a.Leader(t.Context())
	noError(t, err)
	if leader == nil || leader.ID != a.ID() || leader.Node != d.Node || leader.FencingToken != d.Token {
		t.Errorf("leader %+v", leader)
	}
}

// await with a time-out: Curator's returns false.
func TestLatchAwaitTimeOut(t *testing.T) {
	t.Parallel()
	e := newElection(t, zktest.Shared(t))
	a, _ := leadingLatch(t, e.steady("a"))
	b := waitingLatch(t, e.steady("b"))
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	begun := time.Now()
	if _, err := b.Await(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if took := time.Since(begun); took < 200*time.Millisecond || took > 2*time.Second {
		t.Errorf("waited %v", took)
	}
	time.AfterFunc(200*time.Millisecond, func() { a.Close(CloseSilent) })
	b.leads()
}

// No server at the start [testNoServerAtStart]: it leads once there is one, and is
// told so once.
func TestLatchNoServerAtStart(t *testing.T) {
	t.Parallel()
	e, px := newRoot(t)
	noError(t, px.Refuse(true))
	cfg := e.steady("a", px.Addr())
	cfg.ConnectTimeout = 0
	a := startLatch(t, cfg)
	time.Sleep(500 * time.Millisecond)
	if a.HasLeadership() || a.State() != LatchStarted {
		t.Errorf("leads %v, %v", a.HasLeadership(), a.State())
	}
	noError(t, px.Refuse(false))
	a.leads()
	a.hears("is")
}

// Closed without ever a connection [testProperCloseWithoutConnectionEstablished].
func TestLatchCloseWithoutConnection(t *testing.T) {
	t.Parallel()
	e, px := newRoot(t)
	noError(t, px.Refuse(true))
	a := startLatch(t, e.steady("a", px.Addr()))
	begun := time.Now()
	noError(t, a.Close(CloseNotifyLeader))
	if took := time.Since(begun); took > 2*time.Second {
		t.Errorf("took %v", took)
	}
	noError(t, px.Refuse(false))
	time.Sleep(300 * time.Millisecond)
	if n := px.Conns(); n > 0 {
		t.Errorf("%d connections", n)
	}
	a.hears("")
}

// Leadership goes through the queue in the order in which it was joined
// [testBasic], and one at a time [testWaiting].
func TestLatchOneLeadsAtATime(t *testing.T) {
	t.Parallel()
	e := newElection(t, zktest.Shared(t))
	var leading atomic.Int32
	var order []string
	var mu sync.Mutex
	var over sync.WaitGroup
	for n := range 6 {
		l := startLatch(t, e.steady(fmt.Sprint("latch", n)))
		awaitTrue(t, "it queues", func() bool { return l.Node() != "" })
		over.Go(func() {
			d, err := l.Await(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			err = d.Do(func(context.Context) error {
				if leading.Add(1) != 1 {
					t.Error("two lead")
				}
				mu.Lock()
				order = append(order, l.ID())
				mu.Unlock()
				time.Sleep(20 * time.Millisecond)
				leading.Add(-1)
				return nil
			})
			if err := errors.Join(err, l.Close(CloseSilent)); err != nil {
				t.Error(err)
			}
		})
	}
	over.Wait()
	if strings.Join(order, " ") != "latch0 latch1 latch2 latch3 latch4 latch5" {
		t.Errorf("led in the order %v", order)
	}
	e.awaitEmpty()
}

// Listeners hear each change once [testCallbackSanity]. A listener of Curator's may
// close its latch; one of ours does so in a goroutine, since Close waits for it.
func TestLatchListenersHearEachChangeOnce(t *testing.T) {
	t.Parallel()
	e := newElection(t, zktest.Shared(t))
	var all []*liveLatch
	for n := range 4 {
		l := makeLatch(t, e.steady(fmt.Sprint("latch", n)))
		terms := 0
		l.AddListener(Listener{IsLeader: func(*Leadership) {
			if terms++; terms == 1 {
				l.c.Interrupt() // as Curator's test resets it: at the back of the queue again
				return
			}
			go l.Close(CloseNotifyLeader)
		}})
		all = append(all, l)
		noError(t, l.Start(context.Background()))
	}
	for _, l := range all {
		<-l.Done()
		l.hears("is not is not")
	}
}

// A path that is not absolute [testRelativePath] is refused at once.
func TestLatchRelativePath(t *testing.T) {
	if _, err := NewLatch(CandidateConfig{Config: Config{Path: "parent"}}); !errors.Is(err, ErrConfig) {
		t.Error(err)
	}
}

// A latch stands in the queue of any recipe, where Curator's has its own alone.
func TestLatchInEachRecipe(t *testing.T) {
	t.Parallel()
	for _, recipe := range []Recipe{RecipeLatch, RecipeSelector, RecipeKazoo, RecipePlain} {
		t.Run(recipe.String(), func(t *testing.T) {
			t.Parallel()
			e := newElection(t, zktest.Shared(t))
			config := func(id string) CandidateConfig {
				cfg := e.steady(id)
				cfg.Recipe = recipe
				return cfg
			}
			a, d := leadingLatch(t, config("a"))
			b := waitingLatch(t, config("b"))
			leader, err := b.Leader(t.Context())
			noError(t, err)
			if leader == nil || leader.ID != "a" || leader.Node != d.Node || a.Node() != d.Node || leader.FencingToken != d.Token {
				t.Errorf("leader %+v of %+v", leader, d.Term)
			}
			a.hears("is")
			noError(t, a.Close(CloseNotifyLeader))
			a.hears("is not")
			if next := b.leads(); next.Token <= d.Token || next.Node != b.Node() {
				t.Errorf("%+v after %+v", next.Term, d.Term)
			}
			b.hears("is")
		})
	}
}
