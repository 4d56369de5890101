package child

import (
	"errors"
	"os"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// nursery knows which descendants of this process belong to which tree.
//
// Everything rests on one fact: only the nursery reaps what comes back to this
// process, and only under its lock. So as long as anything of a tree lives there
// is a child of ours, alive or a zombie, that leads to it, and while the lock is
// held that child keeps its number and its place. (A main process is reaped by
// the goroutine that waits for it.)
type nursery struct {
	mu       sync.Mutex
	fs       *procfs
	self     int
	trees    map[*tree]struct{}
	starting int             // Starts under way, whose main process nobody can name yet
	claims   map[ident]claim // the verdicts on whatever was alive at the last look
	known    map[int]bool    // of those, the children of ours that are a tree's: they keep their number
	reaper   bool            // this process was a subreaper before the first tree
}

// claim says whose a process is.
type claim struct {
	stranger bool  // started by other code of this program, or before the trees
	tree     *tree // nil for an orphan whose tree can't be told: it counts for each
}

var trees = &nursery{fs: newProcfs("/proc"), self: os.Getpid(), trees: map[*tree]struct{}{}}

// expect prepares for a new tree. Each expect is followed by one welcome.
func (n *nursery) expect() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.starting++
	if len(n.trees) > 0 || n.starting > 1 {
		return
	}
	n.claims, n.known = map[ident]claim{}, map[int]bool{}
	var was int32
	if unix.Prctl(unix.PR_GET_CHILD_SUBREAPER, uintptr(unsafe.Pointer(&was)), 0, 0, 0) == nil {
		n.reaper = was != 0
	}
	_ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) // every Linux that Go runs on has it
	if _, err := waitable(); errors.Is(err, unix.ECHILD) {
		return // the plain case: no child at all, nothing to look for
	}
	for _, p := range n.fs.scan(n.self) {
		n.claims[p.ident] = claim{stranger: true}
	}
}

// welcome ends an expect, with nil if the start failed.
func (n *nursery) welcome(p *tree) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.starting--
	if p != nil {
		n.trees[p] = struct{}{}
	}
	n.rest()
}

// forget removes a tree of which nothing is left.
func (n *nursery) forget(p *tree) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.trees, p)
	n.rest()
}

// rest gives up being a subreaper while there is no tree, so that what other
// children leave behind goes to init again, which reaps it.
func (n *nursery) rest() {
	if len(n.trees) == 0 && n.starting == 0 && !n.reaper {
		_ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
	}
}

// view is what a look found of one tree.
type view struct {
	members   []proc // parents first; zombies that wait for a parent of theirs too
	others    bool   // this process has children that are not of this tree
	undecided bool   // or some of which that can't be said yet
}

// none says that nothing of the tree was found.
func (v view) none() bool { return len(v.members) == 0 && !v.undecided }

// look finds what is alive of a tree and reaps what has died on the way. A
// thorough one misses nothing, at the price of reading every process there is.
func (n *nursery) look(p *tree, thorough bool) view {
	list := n.fs.below
	if thorough {
		list = n.fs.scan
	}
	var v view
	var dead []proc // reaped only after the last verdict: see nursery
	seen := list(n.self)
	clues := sync.OnceValue(n.gather)
	byPid := map[int]claim{}
	claims := map[ident]claim{}
	known := map[int]bool{}
	for _, d := range seen {
		c, ok := byPid[d.ppid]
		if d.ppid == n.self {
			c, ok = n.judge(d, clues)
			v.undecided = v.undecided || !ok
		}
		if !ok {
			continue // below an undecided one
		}
		byPid[d.pid], claims[d.ident] = c, c
		ours := !c.stranger && (c.tree == p || c.tree == nil)
		v.others = v.others || !ours
		known[d.pid] = d.ppid == n.self && !c.stranger && !n.isMain(d.pid)
		if known[d.pid] && d.state == 'Z' {
			dead = append(dead, d)
		} else if ours {
			v.members = append(v.members, d)
		}
	}
	for _, d := range dead {
		reaped, err := unix.Wait4(d.pid, nil, unix.WNOHANG|unix.WALL, nil)
		if reaped == d.pid || err != nil {
			delete(known, d.pid)
		} else if c := claims[d.ident]; c.tree == p || c.tree == nil {
			v.members = append(v.members, d) // its first thread has ended, others live
		}
	}
	n.remember(claims)
	n.known = known
	return v
}

// remember replaces the verdicts by those of a look. One on a stranger stays as
// long as the stranger lives: a quick look can miss it.
func (n *nursery) remember(claims map[ident]claim) {
	for id, c := range n.claims {
		if _, seen := claims[id]; c.stranger && !seen {
			if d, ok := n.fs.stat(id.pid); ok && d.ident == id {
				claims[id] = c
			}
		}
	}
	n.claims = claims
}

// clues tell children that other code has started from those that came back.
type clues struct {
	held    map[int]bool // the processes of which this program holds a pidfd
	forking bool         // other code is forking: a child may be older than its pidfd
}

// gather collects the clues for processes that were seen just now, and no later
// ones. (Waiting for the lock would be simpler than looking whether it is taken, but
// an exec can hang on a dead file server.)
func (n *nursery) gather() clues {
	forking := !syscall.ForkLock.TryRLock()
	if !forking {
		syscall.ForkLock.RUnlock()
	}
	return clues{n.fs.pidfds(), forking}
}

// judge decides whose a child of this process is; false if that must wait.
func (n *nursery) judge(d proc, clues func() clues) (claim, bool) {
	if c, ok := n.claims[d.ident]; ok {
		return c, true
	}
	for p := range n.trees {
		// The main process may have been reaped since it was seen: not by its number
		// alone then, which may be another's. No new process can get the number
		// while the group that it names has a member.
		if d.ident == (ident{p.pid, p.start}) || d.pgid == p.pid && d.pid != p.pid {
			return claim{tree: p}, true
		}
	}
	if n.starting > 0 {
		return claim{}, false // it may be the main process of a new tree
	}
	c := clues()
	stranger := c.held[d.pid]
	if c.forking {
		// A child is in /proc a moment before os/exec has its pidfd, but runs only
		// afterwards. Until its exec it has our stack, at an address made at random
		// (where that is turned off, a second zkelect in the tree may have the same).
		self, _ := n.fs.stat(n.self)
		stranger = stranger || d.stack != 0 && d.stack == self.stack
	}
	// One that is no child any more was reaped by other code since it was seen. Its
	// pidfd may have been closed before we looked, and its number is free.
	err := unix.Waitid(unix.P_PID, d.pid, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT|unix.WALL, nil)
	return claim{stranger: stranger || errors.Is(err, unix.ECHILD)}, true
}

// isMain says whether pid is a main process, which its own goroutine reaps.
func (n *nursery) isMain(pid int) bool {
	for p := range n.trees {
		if p.pid == pid && !p.isReaped() {
			return true
		}
	}
	return false
}

// reap buries the dead that came back to this process, at the cost of a few
// system calls each. childless is the kernel's word that this process has no
// child of any kind left; stuck means that a child which is not ours to reap, or
// not yet known to be, hides whatever is behind it: only a look helps.
func (n *nursery) reap() (childless, stuck bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for {
		pid, err := waitable()
		switch {
		case errors.Is(err, unix.ECHILD):
			return true, false
		case err != nil:
			return false, true
		case pid == 0 || n.isMain(pid):
			return false, false
		case !n.known[pid]:
			d, ok := n.fs.stat(pid)
			if !ok {
				return false, true // reaped by other code just now
			}
			if c, ok := n.judge(d, n.gather); !ok || c.stranger {
				return false, true
			}
		}
		delete(n.known, pid)
		_, _ = unix.Wait4(pid, nil, unix.WNOHANG|unix.WALL, nil)
	}
}

// waitable names a child that has ended, without reaping it; 0 if none has, and
// ECHILD if there is no child. One that ends without SIGCHLD is none: what we start
// and what comes back does so (the kernel sees to that as it hands an orphan on), and
// the one that os/exec tries pidfds out with at first use is not to be disturbed.
func waitable() (int, error) {
	var info unix.Siginfo
	for {
		err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		// si_pid comes first in a union that follows three ints and is aligned as
		// a pointer is; package unix has no name for it.
		const align = unsafe.Sizeof(uintptr(0))
		const offset = (3*4 + align - 1) / align * align
		return int(*(*int32)(unsafe.Add(unsafe.Pointer(&info), offset))), err
	}
}
