package zkelect

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-zookeeper/zk"
)

// fakeWorld is one election on an ensemble that exists in memory alone, with
// its candidates and their works, in a bubble of testing/synctest. It sees to
// the invariants at each instant.
type fakeWorld struct {
	t     *testing.T
	place place
	base  time.Time
	tick  time.Duration // of the servers
	// timeout is what a connection that is made is granted, at most.
	timeout time.Duration
	// restricted: what anybody may do has to be asked for.
	restricted bool
	direct     bool // requests touch the leader's tracker at once
	behind     bool // a new connection is to a follower that is behind
	// early tells that a test ends sessions before their time: then nothing
	// on the clients' end can keep the works apart.
	early bool
	// proof tells that all candidates have a delay of the takeover: then even
	// so no two works are alive at a time.
	proof bool
	// latency is how long a message is under way, reconnect how long it takes
	// to find another server.
	latency, reconnect func() time.Duration

	mu         sync.Mutex
	store      *fakeStore
	sessions   []*fakeSession
	candidates []*fakeCandidate
	works      []*fakeWork
	cuts       map[string]bool // who finds no server
	faults     []*rule
	rng        *rand.Rand
	token      int64 // the last term's
	openings   int   // executed
	closings   int
	seen       func(*fakeSession, *fakeRequest, fakeAnswer) // each request as it is executed
	randomize  func(*fakeSession, *fakeRequest) fault
	history    []string
	quiet      bool
	ends       []endRecord    // of terms, as records have told
	taken      map[int64]bool // the sessions that have made the one node of RecipePlain
}

const fakePath = "/jobs/x"

func newFakeWorld(t *testing.T, seed uint64) *fakeWorld {
	w := &fakeWorld{
		t: t, place: placeOf(fakePath, RecipeLatch), base: time.Now(), tick: 2 * time.Second, timeout: 30 * time.Second,
		store: newFakeStore(), cuts: map[string]bool{}, taken: map[int64]bool{}, rng: rand.New(rand.NewPCG(seed, 7)),
	}
	w.latency = func() time.Duration { return time.Millisecond }
	w.reconnect = func() time.Duration { return 5 * time.Millisecond }
	return w
}

// now is the clock of everybody: like CLOCK_BOOTTIME never 0.
func (w *fakeWorld) now() time.Duration { return time.Hour + time.Since(w.base) }

func (w *fakeWorld) coin() bool { return w.rng.IntN(2) == 0 }

// note adds a line to what is printed when an invariant is broken.
func (w *fakeWorld) note(format string, args ...any) {
	w.history = append(w.history, fmt.Sprintf("%10.4f  ", (w.now()-time.Hour).Seconds())+fmt.Sprintf(format, args...))
}

// violated is called with the lock held.
func (w *fakeWorld) violated(format string, args ...any) {
	w.note("VIOLATION "+format, args...)
	w.t.Errorf(format+"\n%s", append(args, w.story())...)
}

func (w *fakeWorld) story() string {
	from := max(0, len(w.history)-60)
	return strings.Join(w.history[from:], "\n")
}

// execute does a request on the store, and tells those who watch.
func (w *fakeWorld) execute(s *fakeSession, c *fakeConn, r *fakeRequest) fakeAnswer {
	if r.kind == "close" {
		w.checkEnd(s, "closes")
		s.gone = true
	}
	store := w.store
	switch r.kind {
	case "get", "exists", "children":
		if c.view != nil {
			store = &fakeStore{nodes: c.view}
		}
	default:
		s.catchUp(c)
	}
	hold, side := w.holdOf(w.store.nodes[w.place.side]), w.store.nodes[w.place.side]
	a := store.execute(s.sid, r)
	if a.err == nil && r.w != nil {
		s.armed[*r.w] = true
	}
	if r.kind == "multi" && !r.beats() || r.kind == "create" || r.kind == "remove" || r.kind == "close" {
		w.note("%s: %s %s: %v", s.name, r.kind, describe(r.ops), a.err)
	}
	w.committed(s, r)
	if a.err == nil && r.kind == "multi" {
		w.told(r)
	}
	if a.err == nil && r.opens(w.place) {
		w.opened(s, r)
		w.checkHeld(s, hold, side)
	}
	if a.err == nil && r.closes(w.place) {
		w.closings++
	}
	if w.seen != nil {
		w.seen(s, r, a)
	}
	return a
}

func describe(ops []any) string {
	var text []string
	for _, op := range ops {
		switch op := op.(type) {
		case *zk.CheckVersionRequest:
			text = append(text, "check "+path.Base(op.Path))
		case *zk.SetDataRequest:
			text = append(text, fmt.Sprintf("set %s@%d %.200s", path.Base(op.Path), op.Version, op.Data))
		case *zk.DeleteRequest:
			text = append(text, "delete "+path.Base(op.Path))
		case *zk.CreateRequest:
			text = append(text, "create "+path.Base(op.Path))
		}
	}
	return strings.Join(text, "; ")
}

// answered is told when an answer reaches the client.
func (w *fakeWorld) answered(s *fakeSession, r *fakeRequest, a fakeAnswer) {
	if w.behind && s.conn.view == nil {
		s.view = maps.Clone(w.store.nodes)
	}
	if a.err == nil && (r.beats() || r.opens(w.place)) {
		s.good = append(s.good, r.sentAt)
	}
}

// committed checks what the last transaction did, and tells the watchers. by is
// nil for what a person does by hand.
func (w *fakeWorld) committed(by *fakeSession, r *fakeRequest) {
	changes := w.store.changes
	w.store.changes = nil
	for _, change := range changes {
		if change.path == w.place.latch && change.event == zk.EventNodeCreated {
			w.taken[change.node.owner] = true
		}
		if by != nil && change.event == zk.EventNodeDeleted {
			w.checkDeletion(by, r, change)
		}
		for _, s := range w.sessions {
			s.notify(change)
		}
	}
}

// expire ends a session on the servers.
func (w *fakeWorld) expire(s *fakeSession) {
	if s.gone {
		return
	}
	w.note("%s: session %x expires", s.name, s.sid)
	if !w.early {
		w.checkEnd(s, "expires")
	}
	s.gone = true
	w.store.end(s.sid)
	w.committed(nil, nil)
	if c := s.conn; c != nil {
		time.AfterFunc(w.latency(), func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			if s.conn == c {
				s.detach(zk.ErrConnectionClosed)
			}
		})
	}
}

// session makes a session of name's.
func (w *fakeWorld) session(name string) *fakeSession {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := &fakeSession{
		w: w, sid: 0x1000a0000 + int64(len(w.sessions)), name: name, granted: w.timeout, state: sessionSuspended,
		changed: make(chan struct{}), watches: map[watch]chan zk.EventType{}, armed: map[watch]bool{},
	}
	w.sessions = append(w.sessions, s)
	w.note("%s: session %x", name, s.sid)
	s.attach()
	return s
}

// queue is the queue as it stands; with one node for all its holder's queueing.
func (w *fakeWorld) queue() queue {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.store.nodes[w.place.latch]; w.place.recipe == RecipePlain {
		if !ok {
			return nil
		}
		return queue{{name: string(w.store.nodes[w.place.live].data)}}
	}
	return newQueue(w.store.children(w.place.latch), w.place.recipe.family())
}

// record is the side node as it stands.
func (w *fakeWorld) record() *record {
	w.mu.Lock()
	defer w.mu.Unlock()
	r, err := parseRecord(w.store.nodes[w.place.side].data, w.place.recipe, w.place.side)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// live is the queue node that live names, "" without live.
func (w *fakeWorld) live() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.store.nodes[w.place.live].data)
}

// current is the candidate's newest session.
func (w *fakeWorld) current(name string) (found *fakeSession) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.sessions {
		if s.name == name {
			found = s
		}
	}
	return found
}

// lastGood is when the newest good check of the session was sent.
func (s *fakeSession) lastGood() time.Duration {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	return s.good[len(s.good)-1]
}

// until waits for a condition, for ten minutes at most.
func (w *fakeWorld) until(what string, condition func() bool) {
	w.t.Helper()
	for range 60_000 {
		synctest.Wait()
		if condition() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.t.Fatalf("never: %s\n%s", what, w.story())
}

// inWorld runs a test in a world of its own.
func inWorld(t *testing.T, test func(*fakeWorld)) {
	t.Helper()
	inWorldOf(t, RecipeLatch, test)
}

func inWorldOf(t *testing.T, recipe Recipe, test func(*fakeWorld)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newFakeWorld(t, 1)
		w.place = placeOf(fakePath, recipe)
		defer w.end()
		test(w)
	})
}

// end ends everything, so that the bubble can.
func (w *fakeWorld) end() {
	w.mu.Lock()
	w.faults, w.randomize = nil, nil
	candidates := w.candidates
	w.mu.Unlock()
	for _, c := range candidates {
		w.heal(c.id)
		c.Kill()
	}
	for _, c := range candidates {
		if c.begun {
			<-c.done
		}
	}
	if w.t.Failed() && !w.quiet {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.t.Log("\n" + w.story())
	}
}
