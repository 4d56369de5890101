package child

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// No shell does job control for the command: its parent is this process. So when
// the terminal stops it, somebody here must see to it that it runs again. A
// SIGSTOP, sent by hand, stands.

const (
	// A program that tidies the screen before it suspends itself (less) can do so
	// after the others of its group have been woken again.
	wakeEvery = 100 * time.Millisecond
	wakeTimes = 10

	askEvery = 100 * time.Millisecond // whether the terminal is ours to lend by now

	vforkEvery = 500 * time.Millisecond // whether Ctrl-Z came between vfork and exec
)

// stopped is called when a signal has stopped the main process.
func (p *tree) stopped(sig syscall.Signal) {
	if p.term == nil {
		return
	}
	switch sig {
	case unix.SIGTSTP:
		if p.term.isLent() {
			p.Signal(unix.SIGCONT)
			go p.wakeLate()
		}
	case unix.SIGTTIN, unix.SIGTTOU:
		go p.askForTerminal()
	}
}

// wakeLate wakes members of the group that stop a little after the main process.
// Jobs of an interactive shell are in groups of their own and stay stopped.
func (p *tree) wakeLate() {
	for range wakeTimes {
		select {
		case <-p.exited:
			return
		case <-time.After(wakeEvery):
		}
		trees.mu.Lock()
		v := trees.look(p, false)
		trees.mu.Unlock()
		for _, m := range v.members {
			if m.pgid == p.pid && m.state == 'T' {
				p.Signal(unix.SIGCONT)
				break
			}
		}
	}
}

// askForTerminal is for a command in the background that was stopped because it
// read from the terminal or set it. It gets the terminal and goes on as soon as
// the terminal is ours: at once in a pipeline, after "fg" in a background job.
func (p *tree) askForTerminal() {
	for {
		switch p.term.foreground() {
		case p.term.home:
			p.term.lend(p.pid)
			p.Signal(unix.SIGCONT)
			return
		case p.pid:
			p.Signal(unix.SIGCONT)
			return
		}
		select {
		case <-p.exited:
			return
		case <-time.After(askEvery):
		}
		if main, ok := trees.fs.stat(p.pid); !ok || main.state != 'T' {
			return // woken by someone else; it will ask again
		}
	}
}

// watchVfork wakes a command that Ctrl-Z has met while it waits for one that it has
// started by vfork (dash does, Python, Java) and that has not come to its exec:
// what stops there is the new process, so the command never goes on, nor stops
// itself, and nobody is told.
func (p *tree) watchVfork() {
	for {
		select {
		case <-p.exited:
			return
		case <-time.After(vforkEvery):
		}
		if main, ok := trees.fs.stat(p.pid); ok && main.state == 'D' && trees.fs.isPending(p.pid, unix.SIGTSTP) {
			p.Signal(unix.SIGCONT)
		}
	}
}
