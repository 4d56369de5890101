package child

import (
	"io"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// terminal is the controlling terminal of this process while a command runs. A
// nil one does nothing.
type terminal struct {
	home  int  // the process group that lends it
	given bool // by someone else, who takes it back

	mu    sync.Mutex
	fd    int           // -1 once closed: the number may be another file's then
	saved *unix.Termios // as it was when it was lent; nil while it is not
}

// deafToSuspend makes Ctrl-Z pass by this process for good (Go can't undo it). In
// a pipeline it is in the foreground group, and a leader that is suspended loses
// its lease. A caught signal is the default again in a child, an ignored one would
// be inherited. Nobody reads the channel.
var deafToSuspend = sync.OnceFunc(func() {
	signal.Notify(make(chan os.Signal, 1), syscall.SIGTSTP)
})

// openTerminal returns nil if there is no controlling terminal. home is the process
// group that lends it.
func openTerminal(home int) *terminal {
	fd, err := unix.Open("/dev/tty", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	t := &terminal{fd: fd, home: home}
	if t.foreground() <= 0 {
		t.close()
		return nil
	}
	deafToSuspend()
	return t
}

// givenTerminal is one that the command is to have in any case.
func givenTerminal() *terminal {
	fd, err := unix.Open("/dev/tty", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	deafToSuspend()
	return &terminal{fd: fd, home: -1, given: true}
}

func (t *terminal) close() {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	_ = unix.Close(t.fd)
	t.fd = -1
}

// foreground is the process group that may read the terminal; 0 if unknown.
func (t *terminal) foreground() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.group()
}

// The following want the lock held.

func (t *terminal) group() int {
	pgid, err := unix.IoctlGetInt(t.fd, unix.TIOCGPGRP)
	if err != nil {
		return 0
	}
	return pgid
}

// keep saves the terminal's state as it is before it is lent.
func (t *terminal) keep() {
	if t != nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.save()
	}
}

func (t *terminal) save() {
	if t.saved == nil {
		t.saved, _ = unix.IoctlGetTermios(t.fd, unix.TCGETS)
	}
}

func (t *terminal) setForeground(pgid int) {
	unstopped(func() { _ = unix.IoctlSetPointerInt(t.fd, unix.TIOCSPGRP, pgid) })
}

// wanted says whether the command is to have the terminal from the start: it is
// ours to give, and the command's standard input. The others of a pipeline are in
// our group and may need the terminal themselves (less reads its keys there): so
// not with a pipe at either end. Nor with an input from elsewhere: a script's
// "zkelect run … &" is in the script's group, with /dev/null as its input.
func (t *terminal) wanted(files []uintptr) bool {
	if t != nil && t.given {
		return true
	}
	if t == nil || t.foreground() != t.home {
		return false
	}
	for _, fd := range files[1:] {
		var st unix.Stat_t
		if unix.Fstat(int(fd), &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFIFO {
			return false
		}
	}
	_, err := unix.IoctlGetInt(int(files[0]), unix.TIOCGPGRP) // only of our controlling terminal
	return err == nil
}

// forkInto starts the command as the foreground job.
func (t *terminal) forkInto(s sapling) (int, error) {
	t.mu.Lock()
	t.save()
	t.mu.Unlock()
	pid, err := fork(s, t.fd)
	if err == nil {
		return pid, nil
	}
	t.takeBack(0) // the child may have taken it before its exec failed
	if err == unix.ENOTTY || err == unix.EIO {
		return fork(s, -1) // hung up just now
	}
	return 0, err
}

// lend makes the group of a running command the foreground one.
func (t *terminal) lend(pgid int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.save()
	t.setForeground(pgid)
}

func (t *terminal) isLent() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.saved != nil
}

// takeBack ends a loan and restores the terminal, unless a living process that is
// not the command's has it: a shell that took it when we were stopped.
func (t *terminal) takeBack(pgid int) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.saved == nil {
		return
	}
	saved := t.saved
	t.saved = nil
	switch now := t.group(); {
	case now == t.home:
	case now <= 0:
		return // hung up
	case now != pgid && unix.Kill(-now, 0) != unix.ESRCH:
		return
	}
	t.setForeground(t.home)
	unstopped(func() {
		// At once: waiting for the output to drain would hang after a Ctrl-S.
		_ = unix.IoctlSetTermios(t.fd, unix.TCSETS, saved)
	})
}

// unstopped runs f on a thread that blocks SIGTTOU, the signal that stops a
// background process that changes the terminal, or writes to it after "stty
// tostop". The kernel lets one pass that blocks it. Ignoring it would do as well,
// but for the whole process, and its children would inherit that.
func unstopped(f func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var set, old unix.Sigset_t
	set.Val[0] = 1 << (unix.SIGTTOU - 1) // in the first word, of 32 bits or of 64
	if unix.PthreadSigmask(unix.SIG_BLOCK, &set, &old) == nil {
		defer func() { _ = unix.PthreadSigmask(unix.SIG_SETMASK, &old, nil) }()
	}
	f()
}

// Unstopped returns a writer to f, for a log, that is never stopped by "stty
// tostop" while the command has the terminal. (A stopped leader renews nothing.)
func Unstopped(f *os.File) io.Writer { return unstoppedWriter{f} }

type unstoppedWriter struct{ f *os.File }

func (w unstoppedWriter) Write(b []byte) (n int, err error) {
	unstopped(func() { n, err = w.f.Write(b) })
	return n, err
}
