package child

import (
	"bufio"
	"fmt"
	"os"
	"os/signal"
	"strconv"
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
	(&warden{socket: os.NewFile(uintptr(fd), "owner")}).serve()
	leave(0)
}

// leave ends the process: os.Exit would wait for a second under the race detector.
func leave(code int) {
	_, _, _ = syscall.RawSyscall(syscall.SYS_EXIT_GROUP, uintptr(code), 0, 0)
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
	socket *os.File
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

func (w *warden) serve() {
	// The owner's signals are not ours: whoever ends all processes of a name means
	// well. What was ignored at the start stays so, for the command to inherit.
	caught := []os.Signal{syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU}
	for _, s := range []os.Signal{syscall.SIGHUP, syscall.SIGINT} {
		if !signal.Ignored(s) {
			caught = append(caught, s)
		}
	}
	signal.Notify(make(chan os.Signal, 1), caught...)

	in := make(chan message)
	go func() {
		defer close(in)
		for r := bufio.NewReader(w.socket); ; {
			m, err := readMessage(r)
			if err != nil {
				return // the owner is dead: nobody else has the other end
			}
			in <- m
		}
	}()
	w.begun = make(chan begun, 1)
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
					return
				}
				in, w.alone = nil, true
				break
			}
			w.take(m)
		case b := <-w.begun:
			w.started(b)
		case <-w.exited:
			w.tellExit()
		case <-done:
			w.tellExit()
			w.tree = nil
			w.timer.set(0)
			w.tell(tellDone)
		case <-clock.C:
		}
		w.advance(bootTime())
	}
	if w.inner != nil {
		w.inner.Close()
	}
	if w.alone && !w.closed {
		w.bequeath()
	}
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
	_ = w.socket.SetWriteDeadline(time.Now().Add(hearing))
	_, _ = w.socket.Write(message{kind, fields}.encode())
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
		w.tell(tellReady)
		forker() // its threads are made before anything is short, and while the owner goes on
	case sayStart:
		w.timer.set(w.fuse())          // before there is anything to outlive it
		w.exited = make(chan struct{}) // until it has started
		go w.start(m)
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

// start runs beside the loop: an exec can hang on a dead file server, and the lease
// is kept all the same.
func (w *warden) start(m message) {
	args := 5
	n := min(m.number(4), len(m.fields)-args)
	c := Command{
		Path: m.field(0), Dir: m.field(1), StopSignal: syscall.Signal(m.number(2)),
		Args: m.fields[args : args+n], Env: m.fields[args+n:],
	}
	c.NoInput = m.field(3) == howNoInput
	if w.inner != nil {
		p, err := w.startInside(c)
		w.begun <- begun{p, err}
		return
	}
	s := sapling{Command: c, dieToo: true, term: openTerminal(w.hello.number(1)), cgroup: w.cgroup, files: GuardOptions{}.files()}
	if m.field(3) == howForeground {
		s.term = givenTerminal()
	}
	if c.NoInput {
		null, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			w.begun <- begun{err: err}
			return
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
		w.begun <- begun{err: err}
		return
	}
	w.begun <- begun{tree: t}
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

func (w *warden) tellExit() {
	if w.exited == nil {
		return
	}
	w.exited = nil
	st := w.tree.Status()
	w.tell(tellExited, number(st.Code), number(st.Signal))
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

// bequeath ends the process by becoming what the will names. It lets go of what was
// the tree's: who reads the output sees its end, a lock is free, and a file system can
// be unmounted.
func (w *warden) bequeath() {
	w.cgroup.remove()
	_ = os.Chdir("/")
	name, data := w.will.field(0), w.will.field(1)
	if name == "" || data == "" {
		return
	}
	fd, err := unix.MemfdCreate("will", 0)
	if err != nil {
		return
	}
	if _, err := unix.Write(fd, []byte(data)); err != nil {
		return
	}
	_, _ = unix.Seek(fd, 0, 0)
	null, err := unix.Open("/dev/null", unix.O_RDWR, 0)
	if err != nil {
		return
	}
	const place = 3
	if fd != place {
		// Above anything that either number may be.
		if fd, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD, 16); err != nil {
			return
		}
	}
	for std := range place {
		_ = unix.Dup3(null, std, 0)
	}
	if fd != place {
		_ = unix.Dup3(fd, place, 0)
	}
	const cloexec = 4 // CLOSE_RANGE_CLOEXEC
	_, _, _ = unix.Syscall(unix.SYS_CLOSE_RANGE, place+1, ^uintptr(0)>>1, cloexec)
	_ = syscall.Exec("/proc/self/exe", []string{name}, os.Environ())
}
