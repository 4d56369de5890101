package zkelect

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"

	"zkelect/zkelect/internal/child"
)

// RunConfig is what Run needs beyond a CandidateConfig.
type RunConfig struct {
	CandidateConfig
	// Command is the program and its arguments.
	Command []string
	// FenceCommand, if not "", is run by sh -c as CandidateConfig.Fence, with
	// the term before in ZKELECT_PREVIOUS_ID, _HOST, _PID, _NODE, _TOKEN and
	// _SINCE, empty where not known.
	FenceCommand string
	// StopSignal is the first signal of a stop. 0 is SIGTERM.
	StopSignal syscall.Signal
	// Signals, if not nil, are those that this process got: TERM and INT end
	// the term (the second kills), the others reach the child.
	Signals <-chan os.Signal
	// Isolate is what holds the command's processes together. Default IsolateAuto.
	Isolate Isolation
	// Candidate, if not nil, is called with the candidate before it contends, for
	// whoever asks it whether it leads.
	Candidate func(*Candidate)
	// Settings are the effective connection settings, NAME=value, added to
	// the child's environment.
	Settings []string
}

// withheld are variables that the child must not get: the credentials, and
// systemd's, which would let it speak for us.
var withheld = []string{"ZKELECT_AUTH", "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC",
	// and what a fence command that runs us was told of another term.
	"ZKELECT_PREVIOUS_ID", "ZKELECT_PREVIOUS_HOST", "ZKELECT_PREVIOUS_PID",
	"ZKELECT_PREVIOUS_NODE", "ZKELECT_PREVIOUS_TOKEN", "ZKELECT_PREVIOUS_SINCE"}

// Run contends, runs Command as leader, stops it when leadership ends,
// releases, and returns how it ended. The command is looked up before
// contending. The error is nil unless Cause is CauseError, CauseNotLeader or
// CauseFenceFailed.
//
// The command runs under a guard: this program started again, which ends the
// command's whole tree when this process dies, stops or hangs. The guard never gets
// to main, but packages that are initialised before this one are so in the guard
// too. Both are reapers of orphaned descendants (PR_SET_CHILD_SUBREAPER), so that
// none of them escapes.
func Run(ctx context.Context, cfg RunConfig) (Outcome, error) {
	r, err := newRunner(cfg)
	if err != nil {
		return Outcome{Cause: CauseError}, err
	}
	c := r.c
	if cfg.Candidate != nil {
		cfg.Candidate(c)
	}
	if child.BestEffort {
		c.cfg.emit(EventBestEffort)
	}
	// As long as nobody is known to stand before us the guard is on its way, and in
	// nobody's: it is made while the servers make the session.
	beside := sync.OnceFunc(func() { r.near("") })
	c.connect = func(ctx context.Context, cfg *Config) (session, error) { return newSessionBeside(ctx, cfg, beside) }
	done := make(chan struct{})
	go r.passSignals(done)
	defer close(done)
	defer r.alone() // last of all, while the servers hear the rest
	return c.Run(ctx, r.start)
}

// newRunner refuses what can be seen to fail before anybody is disturbed.
func newRunner(cfg RunConfig) (*runner, error) {
	if len(cfg.Command) == 0 {
		return nil, fmt.Errorf("%w: no command", ErrConfig)
	}
	program, err := child.Look(cfg.Command[0])
	if err != nil {
		return nil, err
	}
	c, err := NewCandidate(cfg.CandidateConfig)
	if err != nil {
		return nil, err
	}
	r := &runner{cfg: cfg, c: c, program: program, started: make(chan *child.Process)}
	c.host = r
	if cfg.FenceCommand != "" {
		if r.shell, err = child.Look("sh"); err != nil {
			return nil, fmt.Errorf("the fence command needs a shell: %v", err)
		}
		c.cfg.Fence = r.fence
	}
	return r, r.tryIsolation()
}

// LogFile returns a writer to f, for a log, that cannot be stopped by "stty
// tostop" while Run's command has the terminal: a stopped leader renews nothing.
func LogFile(f *os.File) io.Writer { return child.Unstopped(f) }

type runner struct {
	cfg     RunConfig
	c       *Candidate
	program string
	shell   string // for FenceCommand
	started chan *child.Process

	mu     sync.Mutex
	wanted bool         // there is to be a guard
	guard  *child.Guard // of the term, or of the one that may come next
	closed *child.Guard // the last that was ended
	// armedOne is the guard that knows the term: the same, unless that has died.
	armedOne *child.Guard
	ahead    *arming // of the opening that is to come; nil without one
}

// start is called when leadership is certain.
func (r *runner) start(t Term) (Work, error) {
	p, err := r.startUnderGuard(r.program, child.Command{
		Path: r.program, Args: r.cfg.Command, Env: r.environment(t),
		StopSignal: r.cfg.StopSignal,
	})
	if err != nil {
		return nil, err
	}
	r.c.cfg.emit(EventStarted, slog.Int("pid", p.Pid()), slog.String("isolate", p.Isolation().String()))
	r.started <- p
	return process{p}, nil
}

// environment is what the child sees.
func (r *runner) environment(t Term) []string {
	own := append(slices.Clone(r.cfg.Settings),
		"ZKELECT_PATH="+t.Path,
		"ZKELECT_ID="+t.ID,
		"ZKELECT_NODE="+t.Node,
		"ZKELECT_SESSION="+sessionHex(t.Session),
		fmt.Sprintf("ZKELECT_FENCING_TOKEN=%d", t.Token))
	gone := slices.Clone(withheld)
	for _, v := range own {
		name, _, _ := strings.Cut(v, "=")
		gone = append(gone, name)
	}
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains(gone, name)
	})
	return append(env, own...)
}

// passSignals lets TERM and INT end the term and passes the others on. While
// only waiting, HUP and QUIT leave the queue too, as they end any program.
func (r *runner) passSignals(done <-chan struct{}) {
	var running *child.Process
	var over <-chan struct{}
	stopped := false
	for {
		select {
		case running = <-r.started:
			over = running.Done()
		case <-over:
			running, over = nil, nil
		case sig := <-r.cfg.Signals:
			s, ok := sig.(syscall.Signal)
			switch {
			case !ok:
			case s == syscall.SIGTERM || s == syscall.SIGINT:
				if stopped {
					r.c.Kill()
				}
				stopped = true
				r.c.Stop(s)
			case running != nil:
				running.Signal(s)
			case s == syscall.SIGHUP || s == syscall.SIGQUIT:
				stopped = true
				r.c.Stop(s)
			}
		case <-done:
			return
		}
	}
}

// process is a child as a Candidate's work.
type process struct{ *child.Process }

func (p process) Status() (int, syscall.Signal) {
	st := p.Process.Status()
	return st.Code, st.Signal
}
