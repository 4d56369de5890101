package child

import (
	"bufio"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// This file is the guard itself. It runs in place of the program: nothing of main,
// nor of the packages that depend on this one, is initialised in it.

func init() {
	if len(os.Args) != 3 || os.Args[0] != guardName && os.Args[0] != initName {
		return
	}
	fd, err := strconv.Atoi(os.Args[2])
	if err != nil || fd < 3 {
		return
	}
	if kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE); err != nil || kind != unix.SOCK_STREAM {
		return // started by hand
	}
	unix.CloseOnExec(fd)
	SetName(os.Args[0]) // else it is "exe"
	(&warden{owner: guardEnd(fd)}).serve()
}

// running is a command with its tree: in this process, or in the namespace of an
// inner init.
type running interface {
	Pid() int
	Stop()
	Kill()
	Signal(syscall.Signal)
	Freeze()
	Thaw()
	Exited() <-chan struct{}
	Done() <-chan struct{}
	Status() Status
}

// warden is what the guard knows. All of it is owned by the loop of serve.
type warden struct {
	owner  guardEnd
	hello  message
	inner  *Guard // the init of the namespace; nil without one
	timer  *ktimer
	cgroup *cgroup
	will   message

	tree   running // nil while none is alive
	exited <-chan struct{}
	begun  chan begun // a start under way

	stop, kill, end time.Duration // the lease; 0 while there is none
	alone           bool          // the owner is dead
	closed          bool
	stopping        time.Duration // since when; 0 while nothing is
	killing         bool
}

type begun struct {
	tree running
	err  error
}

// The pause between two looks at the clock while the end of the tree is awaited,
// and how much longer the kernel lets a guard live that looks.
const (
	lookEvery = 250 * time.Millisecond
	lookSlack = 2 * time.Second
)

// serve runs in the first thread, which lives as long as the process and so is the one
// that commands are started from. Up to the first start it is alone and waits for
// messages itself: nothing has to be handed on to another thread then.
func (w *warden) serve() {
	onForker = func(job func()) { job() }
	ignore()
	in := bufio.NewReader(w.owner)
	for !w.over() {
		if in.Buffered() == 0 && !w.owner.pending(w.idle()) {
			settle()
		}
		m, err := readMessage(in)
		switch {
		case err != nil: // the owner is dead: nobody else has the other end
			if brokenNoGuard {
				leave(0)
			}
			w.alone = true
		case m.kind == sayStart:
			settle()
			w.begun = make(chan begun, 1)
			w.prepare(m)
			c := make(jobs)
			go w.tend(in)
			b := w.start(m)
			onForker = c.do
			w.begun <- b
			c.serve()
		default:
			w.take(m)
		}
	}
	w.part()
}

// ignore sees to it that the owner's signals are not ours: whoever ends all processes
// of a name means well. What was ignored at the start stays so, for the command to
// inherit. The rest is the command's default again, as all that Go catches: that is
// why package signal isn't asked, at the price of many switches between threads.
func ignore() {
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM, syscall.SIGHUP, syscall.SIGINT} {
		setIgnored(s)
	}
}

// idle is how long the owner has to be silent before anything is done that is not
// urgent: a term that is about to be opened gives time for it after the will.
func (w *warden) idle() time.Duration {
	if w.will.kind == 0 {
		return 50 * time.Millisecond
	}
	return 0
}

// settle does what takes its time, while the owner has nothing to say and before
// anything is short.
var settle = sync.OnceFunc(func() {
	// One thread may hang in an exec while another keeps the lease.
	runtime.GOMAXPROCS(2)
	keepThreads()
	// SIGCHLD so that no tree has to; the others would stop us.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGCHLD, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU)
})

// tend is the guard from the first start on.
func (w *warden) tend(r *bufio.Reader) {
	in := make(chan message)
	go func() {
		defer close(in)
		for {
			m, err := readMessage(r)
			if err != nil {
				return
			}
			in <- m
		}
	}()
	clock := time.NewTimer(0)
	defer clock.Stop()
	for !w.over() {
		var done <-chan struct{}
		if w.tree != nil {
			done = w.tree.Done()
		}
		clock.Reset(w.next())
		select {
		case m, ok := <-in:
			if !ok {
				if brokenNoGuard {
					leave(0)
				}
				in, w.alone = nil, true
				break
			}
			w.take(m)
		case b := <-w.begun:
			w.started(b)
		case <-w.exited:
			w.tellEnd()
		case <-done:
			w.tellEnd()
		case <-clock.C:
		}
		w.advance(bootTime())
	}
	w.part()
}

// over tells whether there is nothing to do any more.
func (w *warden) over() bool {
	return (w.alone || w.closed) && w.tree == nil && w.exited == nil
}

func (w *warden) tell(kind byte, fields ...string) {
	if w.alone {
		return
	}
	// An owner that stands still reads nothing, and may do so for hours.
	_, _ = w.owner.Write(message{kind, fields}.encode())
}

func (w *warden) take(m message) {
	switch m.kind {
	case sayHello:
		w.hello = m
		var err error
		if w.timer, err = newKtimer(unix.CLOCK_BOOTTIME); err != nil {
			w.tell(tellFailed, "0", fmt.Sprintf("make a timer of the kernel (timer_create): %v; raise the limit of pending signals (ulimit -i)", err))
			return
		}
		if dir := m.field(0); dir != "" {
			w.cgroup, _ = openCgroup(dir)
		}
		if err := w.isolate(Isolation(m.number(2))); err != nil {
			w.tell(tellFailed, "0", err.Error())
			return
		}
	case sayHere:
		w.tell(tellHeard, string(sayHere))
	case sayStart:
		w.prepare(m)
		go func() { w.begun <- w.start(m) }()
	case sayStop:
		w.beginStop(bootTime())
	case sayKill:
		w.beginKill()
		w.tell(tellHeard, string(sayKill))
	case saySignal:
		if w.tree != nil {
			w.tree.Signal(syscall.Signal(m.number(0)))
		}
	case sayFreeze:
		if w.tree != nil {
			w.tree.Freeze()
		}
	case sayThaw:
		if w.tree != nil && w.stopping == 0 {
			w.tree.Thaw()
		}
	case sayLease:
		w.stop, w.kill, w.end = m.duration(0), m.duration(1), m.duration(2)
		if w.busy() && w.stopping == 0 {
			w.timer.set(w.fuse())
		}
		w.tell(tellHeard, string(sayLease))
	case sayWill:
		w.will = m
		w.tell(tellHeard, string(sayWill))
	case sayClose:
		w.closed = true
	}
}

// prepare is for a start that follows.
func (w *warden) prepare(m message) {
	w.stop, w.kill, w.end = m.duration(0), m.duration(1), m.duration(2)
	w.timer.set(w.fuse())          // before there is anything to outlive it
	w.exited = make(chan struct{}) // until it has started
}

// start runs beside the loop: an exec can hang on a dead file server, and the lease
// is kept all the same.
func (w *warden) start(m message) begun {
	const args = 8
	n := min(m.number(args-1), len(m.fields)-args)
	c := Command{
		Path: m.field(3), Dir: m.field(4), StopSignal: syscall.Signal(m.number(5)),
		Args: m.fields[args : args+n], Env: m.fields[args+n:],
	}
	how := m.field(6)
	c.NoInput = how == howNoInput
	if w.inner != nil {
		p, err := w.startInside(c)
		return begun{p, err}
	}
	s := sapling{Command: c, dieToo: true, term: openTerminal(w.hello.number(1)), cgroup: w.cgroup, files: GuardOptions{}.files()}
	if how == howForeground {
		s.term = givenTerminal()
	}
	if c.NoInput {
		null, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return begun{err: err}
		}
		defer unix.Close(null)
		s.files[0] = uintptr(null)
	}
	t, err := plant(s)
	if err != nil && w.cgroup != nil {
		// Perhaps it was the control group, ENOENT too: one in another PID namespace
		// may have swept it. Without it there is still the walk.
		s.cgroup = nil
		t, err = plant(s)
	}
	if err != nil {
		s.term.close()
		return begun{err: err}
	}
	return begun{tree: t}
}

func (w *warden) started(b begun) {
	w.exited = nil
	if b.err != nil {
		w.stopping, w.killing = 0, false
		w.timer.set(0)
		w.tell(tellFailed, number(int(errnoOf(b.err))), b.err.Error())
		return
	}
	w.tree, w.exited = b.tree, b.tree.Exited()
	w.tell(tellStarted, number(w.tree.Pid()))
	// What was asked for meanwhile.
	switch {
	case w.killing:
		w.tree.Kill()
	case w.stopping != 0:
		w.tree.Stop()
	}
}

// tellEnd tells how the main process has ended, and that all has, in one message where
// it is so.
func (w *warden) tellEnd() {
	st := w.tree.Status()
	kind := byte(tellExited)
	w.exited = nil
	select {
	case <-w.tree.Done():
		w.tree, kind = nil, tellDone
		w.timer.set(0)
	default:
	}
	w.tell(kind, number(st.Code), number(st.Signal))
}

func (w *warden) beginStop(now time.Duration) {
	if w.stopping != 0 {
		return
	}
	w.stopping = now
	if w.tree != nil {
		w.tree.Stop()
	}
}

func (w *warden) beginKill() {
	if w.killing {
		return
	}
	w.killing = true
	if w.stopping == 0 {
		w.stopping = bootTime()
	}
	if w.tree != nil {
		w.tree.Kill()
	}
}

// fuse is when the kernel kills a guard that does not move its timer any more. One
// that runs has done so at the stop already; the other half of the time between kill
// and end is for the owner, which then has to find the daemons.
func (w *warden) fuse() time.Duration { return w.kill + (w.end-w.kill)/2 }

// busy tells whether there is a tree, or will be one.
func (w *warden) busy() bool { return w.tree != nil || w.exited != nil }

// killAt is when a stop becomes a kill; 0 where the owner says when.
func (w *warden) killAt() time.Duration {
	at := w.kill
	if w.alone {
		grace := w.stopping + w.hello.duration(3)
		if at == 0 || grace < at {
			at = grace
		}
	}
	return at
}

// advance does what is due.
func (w *warden) advance(now time.Duration) {
	if !w.busy() {
		w.stopping, w.killing = 0, false
		return
	}
	if w.stopping == 0 && (w.alone || w.stop > 0 && now >= w.stop) {
		w.tell(tellLapsed)
		w.beginStop(now)
	}
	if at := w.killAt(); at > 0 && now >= at && !w.killing {
		w.tell(tellLapsed)
		w.beginKill()
	}
	if w.stopping != 0 && w.end > 0 {
		// The lease is over soon, and whoever sees to the end has to live on. A
		// guard that is stopped or stuck does not get here.
		w.timer.set(max(w.end, now+lookSlack))
	}
}

// next is how long nothing is due.
func (w *warden) next() time.Duration {
	if !w.busy() {
		return time.Hour
	}
	now, at := bootTime(), time.Duration(1<<62)
	if w.stopping == 0 && w.stop > 0 {
		at = w.stop
	}
	if kill := w.killAt(); kill > 0 && !w.killing {
		at = min(at, kill)
	}
	if w.stopping != 0 {
		at = min(at, now+lookEvery)
	}
	return max(min(at-now, time.Hour), 0)
}
