package child

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// choose turns what is wanted into what there is.
func (i Isolation) choose() (Isolation, *cgroup, error) {
	switch i {
	case IsolateAuto:
		if delegated() {
			if cg, err := newCgroup(); err == nil {
				return IsolateCgroup, cg, nil
			}
		}
		return IsolateNone, nil, nil
	case IsolateCgroup:
		cg, err := newCgroup()
		if err != nil {
			return i, nil, fmt.Errorf("isolate by cgroup: %w; or use another --isolate", err)
		}
		return i, cg, nil
	}
	return i, nil, nil
}

// isolate makes what the guard needs besides itself.
func (w *warden) isolate(level Isolation) error {
	switch level {
	case IsolatePIDNS:
		flags := uintptr(unix.CLONE_NEWPID | unix.CLONE_NEWNS)
		if os.Geteuid() != 0 {
			flags |= unix.CLONE_NEWUSER
		}
		inner, err := newGuard(initName, GuardOptions{home: w.hello.number(1)}, isolateInit, nil, flags)
		if err != nil {
			return noNamespace(err)
		}
		if err := inner.Await(nil); err != nil {
			return noNamespace(err)
		}
		w.inner = inner
	case isolateInit:
		// Whatever is mounted here is nobody else's, /proc of the new pids first. In
		// a chroot "/" is no mount, and that of /proc has to do.
		err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
		if errors.Is(err, unix.EINVAL) {
			err = unix.Mount("", "/proc", "", unix.MS_REC|unix.MS_PRIVATE, "")
		}
		if err != nil {
			return fmt.Errorf("make mounts private: %w", err)
		}
		if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
			return fmt.Errorf("mount /proc: %w", err)
		}
		powerless()
	}
	return nil
}

// powerless keeps from the command what an ordinary user's init may do in its
// namespaces: the thread that forks gives all of it up.
func powerless() {
	if os.Geteuid() == 0 {
		return
	}
	onForker(func() {
		none := [2]unix.CapUserData{}
		_ = unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &none[0])
	})
}

func noNamespace(err error) error {
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSPC) {
		err = fmt.Errorf("%w; run as root, or allow user namespaces (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone)", err)
	}
	return fmt.Errorf("isolate by a PID namespace: %w; or use another --isolate", err)
}

// startInside starts the command in the namespace. The terminal is lent from here:
// inside, the group that lends it has no number.
func (w *warden) startInside(c Command) (*Process, error) {
	term := openTerminal(w.hello.number(1))
	if c.foreground = !c.NoInput && term.wanted(GuardOptions{}.files()); c.foreground {
		term.keep()
	}
	p, err := w.inner.Start(c)
	if err != nil {
		term.takeBack(0)
		term.close()
		return nil, err
	}
	for _, d := range trees.fs.below(w.inner.t.pid) { // its number as it is here
		if d.ppid == w.inner.t.pid {
			p.setPid(d.pid)
		}
	}
	go func() {
		<-p.done
		term.takeBack(p.Pid())
		term.close()
	}()
	return p, nil
}

// SetName sets what ps and killall know this process by: 15 characters of it.
func SetName(s string) {
	b := append([]byte(s), 0)
	_ = unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(&b[0])), 0, 0, 0)
}
