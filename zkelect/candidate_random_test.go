package zkelect

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-zookeeper/zk"
)

var (
	chaosSeed = flag.Uint64("chaos.seed", 0, "run this seed of TestChaos alone, with its whole story")
	chaosRuns = flag.Uint64("chaos.runs", 200, "how many seeds TestChaos runs")
)

// TestChaos lets candidates contend on an ensemble that loses and delays what
// is said, with people who meddle. The invariants are seen to at each instant;
// in the end somebody leads, and then nothing is left.
func TestChaos(t *testing.T) {
	from, to := uint64(1), *chaosRuns
	if *chaosSeed != 0 {
		from, to = *chaosSeed, *chaosSeed
	}
	skipped, held, waited := 0, 0, 0
	for seed := from; seed <= to; seed++ {
		synctest.Test(t, func(t *testing.T) {
			x := newChaos(newFakeWorld(t, seed), seed)
			x.run()
			skipped, held = skipped+x.skipped, held+x.held
			for _, c := range x.w.candidates {
				n, _ := c.event(EventHeld)
				waited += n
			}
		})
		if t.Failed() {
			t.Fatalf("seed %d; again with -run TestChaos -chaos.seed=%d", seed, seed)
		}
	}
	if *chaosSeed == 0 && skipped == 0 {
		t.Error("nobody was skipped")
	}
	if *chaosSeed == 0 && (held == 0 || waited == 0) {
		t.Errorf("%d terms were held, %d candidates waited for the end of a hold", held, waited)
	}
	t.Logf("%d skipped, %d terms held, %d times waited for the end of a hold", skipped, held, waited)
}

// chaos is one run.
type chaos struct {
	w       *fakeWorld
	r       *rand.Rand // of the one goroutine that makes trouble
	born    int
	running []*fakeCandidate
	rate    float64 // of requests that get lost
	skipped int     // candidates, in the end
	held    int     // terms, by somebody
}

func newChaos(w *fakeWorld, seed uint64) *chaos {
	r := rand.New(rand.NewPCG(seed, 11))
	x := &chaos{w: w, r: r, rate: []float64{0, .005, .02, .05}[r.IntN(4)]}
	w.place = placeOf(fakePath, []Recipe{RecipeLatch, RecipeLatch, RecipeSelector, RecipeKazoo, RecipePlain, RecipePlain}[r.IntN(6)])
	w.timeout = []time.Duration{4, 6, 10, 30}[r.IntN(4)] * time.Second
	w.direct = r.IntN(3) == 0
	w.early = r.IntN(3) == 0
	w.proof = r.IntN(3) == 0
	w.behind = r.IntN(2) == 0
	// The margin's jitter holds what is under way for no longer than 250 ms.
	slow := []time.Duration{2, 20, 100}[r.IntN(3)] * ms
	w.latency = func() time.Duration { return 100*time.Microsecond + upTo(w.rng, slow) }
	w.reconnect = func() time.Duration { return ms + upTo(w.rng, 2*time.Second)/time.Duration(1+w.rng.IntN(200)) }
	w.randomize = x.fault
	w.note("%v, T %v, direct %v, early %v, behind %v, rate %v, latency %v", w.place.recipe, w.timeout, w.direct, w.early, w.behind, x.rate, slow)
	return x
}

// fault is called with the world's lock held.
func (x *chaos) fault(s *fakeSession, r *fakeRequest) (f fault) {
	rng, rate := x.w.rng, x.rate
	if !r.beats() && r.kind == "multi" {
		rate *= 5 // those are the interesting ones
	}
	if rng.Float64() < rate {
		f.loss = fakeLoss(1 + rng.IntN(4))
		x.w.note("%s: loss %d of %s %s", s.name, f.loss, r.kind, r.path)
	}
	if rng.IntN(20) == 0 {
		f.delay = upTo(rng, 100*ms)
	}
	return f
}

func (x *chaos) plan(int) fakePlan {
	rng := x.w.rng // with the lock held
	p := fakePlan{
		runs: 10*ms + upTo(rng, 40*time.Second), code: rng.IntN(2), leaves: rng.IntN(4) == 0,
		stopTakes: upTo(rng, 8*time.Second), killTakes: upTo(rng, x.w.timeout/10) * 9 / 10,
	}
	switch rng.IntN(8) {
	case 0:
		p.runs = 0
	case 1:
		p.stopTakes = -1
	case 2:
		p.fails = fmt.Errorf("cannot start")
	}
	if x.w.timeout > 10*time.Second {
		p.killTakes = upTo(rng, 900*ms) // the reserve is a second
	}
	return p
}

func (x *chaos) fencePlan(int) fakePlan {
	rng := x.w.rng // with the lock held
	p := fakePlan{
		runs: 10*ms + upTo(rng, 10*time.Second), leaves: rng.IntN(4) == 0,
		stopTakes: upTo(rng, 8*time.Second), killTakes: upTo(rng, x.w.timeout/10) * 9 / 10,
	}
	switch rng.IntN(12) {
	case 0:
		p.code = 1
	case 1:
		p.fails = fmt.Errorf("cannot start")
	}
	p.killTakes = min(p.killTakes, 900*ms)
	return p
}

func (x *chaos) bear() {
	if len(x.running) >= 5 {
		return
	}
	c := x.w.candidate(fmt.Sprint("c", x.born), func(c *CandidateConfig) {
		c.Requeue = []Requeue{RequeueNever, RequeueLost, RequeueAlways, RequeueAlways}[x.r.IntN(4)]
		c.StopTimeout = upTo(x.r, 8*time.Second)
		if x.r.IntN(3) == 0 {
			c.TickTime = 0 // asks
		}
		if x.r.IntN(6) == 0 {
			c.Wait = time.Second + upTo(x.r, time.Minute)
		}
		c.NoWait = x.r.IntN(12) == 0
		c.OnSuspend = []OnSuspend{SuspendContinue, SuspendContinue, SuspendFreeze, SuspendKill}[x.r.IntN(4)]
		if x.w.proof {
			c.TakeoverDelay = TakeoverAuto
		} else if x.r.IntN(6) == 0 {
			c.TakeoverDelay = ms + upTo(x.r, 20*time.Second)
		}
	})
	if x.r.IntN(3) == 0 {
		c.cfg.SkipIfRunWithin = 5*time.Second + upTo(x.r, time.Minute)
		c.cfg.SkipAfter = SkipAfter(x.r.IntN(2))
	}
	if !x.w.proof && x.r.IntN(3) == 0 {
		c.fences(x.fencePlan)
	}
	x.born++
	c.plan = x.plan
	if x.born%2 == 0 {
		c.watched()
	} else {
		c.Candidate.host = &fakeHost{}
	}
	c.begin()
	x.running = append(x.running, c)
}

func (x *chaos) bury() {
	var running []*fakeCandidate
	for _, c := range x.running {
		select {
		case <-c.done:
		default:
			running = append(running, c)
		}
	}
	x.running = running
}

func (x *chaos) run() {
	w := x.w
	for range 2 + x.r.IntN(3) {
		x.bear()
	}
	for range 25 {
		time.Sleep(upTo(x.r, 6*time.Second))
		x.bury()
		x.trouble()
	}
	// Peace: whoever still runs leads before long.
	w.mu.Lock()
	w.randomize = nil
	if h := w.holdOf(w.store.nodes[w.place.side]); h != nil && h.until() == nil {
		w.holds(nil)
	}
	w.mu.Unlock()
	for _, c := range w.candidates {
		w.heal(c.id)
	}
	for len(x.running) < 2 {
		x.bear()
	}
	w.mu.Lock()
	openings := w.openings
	w.mu.Unlock()
	time.Sleep(2*w.timeout + 90*time.Second) // T for what is left, and the longest work
	x.bury()
	w.mu.Lock()
	if w.openings == openings && len(x.running) > 0 && w.aliveOf(w.store.nodes[w.place.live].owner) == nil {
		w.violated("nobody leads in peace")
	}
	w.mu.Unlock()
	for i, c := range x.running {
		if c.Stop(0); i%2 == 0 {
			c.Kill()
		}
	}
	skipped := 0
	for _, c := range w.candidates {
		if <-c.done; c.out.Cause == CauseSkipped {
			skipped++
			w.mu.Lock()
			w.checkSkipped(c)
			w.mu.Unlock()
		}
	}
	x.skipped = skipped
	time.Sleep(w.timeout + 2*w.tick)
	w.mu.Lock()
	defer w.mu.Unlock()
	if n, ok := w.store.nodes[w.place.latch]; ok && n.owner != 0 {
		w.violated("the one node is left")
	}
	if left := w.store.children(w.place.latch); len(left) > 0 {
		w.violated("left in the queue: %v", left)
	}
	if _, ok := w.store.nodes[w.place.live]; ok {
		w.violated("live is left")
	}
	for _, k := range w.works {
		if k.alive() {
			w.violated("a work of %s is left", k.c.id)
		}
		if len(k.stops) > 1 || len(k.kills) > 2 {
			w.violated("%s: %d stops, %d kills", k.c.id, len(k.stops), len(k.kills))
		}
	}
	if *chaosSeed != 0 {
		for _, line := range w.history {
			fmt.Println(line)
		}
	}
}

// trouble does one thing.
func (x *chaos) trouble() {
	w, r := x.w, x.r
	if len(x.running) == 0 {
		x.bear()
		return
	}
	c := x.running[r.IntN(len(x.running))]
	q := w.queue()
	switch r.IntN(12) {
	case 0, 1, 2:
		w.cut(c.id, r.IntN(2) == 0)
		id := c.id
		time.AfterFunc(upTo(r, w.timeout)*time.Duration(1+r.IntN(2)), func() { w.heal(id) })
	case 3:
		if len(q) > 0 { // mostly the leader's
			w.byHand(remove(w.place.node(q[r.IntN(len(q))/2].name)))
		}
	case 4:
		if r.IntN(2) == 0 {
			c.Stop(0)
		} else {
			c.Kill()
		}
	case 5, 6:
		x.bear()
	case 7, 8:
		x.resign(q)
	case 9:
		x.hold()
	case 10:
		if s := w.current(c.id); s != nil {
			_, number, _ := s.status()
			s.kick(number)
		}
	case 11:
		if w.early {
			x.meddle(c)
		}
	}
}

// resign asks the leader to resign, or to hand over, and withdraws later, as
// resign does or by dying.
func (x *chaos) resign(q queue) {
	w, r := x.w, x.r
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.store.nodes[w.place.transfer]; !ok || len(q) == 0 || len(q) < 2 && w.place.recipe != RecipePlain {
		return
	}
	dir, req := w.place.requests, request{Format: recordFormat, Term: q[0].name, By: "r"}
	if len(q) > 1 && r.IntN(2) == 0 {
		dir, req.To = w.place.transfer, q[1+r.IntN(len(q)-1)].name
	}
	data, _ := json.Marshal(req)
	node := dir + "/" + newUUID(false)
	_, err := w.store.multi(77, []any{create(node, string(data), zk.FlagEphemeral)})
	w.note("a request %+v: %v", req, err)
	w.committed(nil, nil)
	time.AfterFunc(upTo(r, 30*time.Second), func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		_, err := w.store.multi(0, []any{remove(node)})
		w.note("withdrawn: %v", err)
		w.committed(nil, nil)
	})
}

// hold holds the election, for a while or until the hold is removed, and sometimes
// dies at once; or it removes a hold.
func (x *chaos) hold() {
	var h *holdRecord
	switch x.r.IntN(4) {
	case 0:
	case 1:
		h = HoldConfig{}.record()
		time.AfterFunc(upTo(x.r, 30*time.Second), func() {
			x.w.mu.Lock()
			defer x.w.mu.Unlock()
			if n := x.w.store.nodes[x.w.place.side]; x.w.holdOf(n) != nil && x.w.holdOf(n).Key == h.Key {
				x.w.holds(nil)
			}
		})
	default:
		h = HoldConfig{For: ms + upTo(x.r, 20*time.Second).Truncate(ms)}.record()
	}
	x.w.mu.Lock()
	defer x.w.mu.Unlock()
	node := x.w.holds(h)
	if node == "" {
		return
	}
	x.held++
	gone := upTo(x.r, 10*time.Second)
	if x.r.IntN(3) == 0 {
		gone = 0
	}
	withdraw := func() { // with its session
		_, err := x.w.store.multi(0, []any{remove(node)})
		x.w.note("the holder's request is gone: %v", err)
		x.w.committed(nil, nil)
	}
	if gone == 0 {
		withdraw()
		return
	}
	time.AfterFunc(gone, func() { x.w.mu.Lock(); defer x.w.mu.Unlock(); withdraw() })
}

// meddle does what no promise holds against.
func (x *chaos) meddle(c *fakeCandidate) {
	w := x.w
	if x.r.IntN(2) == 0 {
		w.byHand(remove(w.place.live))
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.sessions {
		if s.name == c.id {
			w.expire(s)
		}
	}
}
