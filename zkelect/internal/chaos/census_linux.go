package chaos

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"zkelect/zkelect/zktest"
)

// A process is one of a contender's tree, as it announced itself.
type process struct {
	Role    string `json:"role"`
	ID      string `json:"id"`
	Path    string `json:"path"`
	Node    string `json:"node"`
	Token   int64  `json:"token"`
	Started int64  `json:"started"`
	Stamps  string `json:"stamps"`
	Overlap bool   `json:"overlap"`

	pid   int // as seen from here
	pidfd int // -1 once it is dead
	died  int64
	// blamed: it has outlived a node of its term.
	blamed bool
	// seen is the last moment at which it proved to be alive.
	seen int64
}

// alive asks the kernel.
func (p *process) alive() bool {
	if p.died != 0 {
		return false
	}
	now := zktest.Stamp()
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(p.pidfd), Events: unix.POLLIN}}, 0)
	if err == nil && n == 0 {
		p.seen = max(p.seen, now)
		return true
	}
	return false
}

// A term is one span of leadership with its tree.
type term struct {
	election  int
	id        string
	node      string
	token     int64
	processes []*process
	first     int64 // first stamp
	// When the servers were first known to have deleted the nodes, 0: not yet.
	nodeGone, liveGone int64
	// struck: a fault has struck its elector or its guard.
	struck bool
	// Deleted by our hand, which is no deed of the leader's.
	liveByHand bool
}

func (t *term) aliveNow() (alive []*process) {
	for _, p := range t.processes {
		if p.alive() {
			alive = append(alive, p)
		}
	}
	return alive
}

// died is when the last of the tree died, 0 while one is alive.
func (t *term) died() int64 {
	last := int64(0)
	for _, p := range t.processes {
		if p.died == 0 {
			return 0
		}
		last = max(last, p.died)
	}
	return last
}

// census knows all processes of all trees and judges what it learns.
type census struct {
	dir      string
	listener net.Listener
	onTerm   func(*term) // called once for each new term, with nothing held
	blame    func(check string, election int, format string, args ...any)

	mu       sync.Mutex
	paths    map[string]int    // of the elections
	terms    []*term           // in the order in which they were learned of
	highest  map[int]int64     // token
	pairs    map[[2]int64]bool // tokens of trees that overlap, blamed once
	handled  map[string]bool   // nodes in the queue that we have deleted
	counting sync.WaitGroup
}

func newCensus(dir string, elections []Election) (*census, error) {
	c := &census{dir: dir, paths: map[string]int{}, highest: map[int]int64{}, handled: map[string]bool{}, pairs: map[[2]int64]bool{}}
	for i, e := range elections {
		c.paths[e.Path] = i
	}
	var err error
	c.listener, err = net.Listen("unix", filepath.Join(dir, "harness"))
	return c, err
}

func (c *census) serve() {
	for {
		conn, err := c.listener.Accept()
		if err != nil {
			return
		}
		c.counting.Go(func() {
			defer conn.Close()
			if err := c.count(conn.(*net.UnixConn)); err != nil {
				c.blame("harness", -1, "census: %v", err)
			}
		})
	}
}

// count follows one process from its announcement to its death.
func (c *census) count(conn *net.UnixConn) error {
	p := &process{}
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	// The kernel names the pid as it is here, whatever namespace the process is in.
	if ctlErr := raw.Control(func(fd uintptr) {
		var cred *unix.Ucred
		if cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			p.pid = int(cred.Pid)
			p.pidfd, err = unix.PidfdOpen(p.pid, 0)
		}
	}); ctlErr != nil || err == unix.ESRCH {
		return ctlErr // it is dead already, and has done nothing
	}
	if err != nil {
		return fmt.Errorf("open pidfd of %d: %w", p.pid, err)
	}
	in := bufio.NewReader(conn)
	line, err := in.ReadBytes('\n')
	if err == nil {
		if err := json.Unmarshal(line, p); err != nil {
			return err
		}
		c.enter(p)
	}
	_, _ = io.Copy(io.Discard, in) // until its death
	c.leave(p, zktest.Stamp())
	return nil
}

// enter takes a process in and compares it with all others of its election.
func (c *census) enter(p *process) {
	c.mu.Lock()
	e, known := c.paths[p.Path]
	if !known {
		c.mu.Unlock()
		c.blame("harness", -1, "a process of no election: %+v", p)
		return
	}
	p.seen = p.Started
	var t *term
	for _, o := range c.terms {
		switch {
		case o.election != e:
		case o.token == p.Token:
			t = o
		default:
			pair := [2]int64{o.token, p.Token}
			for _, q := range o.aliveNow() {
				if c.pairs[pair] {
					break
				}
				c.pairs[pair] = true
				c.blame("overlap", e, "%s (token %d) has started pid %d %v ago, and pid %d of %s (token %d, %s) is alive",
					p.ID, p.Token, p.pid, time.Duration(zktest.Stamp()-p.Started), q.pid, q.ID, q.Token, q.Role)
			}
		}
	}
	if p.Overlap {
		c.blame("overlap", e, "%s (token %d) found the lock held by another tree", p.ID, p.Token)
	}
	fresh := t == nil
	if fresh {
		if p.Token <= c.highest[e] {
			c.blame("token", e, "%s has token %d, and there was %d before", p.ID, p.Token, c.highest[e])
		}
		c.highest[e] = max(c.highest[e], p.Token)
		t = &term{election: e, id: p.ID, node: p.Node, token: p.Token, first: p.Started}
		c.terms = append(c.terms, t)
	}
	t.first = min(t.first, p.Started)
	t.processes = append(t.processes, p)
	c.judge(t)
	c.mu.Unlock()
	if fresh {
		c.onTerm(t)
	}
}

func (c *census) leave(p *process, died int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p.died = died
	unix.Close(p.pidfd)
	p.pidfd = -1
	if b, err := os.ReadFile(p.Stamps); err == nil && len(b) >= 8 {
		p.seen = max(p.seen, int64(binary.LittleEndian.Uint64(b)))
	}
	_ = os.Remove(p.Stamps)
}

// gone takes note that the servers have deleted a node of the term.
func (c *census) gone(t *term, live bool, at int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	which := &t.nodeGone
	if live {
		which = &t.liveGone
	}
	if *which == 0 {
		*which = at
		c.judge(t)
	}
}

// judge blames the processes that are alive though a node of theirs is gone. It
// is asked when something new is known, so it can be as late as the news.
func (c *census) judge(t *term) {
	what := ""
	switch {
	case t.liveGone != 0 && !t.liveByHand:
		what = "live"
	case t.nodeGone != 0 && !c.handled[t.node]:
		what = "the node in the queue"
	default:
		return
	}
	for _, p := range t.aliveNow() {
		if p.blamed {
			continue // for the other node
		}
		p.blamed = true
		c.blame("outlived", t.election, "%s (token %d): %s was deleted, and pid %d (%s) is alive", t.id, t.token, what, p.pid, p.Role)
	}
}

// byHand notes that we are about to delete a node of the term, its live or the one
// in the queue, unless the other is gone by our hand already: a leader that has
// lost both, and is cut off, is beyond help.
func (c *census) byHand(t *term, live bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.liveByHand || c.handled[t.node] {
		return false
	}
	if live {
		t.liveByHand = true
	} else {
		c.handled[t.node] = true
	}
	return true
}

// nodeByHand notes the same of a node in the queue, whose owner may be about to
// lead.
func (c *census) nodeByHand(node string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.terms {
		if t.node == node && t.liveByHand {
			return false
		}
	}
	c.handled[node] = true
	return true
}

// claim lets one fault strike elector or guard of a term, and no second one.
func (c *census) claim(t *term) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	first := !t.struck
	t.struck = true
	return first
}

// leader is the newest term of an election if its main process is alive.
func (c *census) leader(election int) (*term, *process) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range slices.Backward(c.terms) {
		if t.election != election {
			continue
		}
		for _, p := range t.processes {
			if p.Role == "main" && p.alive() {
				return t, p
			}
		}
		return nil, nil
	}
	return nil, nil
}

// leftovers are processes that are alive beside the newest term of their
// election; all that are alive where nobody should lead any more.
func (c *census) leftovers(all bool) (left []*process) {
	c.mu.Lock()
	defer c.mu.Unlock()
	newest := map[int]*term{}
	for _, t := range c.terms {
		newest[t.election] = t
	}
	for _, t := range c.terms {
		if all || newest[t.election] != t {
			left = append(left, t.aliveNow()...)
		}
	}
	return left
}

// compareStamps looks at the whole run once more: by their first and last signs
// of life, no two trees overlap, and none outlived its nodes.
func (c *census) compareStamps() {
	c.mu.Lock()
	defer c.mu.Unlock()
	type life struct {
		*term
		last int64
	}
	lives := map[int][]life{}
	for _, t := range c.terms {
		l := life{term: t}
		for _, p := range t.processes {
			l.last = max(l.last, p.seen)
		}
		lives[t.election] = append(lives[t.election], l)
		if t.liveGone != 0 && !t.liveByHand && l.last > t.liveGone {
			c.blame("outlived", t.election, "%s (token %d): last sign of life %v after live was deleted", t.id, t.token, time.Duration(l.last-t.liveGone))
		}
		if t.nodeGone != 0 && !c.handled[t.node] && l.last > t.nodeGone {
			c.blame("outlived", t.election, "%s (token %d): last sign of life %v after the node in the queue was deleted", t.id, t.token, time.Duration(l.last-t.nodeGone))
		}
	}
	for e, sorted := range lives {
		slices.SortFunc(sorted, func(a, b life) int { return cmp.Compare(a.first, b.first) })
		for i := 1; i < len(sorted); i++ {
			before, after := sorted[i-1], sorted[i]
			if before.last > after.first {
				c.blame("overlap", e, "%s (token %d) began %v before the last sign of life of %s (token %d)",
					after.id, after.token, time.Duration(before.last-after.first), before.id, before.token)
			}
			if after.token <= before.token {
				c.blame("token", e, "%s has token %d, after %d", after.id, after.token, before.token)
			}
		}
	}
}
