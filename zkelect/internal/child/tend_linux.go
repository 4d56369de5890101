package child

import (
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The pause between two looks while killing doubles from shortest to longest,
// and on to share times what a look takes: in the end, with a process that can't
// die, looking costs no more than a tenth of a CPU.
const (
	shortest = time.Millisecond
	longest  = 50 * time.Millisecond
	share    = 10
)

// tend looks after the tree until nothing of it is left: it reaps what comes
// back, passes a stop on to those outside the group, kills, and proves the end.
func (p *tree) tend(ended chan os.Signal) {
	defer signal.Stop(ended)
	exited := p.exited // nil once it was closed
	pause := shortest
	var again <-chan time.Time
	for {
		due := true
		select {
		case <-ended:
			// While killing a look for each of a thousand deaths would be slow, and
			// there is the timer. Else only a death can be the last, and it may have
			// been another tree's goroutine that reaped it.
			due = exited == nil && !p.isKilling()
		case <-exited:
			if p.bare {
				return
			}
			exited, pause = nil, shortest
		case <-p.wake:
			pause = shortest
		case <-again:
		}
		childless, stuck := trees.reap()
		if exited == nil && childless {
			break
		}
		if !due && !stuck {
			continue
		}
		began := time.Now()
		v, proven := p.round(exited == nil)
		if proven {
			break
		}
		if p.breeds(v) {
			pause = shortest
		}
		again = nil
		if p.mustLookAgain(v, exited == nil) {
			again = time.After(pause)
			pause = min(2*pause, max(longest, share*time.Since(began)))
		}
	}
	p.clear()
	close(p.done)
}

// clear gives back what a tree had of which nothing is left.
func (p *tree) clear() {
	p.term.takeBack(p.pid)
	p.term.close()
	trees.forget(p)
}

// mustLookAgain says whether SIGCHLD alone would not do: what is killed may have
// had children in the meantime, and what can't be seen may be gone.
func (p *tree) mustLookAgain(v view, gone bool) bool {
	return p.isKilling() || p.isHalting() || v.undecided || gone && v.none()
}

// breeds tells whether some of a tree that is being killed was born since the last
// look: it will be gone, and have left another, unless the next comes soon.
func (p *tree) breeds(v view) bool {
	before := p.doomed
	p.doomed = map[ident]bool{}
	if !p.isKilling() {
		return false
	}
	born := false
	for _, m := range v.members {
		p.doomed[m.ident] = true
		born = born || !before[m.ident]
	}
	return born
}

// round looks at the tree once and sends what it is due. Once the main process is
// gone it may also find the proof that nothing is left.
func (p *tree) round(gone bool) (v view, proven bool) {
	trees.mu.Lock()
	defer trees.mu.Unlock()
	v = trees.look(p, false)
	if gone && v.none() {
		if _, err := waitable(); errors.Is(err, unix.ECHILD) {
			return v, true
		}
		// With no other child to account for it, there is one that /proc hides.
		if v = trees.look(p, true); v.none() && v.others {
			return v, true
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left = nil
	for _, m := range v.members {
		p.left = append(p.left, m.pid)
		if p.killing {
			p.send(m, unix.SIGKILL)
		} else if p.stopping && !p.stopSent && !(p.groupStopped && m.pgid == p.pid) {
			p.send(m, p.stop)
			p.send(m, unix.SIGCONT)
		}
	}
	p.stopSent = p.stopping && !v.undecided
	p.halt(v.members)
	return v, false
}

// send signals one member of the tree, and nobody who got its number since.
func (p *tree) send(m proc, sig syscall.Signal) {
	if m.ppid == trees.self {
		// A child of ours keeps its number until it is reaped, which needs a lock
		// that we hold.
		if m.pid != p.pid || !p.reaped {
			_ = unix.Kill(m.pid, sig)
		}
		return
	}
	fd, err := unix.PidfdOpen(m.pid, 0)
	if err != nil {
		fd = -1 // ended, or a kernel before 5.3: then the time since the look is the risk
	} else {
		defer unix.Close(fd)
	}
	// The process that was seen is alive now and was then, so it was as well when
	// the pidfd was opened in between.
	if now, ok := trees.fs.stat(m.pid); !ok || now.ident != m.ident {
		return
	}
	if fd < 0 {
		_ = unix.Kill(m.pid, sig)
		return
	}
	_ = unix.PidfdSendSignal(fd, sig, nil, 0)
}
