package zkelect

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"zkelect/zkelect/zktest"
)

// liveLatch is a Latch over real servers, with what its listener was told.
type liveLatch struct {
	*Latch
	*eventLog

	mu    sync.Mutex
	calls []stampedCall
}

// stampedCall is one call of the listener.
type stampedCall struct {
	what string // "is" or "not"
	at   int64
	lead *Leadership
}

// makeLatch makes a latch that is not started. The test closes it at its end.
func makeLatch(t testing.TB, cfg CandidateConfig) *liveLatch {
	t.Helper()
	l := &liveLatch{eventLog: &eventLog{t: t, who: cfg.ID}}
	cfg.Observer = l.observe
	var err error
	l.Latch, err = NewLatch(cfg)
	noError(t, err)
	l.AddListener(Listener{
		IsLeader:  func(d *Leadership) { l.told("is", d) },
		NotLeader: func(d *Leadership) { l.told("not", d) },
	})
	t.Cleanup(func() {
		if l.State() != LatchLatent {
			l.c.Kill()
			_ = l.Close(CloseSilent)
			select {
			case <-l.Done():
			case <-time.After(harnessPatience):
				t.Errorf("%s is not closed", cfg.ID)
			}
		}
		l.show()
	})
	return l
}

// startLatch makes a latch and starts it.
func startLatch(t testing.TB, cfg CandidateConfig) *liveLatch {
	t.Helper()
	l := makeLatch(t, cfg)
	noError(t, l.Start(context.Background()))
	return l
}

// leadingLatch is a latch that leads.
func leadingLatch(t testing.TB, cfg CandidateConfig) (*liveLatch, *Leadership) {
	t.Helper()
	l := startLatch(t, cfg)
	return l, l.leads()
}

// waitingLatch is a latch that stands behind another.
func waitingLatch(t testing.TB, cfg CandidateConfig) *liveLatch {
	t.Helper()
	l := startLatch(t, cfg)
	l.awaitEvent(EventWaiting)
	return l
}

func (l *liveLatch) told(what string, d *Leadership) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls = append(l.calls, stampedCall{what, zktest.Stamp(), d})
}

// leads awaits leadership.
func (l *liveLatch) leads() *Leadership {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), harnessPatience)
	defer cancel()
	d, err := l.Await(ctx)
	if err != nil {
		l.t.Fatalf("%s does not lead: %v", l.ID(), err)
	}
	return d
}

// hears waits until the listener was told as often as that, and that this is it.
func (l *liveLatch) hears(want string) []stampedCall {
	l.t.Helper()
	var calls []stampedCall
	awaitTrue(l.t, fmt.Sprintf("%s is told %q", l.who, want), func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		calls = slices.Clone(l.calls)
		return len(calls) >= len(strings.Fields(want))
	})
	var got []string
	for _, c := range calls {
		got = append(got, c.what)
	}
	if strings.Join(got, " ") != want {
		l.t.Errorf("%s was told %q, want %q", l.who, got, want)
	}
	return calls
}

// names are the ids in the queue, in order.
func (e *election) names() string {
	e.t.Helper()
	var ids []string
	for _, p := range e.participants() {
		ids = append(ids, p.data)
	}
	return strings.Join(ids, " ")
}

// disconnect refuses the proxy's clients and closes what they have: they notice
// at once, unlike a cut.
func disconnect(t testing.TB, px *zktest.Proxy) {
	t.Helper()
	noError(t, px.Refuse(true))
	px.Reset()
}
