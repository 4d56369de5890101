package zkelect

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/go-zookeeper/zk"
)

// SkipAfter says which runs keep another from following too soon.
type SkipAfter int

// The ways to count runs. The zero value counts those that succeeded.
const (
	SkipAfterSuccess SkipAfter = iota // work that ended by itself with exit code 0
	SkipAfterAny                      // all work whose end was recorded
)

// PastRun is work that has run in a term of an election, by the servers' clock.
type PastRun struct {
	ID           string `json:"id"`
	FencingToken int64  `json:"fencing_token,omitempty"`
	// Cause is why its term ended. The run succeeded if that is CauseExited, so that
	// it ended by itself, and ExitCode is 0.
	Cause    Cause      `json:"cause"`
	ExitCode *int       `json:"exit_code,omitempty"` // nil where a signal ended it
	Began    time.Time  `json:"began"`               // the opening of its term
	Ended    *time.Time `json:"ended,omitempty"`     // the closing
}

// PastRuns are those that a record names. Where no work has ended yet, or succeeded,
// there is none.
type PastRuns struct {
	Last      *PastRun `json:"last,omitempty"`
	Succeeded *PastRun `json:"succeeded,omitempty"`
}

// runRecord is work that has run, as the record has it.
type runRecord struct {
	ID       string     `json:"id"`
	Token    int64      `json:"token,omitempty"` // its term's
	Cause    Cause      `json:"cause"`
	ExitCode *int       `json:"exit_code,omitempty"`
	Began    time.Time  `json:"began"`
	Ended    *time.Time `json:"ended,omitempty"` // filled in by the next writer
}

// runsRecord is the part of the record that is about runs. It is never changed
// once it was made, but for times that are filled in.
type runsRecord struct {
	Last      *runRecord `json:"last,omitempty"`
	Succeeded *runRecord `json:"succeeded,omitempty"`
}

func (r *runRecord) succeeded() bool {
	return r.Cause == CauseExited && r.ExitCode != nil && *r.ExitCode == 0
}

// with is the runs after one more; nil is none.
func (r *runsRecord) with(run *runRecord) *runsRecord {
	if run == nil {
		return r
	}
	next := runsRecord{Last: run}
	if run.succeeded() {
		next.Succeeded = run
	} else if r != nil {
		next.Succeeded = r.Succeeded
	}
	return &next
}

// stamped fills in when the run of the term with that token ended, if that was told by
// the last write.
func (r *runsRecord) stamped(token int64, mtime time.Time) {
	if r == nil {
		return
	}
	// Decoded, one run is two values.
	for _, run := range []*runRecord{r.Last, r.Succeeded} {
		if run != nil && run.Ended == nil && run.Token == token {
			run.Ended = &mtime
		}
	}
}

func (r *runRecord) past() *PastRun {
	if r == nil {
		return nil
	}
	return &PastRun{
		ID: printable([]byte(r.ID)), FencingToken: r.Token, Cause: Cause(printable([]byte(r.Cause))), ExitCode: r.ExitCode,
		Began: r.Began, Ended: r.Ended,
	}
}

func (r *runsRecord) past() *PastRuns {
	if r == nil || r.Last == nil && r.Succeeded == nil {
		return nil
	}
	return &PastRuns{Last: r.Last.past(), Succeeded: r.Succeeded.past()}
}

// end is the record after the end of its term; what ran is part of it.
func (r *record) end(end conclusion) *record {
	next := r.close(end.endRecord, end.waited)
	next.Runs = r.Runs.with(end.run)
	return next
}

// concerned tells whether the record does not know yet of one of the ends.
func (r *record) concerned(ends map[string]conclusion) bool {
	for node := range ends {
		if r.carries(node) || r.names(node) && !r.Term.Clean {
			return true
		}
	}
	return false
}

// joining is when a candidate came, for the first time in this Run.
type joining struct {
	at    time.Time     // the servers' time of its first node; zero where it is not asked for
	asked time.Duration // when that was about to be sent, by the candidate's clock
	told  bool          // of a run in the future
}

// noteJoined learns when the first node of this Run was made: what counts as lately
// is counted from then. A node that was deleted before it could be asked counts for
// nothing, and the work may run once more than it had to.
func (c *Candidate) noteJoined(ctx context.Context, name string) error {
	if c.cfg.SkipIfRunWithin == 0 || !c.joined.at.IsZero() {
		return nil
	}
	stat, err := read(ctx, c.sess, func() (*zk.Stat, error) { return c.sess.exists(ctx, c.place.node(name)) })
	switch {
	case err != nil:
		return err
	case stat == nil || stat.EphemeralOwner != c.sess.id():
		return errPlaceLost
	}
	c.joined.at = msTime(stat.Ctime)
	return nil
}

// lately is the run because of which this candidate's work does not run, nil where it
// does: one that began later than the candidate came, less SkipIfRunWithin. Both times
// are the servers', so that no host's clock matters, and whoever has waited for
// the end of a run, however long, has come before that.
//
// What the record lacks, because it was read too early, can only make it nil; then the
// opening fails, which names the version that was read. A run that is there keeps
// being there, or a later one does. So nothing has to be proved of who is first.
func (c *Candidate) lately(rec *record) *runRecord {
	within := c.cfg.SkipIfRunWithin
	if within == 0 || rec.Runs == nil {
		return nil
	}
	run := rec.Runs.Succeeded
	if c.cfg.SkipAfter == SkipAfterAny {
		run = rec.Runs.Last
	}
	if run == nil || !run.Began.After(c.joined.at.Add(-within)) {
		return nil
	}
	// The servers' time as it is now, by how long ago we came.
	now := c.joined.at.Add(c.now() - c.joined.asked)
	if run.Began.After(now.Add(within)) {
		if !c.joined.told {
			c.joined.told = true
			c.cfg.emit(EventFuture, slog.String("by", printable([]byte(run.ID))), slog.Time("began", run.Began.UTC()), slog.Time("now", now))
		}
		return nil
	}
	return run
}

// skipped is why a candidate does not lead, though it could.
type skipped struct{ run *runRecord }

func (*skipped) Error() string { return "run lately" }

// skip gives the turn up because of a run. No opening was sent, or it goes with the
// session, whose end is all that has to follow. How terms of our own ended is said
// before; again asks for another look at the record.
func (c *Candidate) skip(ctx context.Context, run *runRecord, rec *record, version int32) (again bool, err error) {
	if rec.concerned(c.unsaid) {
		_, err := c.prompt().multi(ctx, set(c.place.side, rec.concluded(c.unsaid), version))
		switch {
		case err == nil:
			clear(c.unsaid)
		case errors.Is(err, zk.ErrBadVersion), errors.Is(err, zk.ErrNoNode):
			return true, nil
		case ambiguous(err):
			return true, pauseAfter(ctx, c.sess)
		default:
			return false, denied(err, "write", c.place.side)
		}
	}
	attrs := []slog.Attr{
		slog.String("by", printable([]byte(run.ID))), slog.Time("began", run.Began.UTC()),
		slog.Time("joined", c.joined.at), slog.Duration("within", c.cfg.SkipIfRunWithin),
	}
	if run.ExitCode != nil {
		attrs = append(attrs, slog.Int("exit_code", *run.ExitCode))
	}
	c.cfg.emit(EventSkipped, attrs...)
	return false, &skipped{run}
}

// tellAgain tells, of a term that was opened, that the run before might have been
// enough: it began late enough, but nobody said how it ended.
func (c *Candidate) tellAgain(rec *record) {
	last, within := rec.Last, c.cfg.SkipIfRunWithin
	if within == 0 || last == nil || last.Cause != CauseDied && last.Cause != CauseUnclean {
		return
	}
	attrs := []slog.Attr{slog.String("by", printable([]byte(last.ID)))}
	if last.Since != nil {
		if !last.Since.After(c.joined.at.Add(-within)) {
			return
		}
		attrs = append(attrs, slog.Time("began", last.Since.UTC()))
	}
	c.cfg.emit(EventAgain, attrs...)
}
