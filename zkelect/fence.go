package zkelect

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"syscall"
	"time"

	"github.com/go-zookeeper/zk"

	"zkelect/zkelect/internal/child"
)

// Previous is a term before that did not end cleanly: its leader was killed, or
// cut off, and nobody has shown that its work is dead. Host, PID, Token and
// Since are zero where the record does not tell.
type Previous struct {
	Node    string // full path of its node in the queue
	ID      string // the participant
	Host    string
	PID     int    // of its zkelect
	Session string // in hexadecimal
	Token   int64  // its fencing token
	Since   time.Time
	Lease   time.Duration // its session timeout
}

func (p place) previous(t termRecord) Previous {
	prev := Previous{
		Node: p.node(t.Node), ID: printable([]byte(t.ID)), Host: printable([]byte(t.Host)), PID: t.PID,
		Session: printable([]byte(t.Session)), Token: t.Token,
		Lease: t.lease(),
	}
	if t.Since != nil {
		prev.Since = *t.Since
	}
	return prev
}

// fence is the state of what comes before a term's work: each of the terms that
// did not end cleanly is fenced by a work of its own, whose success is recorded
// before anything else is started.
type fence struct {
	fencing   *termRecord   // whose fence is the work now
	tidyAt    time.Duration // when the rest of a fence that succeeded is killed
	recording bool
	recorded  chan fenceRecord
}

// fenceRecord is the answer to the write of a success: the record as it was
// left.
type fenceRecord struct {
	rec     *record
	version int32
	err     error
}

// unfenced is the oldest term that is to be fenced, nil where none is.
func (l *leading) unfenced() *termRecord {
	if l.c.cfg.Fence == nil || len(l.t.unclean) == 0 {
		return nil
	}
	return &l.t.unclean[0]
}

func (l *leading) startFence(previous termRecord) {
	l.c.cfg.emit(EventFencing, previousAttrs(previous, slog.String("host", printable([]byte(previous.Host))), slog.Int("pid", previous.PID))...)
	fence, t, about := l.c.cfg.Fence, l.t.Term, l.c.place.previous(previous)
	l.begun(&previous, func() (Work, error) { return fence(t, about) })
}

func previousAttrs(t termRecord, more ...slog.Attr) []slog.Attr {
	return append([]slog.Attr{slog.String("previous", printable([]byte(t.ID))), slog.String("node", printable([]byte(t.Node)))}, more...)
}

// fenceExited notes how the main part of a fence ended. What is left of it is
// asked to end, whatever its code: nothing of it runs beside the work.
func (l *leading) fenceExited() {
	if l.stopping {
		return
	}
	if code, sig := l.work.Status(); code != 0 || sig != 0 {
		how := fmt.Sprintf("exit code %d", code)
		if sig != 0 {
			how = "signal " + sig.String()
		}
		l.c.cfg.emit(EventFenceFailed, previousAttrs(*l.fencing, slog.String("how", how))...)
		l.err = fmt.Errorf("%w with %s for %s, which led before; see that nothing of it is alive, mend the fence command and run again",
			ErrFence, how, printable([]byte(l.fencing.ID)))
		l.begin(CauseFenceFailed)
	} else {
		l.tidyAt = l.c.now() + l.c.cfg.StopTimeout
	}
	l.askRest()
}

// tidyFence kills what a fence that succeeded has left and that does not end.
func (l *leading) tidyFence(now time.Duration) {
	if l.tidyAt > 0 && now >= l.tidyAt && l.work != nil {
		l.tidyAt = 0
		l.work.Kill()
	}
}

// recordFence has the success of the fence written, after nothing of it is
// alive any more.
func (l *leading) recordFence() {
	previous, t := l.fencing.Node, l.t
	l.work, l.fencing, l.tidyAt, l.frozen, l.recording = nil, nil, 0, nil, true
	go func() { l.recorded <- l.c.writeFenced(l.ctx, t, previous) }()
}

// fenced takes the answer to the write of a fence's success.
func (l *leading) fenced(r fenceRecord) {
	l.recording = false
	if r.err != nil {
		l.lost(LossRefused, fmt.Sprintf("the fencing of a term before cannot be recorded: %v", r.err))
		return
	}
	l.c.cfg.emit(EventFenced, previousAttrs(l.t.unclean[0])...)
	l.t.rec, l.t.version = r.rec, r.version
	l.t.unclean = r.rec.Unclean
}

// writeFenced clears one term from the record: a versioned write, so that it
// comes to pass in the term that fenced alone. A lost answer is resolved by
// reading.
func (c *Candidate) writeFenced(ctx context.Context, t *term, previous string) fenceRecord {
	p, s := c.place, prompt{t.sess, t.unanswered}
	for {
		rec, version, err := p.readRecord(ctx, s)
		switch {
		case err != nil:
			return fenceRecord{err: err}
		case !rec.names(t.name) || rec.Term.Clean:
			return fenceRecord{err: errPlaceLost}
		case !rec.carries(previous):
			return fenceRecord{rec: rec, version: version}
		}
		next := rec.fenced(previous)
		res, err := s.multi(ctx, check(t.Node), set(p.side, next, version))
		switch {
		case err == nil:
			return fenceRecord{rec: next, version: res[1].Stat.Version}
		case errors.Is(err, zk.ErrBadVersion): // a request to resign was marked
		case ambiguous(err):
			if err := pauseAfter(ctx, s); err != nil {
				return fenceRecord{err: err}
			}
			if err := p.catchUp(ctx, s); err != nil {
				return fenceRecord{err: err}
			}
		default:
			return fenceRecord{err: denied(err, "write", p.side)}
		}
	}
}

// previousEnvironment tells a fence command of the term that it is for.
func previousEnvironment(p Previous) []string {
	pid, token, since := "", "", ""
	if p.PID != 0 {
		pid = strconv.Itoa(p.PID)
	}
	if p.Token != 0 {
		token = strconv.FormatInt(p.Token, 10)
	}
	if !p.Since.IsZero() {
		since = p.Since.UTC().Format("2006-01-02T15:04:05.000Z")
	}
	return []string{
		"ZKELECT_PREVIOUS_ID=" + p.ID,
		"ZKELECT_PREVIOUS_HOST=" + p.Host,
		"ZKELECT_PREVIOUS_PID=" + pid,
		"ZKELECT_PREVIOUS_NODE=" + p.Node,
		"ZKELECT_PREVIOUS_TOKEN=" + token,
		"ZKELECT_PREVIOUS_SINCE=" + since,
	}
}

// fence starts FenceCommand for a term before, in the environment that Command
// would get. It reads nothing of Command's input, and no signal that is passed
// to Command reaches it.
func (r *runner) fence(t Term, previous Previous) (Work, error) {
	p, err := r.startUnderGuard("sh", child.Command{
		Path: r.shell, Args: []string{"sh", "-c", r.cfg.FenceCommand},
		Env:     append(r.environment(t), previousEnvironment(previous)...),
		NoInput: true, StopSignal: syscall.SIGTERM,
	})
	if err != nil {
		return nil, err
	}
	return process{p}, nil
}
