package child

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// BestEffort says that this system has no means to find daemons of the child.
const BestEffort = false

// The names that the processes of this package go by: their first argument, which
// is how a process knows that it is one.
const (
	guardName = "zkelect-guard"
	initName  = "zkelect-init"
)

const (
	// hearing is how long a guard that is asked to kill may take to say that it
	// has heard: a stopped one never will, and its tree can't wait.
	hearing = 50 * time.Millisecond
	// answering is how long a guard may take to say anything else.
	answering = 5 * time.Second
	// parting is how long a guard may take to end that is closed before its tree has ended.
	parting = time.Second
	// ownSlack is how much later than the lease the kernel ends this process
	// itself, should it be stuck: by then the guard has done its work.
	ownSlack = time.Second
)

// Guard is a process that stands between this one, its owner, and a command: the
// same program, started again. It is the command's parent, and what holds the tree
// together when the owner dies, stops or hangs.
type Guard struct {
	t      *tree // the guard, and what comes back here once it is dead
	socket *os.File
	term   *terminal
	level  Isolation
	cgroup *cgroup
	timer  *ktimer // for this process

	ready chan struct{} // closed when the guard stands
	over  chan struct{} // closed when it and all of its tree are gone
	say   chan message

	failed chan struct{} // closed when it can't do what it is for
	fault  error         // and why

	mu      sync.Mutex
	heard   chan struct{} // closed when a sayKill was taken up
	run     *Process      // the last that was started
	reply   chan message  // of a start under way
	closing bool
	lease   [3]time.Duration
	taken   []chan struct{} // closed when a will was taken up, in their order
	unheard time.Duration   // since when a lease is unacknowledged; 0 if none is
}

// NewGuard starts a guard. It returns at once: see Await.
func NewGuard(o GuardOptions) (*Guard, error) {
	level, cg, err := o.Isolate.choose()
	if err != nil {
		return nil, err
	}
	g, err := newGuard(guardName, o, level, cg, 0)
	if err != nil {
		cg.remove()
		return nil, fmt.Errorf("start the guard process: %w; raise the limit (ulimit -a) or end other processes", err)
	}
	return g, nil
}

// newGuard starts this program again under a name. The first thing it is told is
// what it has to know.
func newGuard(name string, o GuardOptions, level Isolation, cg *cgroup, flags uintptr) (*Guard, error) {
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	raw, err := theirs.SyscallConn()
	if err != nil {
		return nil, err
	}
	home := o.home
	if home == 0 {
		home = unix.Getpgrp()
	}
	g := &Guard{
		socket: ours, term: openTerminal(home), level: level, cgroup: cg,
		ready: make(chan struct{}), failed: make(chan struct{}), over: make(chan struct{}), say: make(chan message, 256),
		heard: make(chan struct{}),
	}
	err = raw.Control(func(fd uintptr) {
		g.t, err = plant(sapling{
			Command: Command{
				Path: "/proc/self/exe", Env: guardEnviron(),
				Args: []string{name, fmt.Sprint(os.Getpid()), fmt.Sprint(fd)},
			},
			files: handed(o.files(), int(fd)), isolate: flags, dieToo: name == initName,
		})
	})
	if err != nil {
		g.term.close()
		ours.Close()
		return nil, err
	}
	if name == guardName {
		g.timer, _ = newKtimer(unix.CLOCK_MONOTONIC) // without one there is still the guard's
	}
	g.t.cgroup = cg
	dir := ""
	if cg != nil {
		dir = cg.dir
	}
	g.send(sayHello, dir, number(home), number(level), number(o.Grace))
	go g.speak()
	go g.listen()
	return g, nil
}

// guardEnviron is this process's without the credentials: the guard has no use for
// them, and the command gets an environment of its own.
func guardEnviron() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "ZKELECT_AUTH=") })
}

// Await returns when the guard stands: from then on the death of this process ends
// what it starts. It returns early when stop is closed. A guard that takes too long,
// since somebody has stopped it, say, is killed.
func (g *Guard) Await(stop <-chan struct{}) error { return g.await(g.ready, stop) }

func (g *Guard) await(done, stop <-chan struct{}) error {
	late := time.NewTimer(answering)
	defer late.Stop()
	for {
		select {
		case <-done:
			return nil
		case <-g.failed:
			return g.fault
		case <-g.over:
			return ErrGuard
		case <-stop:
			return nil
		case <-late.C:
			g.t.Kill()
		}
	}
}

// Over is closed when the guard is dead and nothing of its tree is alive.
func (g *Guard) Over() <-chan struct{} { return g.over }

// Pid is that of the guard.
func (g *Guard) Pid() int { return g.t.pid }

// Will tells the guard what to do once this process is dead and nothing of the
// tree is alive: to become this program again with name as its only argument and
// data to be read from descriptor 3. No data: nothing. It returns when the guard has
// taken it up, as Await does.
func (g *Guard) Will(name string, data []byte, stop <-chan struct{}) error {
	taken := make(chan struct{})
	g.mu.Lock()
	g.taken = append(g.taken, taken)
	g.mu.Unlock()
	g.send(sayWill, name, string(data))
	return g.await(taken, stop)
}

// Lease tells the deadlines in force, on the clock that counts suspend: without
// word from here, the guard sends the stop signal at stop and kills at kill, and
// the kernel kills the guard halfway from there to end, should it be stopped or
// stuck, so that the tree is dead at end. own is when the kernel is to kill this
// process, which has to call Lease again before: it is for the case that it hangs,
// with a session that lives on. Lease tells for how long the guard has not
// acknowledged what it was told.
func (g *Guard) Lease(stop, kill, end, own time.Duration) (silent time.Duration) {
	now := bootTime()
	g.mu.Lock()
	same := g.lease == [3]time.Duration{stop, kill, end}
	g.lease = [3]time.Duration{stop, kill, end}
	busy := g.run != nil && !g.run.isDone()
	if busy {
		// Not on the clock that counts suspend: a host that wakes up kills the
		// guard, and with it the command, and then needs this process to find
		// the daemons.
		g.timer.set(clock(unix.CLOCK_MONOTONIC) + max(end, own) - now + ownSlack)
	}
	if g.unheard > 0 {
		silent = now - g.unheard
	} else if !same {
		g.unheard = now
	}
	g.mu.Unlock()
	if !same {
		g.send(sayLease, number(stop), number(kill), number(end))
	}
	return silent
}

// send never blocks: a guard that doesn't read for so long is dead or stopped.
func (g *Guard) send(kind byte, fields ...string) {
	select {
	case g.say <- message{kind, fields}:
	case <-g.over:
	default:
		g.t.Kill()
	}
}

func (g *Guard) speak() {
	for {
		select {
		case m := <-g.say:
			if _, err := g.socket.Write(m.encode()); err != nil {
				return // listen finds out
			}
		case <-g.t.exited:
			return
		}
	}
}

// listen takes what the guard says, until it is dead.
func (g *Guard) listen() {
	in := bufio.NewReader(g.socket)
	for {
		m, err := readMessage(in)
		if err != nil {
			break
		}
		g.take(m)
	}
	g.mu.Lock()
	closing := g.closing && (g.run == nil || g.run.isDone())
	g.mu.Unlock()
	if !closing {
		g.t.Kill() // whatever of its tree has come back to us
	}
	<-g.t.done
	g.cgroup.remove()
	g.mu.Lock()
	run := g.run
	g.mu.Unlock()
	if run != nil {
		g.term.takeBack(run.Pid())
		g.ended(run, true)
	}
	g.timer.remove()
	g.term.close()
	g.socket.Close()
	close(g.over)
}

// ended notes that nothing of a command is left, and only then disarms the timer:
// Lease arms it for as long as there is something.
func (g *Guard) ended(run *Process, orphan bool) {
	run.end(orphan)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.timer.set(0)
}

func (g *Guard) take(m message) {
	g.mu.Lock()
	run, reply := g.run, g.reply
	g.mu.Unlock()
	switch m.kind {
	case tellReady:
		close(g.ready)
	case tellStarted, tellFailed:
		if reply == nil { // it was only told what it has to know
			g.fault = errors.New(m.field(1))
			close(g.failed)
			return
		}
		if m.kind == tellStarted {
			run.setPid(m.number(0))
		} else {
			g.ended(run, false)
		}
		reply <- m
	case tellHeard:
		g.mu.Lock()
		defer g.mu.Unlock()
		switch m.field(0) {
		case string(sayKill):
			closeOnce(g.heard)
		case string(sayWill):
			if len(g.taken) > 0 {
				close(g.taken[0])
				g.taken = g.taken[1:]
			}
		default:
			g.unheard = 0
		}
	case tellLapsed:
		run.lapse()
	case tellExited:
		run.exit(Status{m.number(0), syscall.Signal(m.number(1))})
	case tellDone:
		g.ended(run, false)
	}
}

// ErrGuard means that the guard died before it had started the command.
var ErrGuard = errors.New("the guard process died")

// Start runs the command under the guard, whose descriptors 0, 1 and 2 it gets.
// When the terminal is its standard input, and not in a pipeline, it becomes the
// terminal's foreground job; in a pipeline only once it reads from the terminal or
// sets it. One command runs at a time.
func (g *Guard) Start(c Command) (*Process, error) {
	c, err := c.prepared()
	if err != nil {
		return nil, err
	}
	if g.term != nil {
		deafToSuspend()
		if g.term.foreground() == g.term.home {
			g.term.keep() // should the guard not live to give it back
		}
	}
	p := newProcess(g)
	reply := make(chan message, 1)
	g.mu.Lock()
	g.run, g.reply = p, reply
	g.mu.Unlock()
	how := ""
	switch {
	case c.foreground:
		how = howForeground
	case c.NoInput:
		how = howNoInput
	}
	fields := []string{c.Path, c.Dir, number(c.StopSignal), how, number(len(c.Args))}
	g.send(sayStart, append(append(fields, c.Args...), c.Env...)...)
	look := time.NewTicker(answering / 10)
	defer look.Stop()
	for {
		select {
		case m := <-reply:
			if m.kind == tellStarted {
				return p, nil
			}
			if no := m.number(0); no != 0 {
				return nil, execError(c.Path, syscall.Errno(no))
			}
			return nil, errors.New(m.field(1))
		case <-g.over:
			return nil, fmt.Errorf("start %s: %w", c.Path, ErrGuard)
		case <-look.C:
			// The start may take long, for an exec from a slow file server say; the
			// guard answers meanwhile.
			g.mu.Lock()
			unheard := g.unheard
			g.mu.Unlock()
			if unheard > 0 && bootTime()-unheard > answering {
				g.t.Kill()
			}
		}
	}
}

// Kill ends the guard with all of its tree, and what it starts just now.
func (g *Guard) Kill() { g.t.Kill() }

// Close ends a guard whose tree is dead, without its will. It does not wait for the
// guard to be gone: see Over.
func (g *Guard) Close() {
	g.mu.Lock()
	g.closing = true
	busy := g.run != nil && !g.run.isDone()
	g.mu.Unlock()
	if !busy {
		// There is nothing that it has to do first, and a stopped one ends like this too.
		g.t.end()
		g.cgroup.remove()
		return
	}
	g.send(sayClose)
	select {
	case <-g.over:
	case <-time.After(parting):
		g.t.Kill()
	}
}
