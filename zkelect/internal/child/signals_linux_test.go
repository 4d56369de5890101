package child

import (
	"os"
	"os/signal"
	"slices"
	"syscall"
)

// ignoredAtStart must be filled before anyone calls signal.Notify, which makes
// an ignored signal a caught one. Go leaves only these two as it found them.
var ignoredAtStart = slices.DeleteFunc([]os.Signal{syscall.SIGHUP, syscall.SIGINT},
	func(s os.Signal) bool { return !signal.Ignored(s) })

// Unignored returns those of the signals that were not ignored when this
// process was started (HUP under nohup, INT in the background of a script).
// Give only these to signal.Notify: it would catch the ignored ones, and the
// child would no longer inherit that they are ignored.
func Unignored(sigs ...os.Signal) []os.Signal {
	var out []os.Signal
	for _, s := range sigs {
		if !slices.Contains(ignoredAtStart, s) {
			out = append(out, s)
		}
	}
	return out
}

// Forwarded returns the signals that a command line tool passes on to the child
// by Process.Signal: HUP, unless it was ignored at the start, QUIT, USR1, USR2,
// WINCH and CONT.
func Forwarded() []os.Signal {
	return Unignored(syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH, syscall.SIGCONT)
}
