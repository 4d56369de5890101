package zkelect

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// TestLatchChaos lets latches contend while connections are lost, requests too,
// and latches are interrupted, closed and replaced. At no instant do two of them
// lead, by their own account or by what their listeners were told, and what those
// do afterwards is over before the next one is told. In the end one leads.
func TestLatchChaos(t *testing.T) {
	from, to := uint64(1), max(1, *chaosRuns/4)
	if *chaosSeed != 0 {
		from, to = *chaosSeed, *chaosSeed
	}
	for seed := from; seed <= to; seed++ {
		synctest.Test(t, func(t *testing.T) {
			w := newFakeWorld(t, seed)
			defer w.end()
			(&latchChaos{w: w, r: rand.New(rand.NewPCG(seed, 13))}).run()
		})
		if t.Failed() {
			t.Fatalf("seed %d; again with -run TestLatchChaos -chaos.seed=%d", seed, seed)
		}
	}
}

// latchChaos is one run.
type latchChaos struct {
	w       *fakeWorld
	r       *rand.Rand
	born    int
	latches []*fakeLatch
	leader  *fakeLatch // by what listeners were told; with the world's lock held
	token   int64
}

func (x *latchChaos) bear() {
	grace := upTo(x.r, 500*ms)
	f := x.w.latch(fmt.Sprint("latch", x.born), func(c *CandidateConfig) {
		c.StopTimeout = grace + ms
		c.OnSuspend = []OnSuspend{SuspendContinue, SuspendFreeze, SuspendKill}[x.r.IntN(3)]
	})
	f.AddListener(Listener{
		IsLeader: func(d *Leadership) {
			x.w.mu.Lock()
			defer x.w.mu.Unlock()
			if x.leader != nil || d.Token < x.token {
				x.w.violated("%s is told that it leads by token %d; before: %v by token %d", f.ID(), d.Token, x.leader, x.token)
			}
			x.leader, x.token = f, d.Token
		},
		NotLeader: func(*Leadership) {
			time.Sleep(grace)
			x.w.mu.Lock()
			defer x.w.mu.Unlock()
			x.leader = nil
		},
	})
	x.born++
	x.latches = append(x.latches, f)
	f.begin()
}

// leaders is how many lead, by their own account.
func (x *latchChaos) leaders() (n int) {
	for _, f := range x.latches {
		if f.Latch.HasLeadership() {
			n++
		}
	}
	return n
}

func (x *latchChaos) run() {
	w := x.w
	w.timeout = []time.Duration{10, 15, 30}[x.r.IntN(3)] * time.Second
	w.behind = x.r.IntN(2) == 0
	w.latency = func() time.Duration { return 100*time.Microsecond + upTo(w.rng, 20*ms) }
	w.randomize = (&chaos{w: w, rate: []float64{0, .01, .03}[x.r.IntN(3)]}).fault
	for range 3 {
		x.bear()
	}
	for range 40 {
		time.Sleep(upTo(x.r, 4*time.Second))
		if n := x.leaders(); n > 1 {
			w.t.Errorf("%d lead", n)
		}
		n := x.r.IntN(len(x.latches))
		f := x.latches[n]
		switch x.r.IntN(8) {
		case 0, 1:
			w.cut(f.ID(), x.r.IntN(2) == 0)
		case 2, 3, 4:
			w.heal(f.ID())
		case 5:
			f.Interrupt()
		case 6:
			x.latches = append(x.latches[:n], x.latches[n+1:]...)
			_ = f.Close(CloseNotifyLeader)
			x.bear()
		}
	}
	w.mu.Lock()
	w.randomize = nil
	w.mu.Unlock()
	for _, f := range x.latches {
		w.heal(f.ID())
	}
	w.until("one leads in peace", func() bool { return x.leaders() == 1 })
}
