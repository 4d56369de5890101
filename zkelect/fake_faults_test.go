package zkelect

import (
	"context"
	"encoding/json"
	"path"
	"time"

	"github.com/go-zookeeper/zk"
)

// fakeLoss is what becomes of a request.
type fakeLoss int

const (
	answeredLoss fakeLoss = iota
	lostBefore            // the connection breaks before the request arrives
	lostAfter             // and after it was executed
	silentBefore          // no answer, and nothing else on this connection
	silentAfter
	swallowed // this one answer alone does not come
)

// fault is what goes wrong with one request.
type fault struct {
	loss          fakeLoss
	stale         bool          // a listing by a server that is behind
	delay, answer time.Duration // of the request and its answer, beside the latency
}

// rule makes one fault.
type rule struct {
	who   string
	which func(*fakeRequest) bool
	fault fault
	left  int
	then  []func() // called with the lock held when the rule strikes
}

// on makes the next request of who that matches strike a fault.
func (w *fakeWorld) on(who string, which func(*fakeRequest) bool, f fault, then ...func()) *rule {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.added(who, which, f, then...)
}

// added is on with the lock held.
func (w *fakeWorld) added(who string, which func(*fakeRequest) bool, f fault, then ...func()) *rule {
	r := &rule{who: who, which: which, fault: f, left: 1, then: then}
	w.faults = append(w.faults, r)
	return r
}

// whenExecuted has f called with the lock held for each request as it is executed.
func (w *fakeWorld) whenExecuted(f func(*fakeSession, *fakeRequest, fakeAnswer)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = f
}

func (w *fakeWorld) opening(r *fakeRequest) bool { return r.opens(w.place) }
func (w *fakeWorld) closing(r *fakeRequest) bool { return r.closes(w.place) }

func (w *fakeWorld) faultOf(s *fakeSession, r *fakeRequest) fault {
	for _, rule := range w.faults {
		if rule.left == 0 || rule.who != s.name || !rule.which(r) {
			continue
		}
		rule.left--
		w.note("%s: fault %+v on %s %s", s.name, rule.fault, r.kind, r.path)
		for _, then := range rule.then {
			then()
		}
		return rule.fault
	}
	if w.randomize != nil {
		return w.randomize(s, r)
	}
	return fault{}
}

// byHand does operations as a person does, with rights to everything.
func (w *fakeWorld) byHand(ops ...any) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err := w.store.multi(0, ops)
	w.note("by hand: %s: %v", describe(ops), err)
	w.committed(nil, nil)
	return err
}

// make makes nodes by hand, parents included.
func (w *fakeWorld) make(paths ...string) {
	for _, p := range paths {
		if dir := path.Dir(p); dir != "/" {
			w.make(dir)
		}
		w.byHand(create(p, "", zk.FlagPersistent))
	}
}

// ask makes a request to resign, or to hand over, as resign does. It returns
// the request's node.
func (w *fakeWorld) ask(s *fakeSession, term, to string) string {
	dir := w.place.requests
	if to != "" {
		dir = w.place.transfer
	}
	data, _ := json.Marshal(request{Format: recordFormat, Term: term, To: to, By: s.name})
	node := dir + "/" + newUUID(false)
	if _, err := s.create(context.Background(), node, data, zk.FlagEphemeral); err != nil {
		w.t.Fatal("ask: ", err)
	}
	return node
}

// cut keeps the candidate from all servers. Its follower is dead; what it did
// not pass on is lost. Where silent, the client has to find that out by itself.
func (w *fakeWorld) cut(name string, silent bool) (at time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cuts[name] = true
	w.note("%s: cut off", name)
	for _, s := range w.sessions {
		if c := s.conn; s.name == name && c != nil {
			c.follower = true
			if s.blacken(c); !silent {
				s.detach(zk.ErrConnectionClosed)
			}
		}
	}
	return w.now()
}

// heal lets the candidate find servers again.
func (w *fakeWorld) heal(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.cuts[name] {
		return
	}
	delete(w.cuts, name)
	w.note("%s: healed", name)
	for _, s := range w.sessions {
		if s.name == name {
			time.AfterFunc(w.reconnect(), func() {
				w.mu.Lock()
				defer w.mu.Unlock()
				s.attach()
			})
		}
	}
}
