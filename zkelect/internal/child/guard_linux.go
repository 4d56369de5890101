package child

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
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
	// parting is how long a guard may take to end that was closed.
	parting = time.Second
	// settled is how long a command lives until this process makes the threads that it
	// may need for the end of the tree. The guard has its own before the start.
	settled = 10 * time.Millisecond
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

	over chan struct{} // closed when it and all of its tree are gone

	failed chan struct{} // closed when it can't do what it is for
	fault  error         // and why

	mu      sync.Mutex
	unsaid  []byte        // what the socket has not taken yet
	heard   chan struct{} // closed when a sayKill was taken up
	run     *Process      // the last that was started
	reply   chan message  // of a start under way
	closing bool
	lease   [3]time.Duration // in force
	told    [3]time.Duration // as the guard was told
	taken   []chan struct{}  // closed when a will or the like was taken up, in their order
	unheard time.Duration    // since when a lease is unacknowledged; 0 if none is
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
	defer unix.Close(theirs)
	home := o.home
	if home == 0 {
		home = unix.Getpgrp()
	}
	g := &Guard{
		socket: ours, term: openTerminal(home), level: level, cgroup: cg,
		failed: make(chan struct{}), over: make(chan struct{}), heard: make(chan struct{}),
	}
	g.t, err = plant(sapling{
		Command: Command{
			Path: "/proc/self/exe", Env: guardEnviron(),
			Args: []string{name, strconv.Itoa(os.Getpid()), strconv.Itoa(theirs)},
		},
		files: handed(o.files(), theirs), isolate: flags, dieToo: name == initName,
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
	go g.listen()
	return g, nil
}

// guardEnviron is this process's without the credentials: the guard has no use for
// them, and the command gets an environment of its own. The guard begins with one
// thread at a time, which is all that it needs for long: see settle.
func guardEnviron() []string {
	return append(slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "ZKELECT_AUTH=") || strings.HasPrefix(v, "GOMAXPROCS=")
	}), "GOMAXPROCS=1")
}

// Await returns when the guard stands: from then on the death of this process ends
// what it starts. It returns early when stop is closed. A guard that takes too long,
// since somebody has stopped it, say, is killed.
func (g *Guard) Await(stop <-chan struct{}) error { return g.ask(stop, sayHere) }

// ask sends what the guard answers as soon as it has taken it up.
func (g *Guard) ask(stop <-chan struct{}, kind byte, fields ...string) error {
	done := make(chan struct{})
	g.mu.Lock()
	g.taken = append(g.taken, done)
	g.say(kind, fields...)
	g.mu.Unlock()
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
// data to be read from descriptor 3. No data: nothing. It returns when the guard stands
// and has taken it up, as Await does.
func (g *Guard) Will(name string, data []byte, stop <-chan struct{}) error {
	return g.ask(stop, sayWill, name, string(data))
}

// Lease tells the deadlines in force, on the clock that counts suspend: without
// word from here, the guard sends the stop signal at stop and kills at kill, and
// the kernel kills the guard halfway from there to end, should it be stopped or
// stuck, so that the tree is dead at end. own is when the kernel is to kill this
// process, which has to call Lease again before: it is for the case that it hangs,
// with a session that lives on. Lease tells for how long the guard has not
// acknowledged what it was told: where nothing runs it hears with the next Start.
func (g *Guard) Lease(stop, kill, end, own time.Duration) (silent time.Duration) {
	now := bootTime()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lease = [3]time.Duration{stop, kill, end}
	if g.run == nil || g.run.isDone() {
		return 0
	}
	// Not on the clock that counts suspend: a host that wakes up kills the
	// guard, and with it the command, and then needs this process to find
	// the daemons.
	g.timer.set(clock(unix.CLOCK_MONOTONIC) + max(end, own) - now + ownSlack)
	if g.unheard > 0 {
		silent = now - g.unheard
	}
	if g.lease != g.told {
		g.told = g.lease
		if g.unheard == 0 {
			g.unheard = now
		}
		g.say(sayLease, number(stop), number(kill), number(end))
	}
	return silent
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
		g.ended(run, killed, true)
	}
	g.timer.remove()
	g.term.close()
	g.socket.Close()
	close(g.over)
}

// ended notes that nothing of a command is left, and only then disarms the timer:
// Lease arms it for as long as there is something.
func (g *Guard) ended(run *Process, st Status, orphan bool) {
	run.end(st, orphan)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.timer.set(0)
}

func (g *Guard) take(m message) {
	g.mu.Lock()
	run, reply := g.run, g.reply
	g.mu.Unlock()
	switch m.kind {
	case tellStarted, tellFailed:
		if reply == nil { // it was only told what it has to know
			g.fault = errors.New(m.field(1))
			close(g.failed)
			return
		}
		g.acknowledged()
		if m.kind == tellStarted {
			run.setPid(m.number(0))
		} else {
			g.ended(run, killed, false)
		}
		reply <- m
	case tellHeard:
		switch m.field(0) {
		case string(sayKill):
			closeOnce(g.heard)
		case string(sayLease):
			g.acknowledged()
		default:
			g.mu.Lock()
			defer g.mu.Unlock()
			if len(g.taken) > 0 {
				close(g.taken[0])
				g.taken = g.taken[1:]
			}
		}
	case tellLapsed:
		run.lapse()
	case tellExited:
		run.exit(Status{m.number(0), syscall.Signal(m.number(1))})
	case tellDone:
		g.ended(run, Status{m.number(0), syscall.Signal(m.number(1))}, false)
	}
}

func (g *Guard) acknowledged() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.unheard = 0
}

// killed is the status of a main process of which none was told.
var killed = Status{128 + int(syscall.SIGKILL), syscall.SIGKILL}

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
	how := ""
	switch {
	case c.foreground:
		how = howForeground
	case c.NoInput:
		how = howNoInput
	}
	g.mu.Lock()
	g.run, g.reply, g.told = p, reply, g.lease
	fields := []string{number(g.lease[0]), number(g.lease[1]), number(g.lease[2]),
		c.Path, c.Dir, number(c.StopSignal), how, number(len(c.Args))}
	g.say(sayStart, append(append(fields, c.Args...), c.Env...)...)
	g.mu.Unlock()
	look := time.NewTicker(answering / 10)
	defer look.Stop()
	for {
		select {
		case m := <-reply:
			if m.kind == tellStarted {
				time.AfterFunc(settled, p.settle)
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
			if g.silent() > answering {
				g.t.Kill()
			}
		}
	}
}

// silent asks the guard for a word, and tells for how long it owes one.
func (g *Guard) silent() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.unheard > 0 {
		return bootTime() - g.unheard
	}
	g.unheard = bootTime()
	g.say(sayLease, number(g.told[0]), number(g.told[1]), number(g.told[2]))
	return 0
}

// Kill ends the guard with all of its tree, and what it starts just now.
func (g *Guard) Kill() { g.t.Kill() }

// Close ends a guard whose tree is dead, without its will. It does not wait for the
// guard to be gone: see Wait.
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

// Wait returns when a guard that was closed has been reaped: else an init that reaps
// nothing, as in many a container, would have it for ever.
func (g *Guard) Wait() {
	select {
	case <-g.over:
	case <-time.After(parting):
	}
}
