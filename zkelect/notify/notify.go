// Package notify tells systemd of a run: when it is in the queue, what its place
// is, that it ends, and that it does not hang. See sd_notify(3).
package notify

import (
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"zkelect/zkelect"
	"zkelect/zkelect/role"
)

// afterGrace is what an end may take beside the grace: the kill (1 s), the release
// (5 s) and the end of the session (2 s).
const afterGrace = 8 * time.Second

// closeBound is how long Close waits for a service manager that does not read.
const closeBound = time.Second

// Options are of a run.
type Options struct {
	Log         *slog.Logger  // is told, once, that systemd cannot be told
	StopTimeout time.Duration // the grace of a stop
}

// Notifier speaks to systemd. A nil one does nothing.
type Notifier struct {
	pulse    chan struct{}
	watchdog time.Duration // 0: none is asked for
	stop     time.Duration
	log      *slog.Logger
	failed   bool

	mu       sync.Mutex
	state    string // what was told last: READY, then STOPPING
	unsaid   []string
	status   string
	note     string
	ended    bool
	wake     chan struct{}
	closing  chan struct{}
	finished chan struct{}
}

// New is nil where no systemd listens: where $NOTIFY_SOCKET is not set.
func New(o Options) *Notifier {
	if os.Getenv("NOTIFY_SOCKET") == "" {
		return nil
	}
	n := &Notifier{
		pulse: make(chan struct{}), stop: o.StopTimeout + afterGrace, log: o.Log,
		wake: make(chan struct{}, 1), closing: make(chan struct{}), finished: make(chan struct{}),
	}
	var err error
	if n.watchdog, err = daemon.SdWatchdogEnabled(false); err != nil {
		n.log.Warn("the watchdog's variables cannot be read; going on without", "error", err)
	}
	go n.speak()
	return n
}

// Pulse is for CandidateConfig.Pulse: systemd hears only of a loop that receives
// from it. It is nil where no watchdog is asked for.
func (n *Notifier) Pulse() <-chan struct{} {
	if n == nil || n.watchdog == 0 {
		return nil
	}
	return n.pulse
}

// Observe takes an event and the state after it. It returns at once.
func (n *Notifier) Observe(e zkelect.Event, s role.State) {
	if n == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ended { // what the client library has yet to say
		return
	}
	if text, ok := noteOf(e); ok {
		n.note = text
	}
	switch {
	case (e.Kind == zkelect.EventJoined || e.Kind == zkelect.EventWaiting) && n.state == "": // recipe plain's waiters join nothing
		n.say(daemon.SdNotifyReady)
	case e.Kind == zkelect.EventStopping && attr(e, "cause") == string(zkelect.CauseStopped):
		n.say(daemon.SdNotifyStopping)
	}
	n.tell(Status(s, n.note))
}

// say has a state told, once, and before any later status.
func (n *Notifier) say(state string) {
	if n.state == state {
		return
	}
	n.state = state
	n.unsaid = append(n.unsaid, state)
	if state == daemon.SdNotifyStopping {
		// A grace that is longer than TimeoutStopSec= would be cut short.
		n.unsaid = append(n.unsaid, fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", n.stop.Microseconds()))
	}
}

func (n *Notifier) tell(status string) {
	if status == n.status && len(n.unsaid) == 0 {
		return
	}
	n.status = status
	select {
	case n.wake <- struct{}{}:
	default: // what is waiting to be told is told with this
	}
}

// Close tells how the run ended.
func (n *Notifier) Close(how string) {
	if n == nil {
		return
	}
	n.mu.Lock()
	n.say(daemon.SdNotifyStopping)
	n.tell(how)
	n.ended = true
	n.mu.Unlock()
	close(n.closing)
	select {
	case <-n.finished:
	case <-time.After(closeBound):
	}
}

// speak does all that may block: systemd may be slow to read.
func (n *Notifier) speak() {
	defer close(n.finished)
	var due <-chan time.Time
	if n.watchdog > 0 {
		// It asks for half of its time; a third leaves room for a slow answer.
		ticker := time.NewTicker(max(n.watchdog/3, time.Millisecond))
		defer ticker.Stop()
		due = ticker.C
	}
	var ask chan<- struct{}
	for {
		select {
		case <-due:
			ask = n.pulse
		case ask <- struct{}{}:
			ask = nil
			n.send(daemon.SdNotifyWatchdog)
		case <-n.wake:
			n.flush()
		case <-n.closing:
			n.flush()
			return
		}
	}
}

func (n *Notifier) flush() {
	n.mu.Lock()
	text := ""
	for _, line := range n.unsaid {
		text += line + "\n"
	}
	text += "STATUS=" + n.status
	n.unsaid = nil
	n.mu.Unlock()
	n.send(text)
}

// send tells systemd. A run does not end because nobody listens.
func (n *Notifier) send(text string) {
	if _, err := daemon.SdNotify(false, text); err != nil && !n.failed {
		n.failed = true
		n.log.Warn("systemd cannot be told of this run, which goes on", "error", err)
	}
}
