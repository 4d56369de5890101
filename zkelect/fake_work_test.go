package zkelect

import (
	"path"
	"slices"
	"syscall"
	"time"

	"github.com/go-zookeeper/zk"
)

// Invariants. All of this is called with the world's lock held.

func (w *fakeWorld) aliveOf(session int64) *fakeWork {
	for _, work := range w.works {
		if work.alive() && work.term.Session == session {
			return work
		}
	}
	return nil
}

// checkEnd: a work never outlives its session.
func (w *fakeWorld) checkEnd(s *fakeSession, how string) {
	if work := w.aliveOf(s.sid); work != nil {
		w.violated("session %x of %s %s while its work is alive", s.sid, s.name, how)
	}
}

// checkDeletion: a session deletes its own nodes alone, or those of the dead one
// that it survives; of a term, only when
// its tree is dead; live never without a versioned write of the record.
func (w *fakeWorld) checkDeletion(by *fakeSession, r *fakeRequest, change fakeChange) {
	if change.node.owner != by.sid && change.node.owner != by.survives {
		w.violated("%s deletes %s, which is of session %x", by.name, change.path, change.node.owner)
	}
	switch {
	case change.path == w.place.live:
		if work := w.aliveOf(by.sid); work != nil {
			w.violated("%s deletes live while its work is alive", by.name)
		}
		if r.kind != "close" && !slices.ContainsFunc(r.ops, func(op any) bool { return sets(op, w.place.side) }) {
			w.violated("%s deletes live alone: %s", by.name, describe(r.ops))
		}
	case change.path == w.place.latch:
		if r.kind != "close" {
			w.violated("%s deletes the one node: %s", by.name, describe(r.ops))
		}
	case path.Dir(change.path) == w.place.latch:
		if work := w.aliveOf(by.sid); work != nil && work.term.Node == change.path {
			w.violated("%s deletes its queue node while its work is alive", by.name)
		}
	}
}

// opened: tokens rise strictly; nobody else's work is alive.
func (w *fakeWorld) opened(s *fakeSession, r *fakeRequest) {
	w.openings++
	if token := w.store.nodes[w.place.live].czxid; token <= w.token {
		w.violated("token %d after %d", token, w.token)
	} else {
		w.token = token
	}
	for _, work := range w.works {
		if work.alive() && !w.early {
			w.violated("%s opens a term while %s's work is alive", s.name, work.c.id)
		}
	}
	w.checkRunsAgain(s)
	if w.place.recipe == RecipePlain {
		return // it looks whose the node is afterwards, and starts nothing if it is another's
	}
	own := 0
	for p, n := range w.store.nodes {
		if path.Dir(p) == w.place.latch && n.owner == s.sid {
			own++
		}
	}
	if own != 1 {
		w.violated("%s opens a term with %d nodes in the queue", s.name, own)
	}
	if q := newQueue(w.store.children(w.place.latch), w.place.recipe.family()); w.place.node(q[0].name) != r.ops[opQueue].(*zk.CheckVersionRequest).Path && w.store.misnumbers == 0 {
		w.violated("%s opens a term and is not the first of %v", s.name, q)
	}
}

// told notes how the term ended that a record tells of.
func (w *fakeWorld) told(r *fakeRequest) {
	for _, op := range r.ops {
		if !sets(op, w.place.side) {
			continue
		}
		rec, err := parseRecord(op.(*zk.SetDataRequest).Data, w.place.recipe, w.place.side)
		switch {
		case err != nil:
			w.violated("%v", err)
		case rec.Last != nil && rec.Last.Since != nil && !slices.ContainsFunc(w.ends, func(e endRecord) bool { return e.Since.Equal(*rec.Last.Since) }):
			w.ends = append(w.ends, *rec.Last)
		}
	}
}

// since is the time from which on a run counts as lately, for a candidate; ok is false
// where none does.
func (c *fakeCandidate) since() (t time.Time, ok bool) {
	cfg := c.Candidate.cfg
	return c.Candidate.joined.at.Add(-cfg.SkipIfRunWithin), cfg.SkipIfRunWithin > 0
}

// checkRunsAgain: nobody opens a term after a run that is enough for it, and of which
// the end was told.
func (w *fakeWorld) checkRunsAgain(s *fakeSession) {
	for _, c := range w.candidates {
		since, ok := c.since()
		if c.id != s.name || !ok {
			continue
		}
		for _, e := range w.ends {
			counts := e.ExitCode != nil && (e.Cause == CauseExited && *e.ExitCode == 0 || c.Candidate.cfg.SkipAfter == SkipAfterAny)
			if future := time.Now().Add(c.Candidate.cfg.SkipIfRunWithin); counts && e.Since.After(since) && !e.Since.After(future) {
				w.violated("%s, which joined %v, runs again after a run that began %v", c.id, c.Candidate.joined.at, e.Since)
			}
		}
	}
}

// checkSkipped: whoever skipped did so because of work that has ended as it has to.
func (w *fakeWorld) checkSkipped(c *fakeCandidate) {
	since, _ := c.since()
	for _, k := range w.works {
		counts := k.previous == nil && k.over && (k.code == 0 && k.signal == 0 || c.Candidate.cfg.SkipAfter == SkipAfterAny)
		if counts && k.term.Since.After(since) && k.term.Token == c.out.Skipped.FencingToken {
			return
		}
	}
	w.violated("%s, which joined %v, skips without need: %+v", c.id, c.Candidate.joined.at, c.out.Skipped)
}

// started: a work is started in an open term alone, and never beside another.
func (w *fakeWorld) started(work *fakeWork) {
	for _, other := range w.works {
		if other != work && other.alive() && (!w.early || w.proof && !work.fence()) {
			w.violated("%s starts its work while that of %s is alive", work.c.id, other.c.id)
		}
	}
	for _, s := range w.sessions {
		if s.sid == work.term.Session && s.gone && !w.early {
			w.violated("%s starts its work in a session that is over", work.c.id)
		}
	}
	if n := w.store.nodes[w.place.latch]; w.place.recipe == RecipePlain && n.owner != work.term.Session && !w.taken[work.term.Session] {
		w.violated("%s starts its work and never owned the node", work.c.id)
	}
	if work.term.Token > w.token {
		w.violated("%s starts its work with token %d, the last is %d", work.c.id, work.term.Token, w.token)
	}
}

// fakePlan is how a work behaves.
type fakePlan struct {
	runs      time.Duration // 0: until it is stopped
	code      int
	stopTakes time.Duration // from Stop to its end; -1: it ignores Stop
	killTakes time.Duration
	leaves    bool // something of it stays alive when the main part ends
	fails     error
}

// fakeWork is the work of one term, its own lock inside the world's.
type fakeWork struct {
	w    *fakeWorld
	c    *fakeCandidate
	term Term
	plan fakePlan

	startedAt, endedAt time.Duration
	stops, kills       []time.Duration
	freezes, thaws     []time.Duration
	frozen             bool
	later              []func()  // what it would have done while frozen
	previous           *Previous // for which it is the fence
	exited, done       chan struct{}
	over               bool
	mainOver           bool
	code               int
	signal             syscall.Signal
}

func (k *fakeWork) alive() bool { return !k.over }

func (k *fakeWork) locked(f func()) func() {
	return func() {
		k.w.mu.Lock()
		defer k.w.mu.Unlock()
		f()
	}
}

func (k *fakeWork) exit(code int, signal syscall.Signal) {
	if k.mainOver {
		return
	}
	k.mainOver, k.code, k.signal = true, code, signal
	close(k.exited)
}

func (k *fakeWork) end(code int, signal syscall.Signal) {
	if k.over {
		return
	}
	k.exit(code, signal)
	k.over, k.endedAt = true, k.w.now()
	k.w.note("%s: work is dead", k.c.id)
	close(k.done)
}

func (k *fakeWork) Stop() {
	k.locked(func() {
		k.stops = append(k.stops, k.w.now())
		k.w.note("%s: work is stopped", k.c.id)
		if k.plan.stopTakes >= 0 {
			time.AfterFunc(k.plan.stopTakes, k.locked(k.unfrozen(func() { k.end(0, syscall.SIGTERM) })))
		}
	})()
}

func (k *fakeWork) Kill() {
	k.locked(func() {
		k.kills = append(k.kills, k.w.now())
		k.w.note("%s: work is killed", k.c.id)
		time.AfterFunc(k.plan.killTakes, k.locked(func() { k.end(0, syscall.SIGKILL) }))
	})()
}

func (k *fakeWork) Left() []int             { return []int{4711} }
func (k *fakeWork) Exited() <-chan struct{} { return k.exited }
func (k *fakeWork) Done() <-chan struct{}   { return k.done }
func (k *fakeWork) Status() (int, syscall.Signal) {
	k.w.mu.Lock()
	defer k.w.mu.Unlock()
	return k.code, k.signal
}

// said is how often the work was asked to stop and was killed, and when first.
func (k *fakeWork) said() (stops, kills int, stop, kill time.Duration) {
	k.w.mu.Lock()
	defer k.w.mu.Unlock()
	if stops = len(k.stops); stops > 0 {
		stop = k.stops[0]
	}
	if kills = len(k.kills); kills > 0 {
		kill = k.kills[0]
	}
	return stops, kills, stop, kill
}

// dead waits for the end of the work and tells when it came.
func (k *fakeWork) dead() time.Duration {
	k.w.t.Helper()
	k.w.until("the work of "+k.c.id+" is dead", func() bool {
		k.w.mu.Lock()
		defer k.w.mu.Unlock()
		return !k.alive()
	})
	return k.endedAt
}

// name is that of the work's queue node.
func (k *fakeWork) name() string { return path.Base(k.term.Node) }
