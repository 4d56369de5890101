package zkelect

import (
	"strings"
	"testing"
	"time"
)

func aRun(id string, token int64, cause Cause, code int) *runRecord {
	r := &runRecord{ID: id, Token: token, Cause: cause, Began: someTime(int(token))}
	if code >= 0 {
		r.ExitCode = &code
	}
	return r
}

// The last of all, and the last that succeeded: that ended by itself with code 0.
func TestRecordRuns(t *testing.T) {
	var runs *runsRecord
	for _, c := range []struct {
		run             *runRecord
		last, succeeded string
	}{
		{nil, "", ""},
		{aRun("a", 1, CauseExited, 1), "a", ""},
		{aRun("b", 2, CauseExited, 0), "b", "b"},
		{aRun("c", 3, CauseSignalled, -1), "c", "b"},
		{aRun("d", 4, CauseStopped, 0), "d", "b"},
		{aRun("e", 5, CauseResigned, 0), "e", "b"},
		{aRun("f", 6, CauseLost, -1), "f", "b"},
		{nil, "f", "b"},
		{aRun("g", 7, CauseExited, 0), "g", "g"},
	} {
		runs = runs.with(c.run)
		last, succeeded := "", ""
		if past := runs.past(); past != nil {
			if past.Last != nil {
				last = past.Last.ID
			}
			if past.Succeeded != nil {
				succeeded = past.Succeeded.ID
			}
		}
		if last != c.last || succeeded != c.succeeded {
			t.Errorf("after %+v: last %q, succeeded %q", c.run, last, succeeded)
		}
	}
}

// The end of a term that had work is one of a run, and that of another is not. When it
// ended the next writer fills in, and nobody later.
func TestRecordRunEnds(t *testing.T) {
	at := someTime(5)
	r := parsed(t, "").open(someTerm("a"))
	r.stamped(at, 70)
	end := conclusion{endRecord: endRecord{ID: "a", Cause: CauseExited}, waited: time.Second, run: aRun("a", 70, CauseExited, 0)}
	r = reread(t, r.end(end))
	r.stamped(someTime(6), 71)
	for _, run := range []*runRecord{r.Runs.Last, r.Runs.Succeeded} {
		if run.ID != "a" || run.Token != 70 || run.Ended == nil || !run.Ended.Equal(someTime(6)) {
			t.Errorf("ended: %s", r.encode())
		}
	}
	before := string(r.encode())
	// A term without work, by a version that does not know of runs, and by this one.
	r = r.open(someTerm("b"))
	r.stamped(someTime(7), 72)
	r = reread(t, r.end(conclusion{endRecord: endRecord{ID: "b", Cause: CauseError}}))
	r.stamped(someTime(8), 73)
	_, was, _ := strings.Cut(before, `"runs":`)
	if _, is, _ := strings.Cut(string(r.encode()), `"runs":`); is != was {
		t.Errorf("%s\nbecame %s", was, is)
	}
	// One that died has left no end.
	r = r.open(someTerm("c")).close(endRecord{ID: "c", Cause: CauseDied}, 0)
	if r.Runs.Last.ID != "a" {
		t.Errorf("died: %s", r.encode())
	}
	// The end of a run that was never filled in is not that of another term.
	r.Runs.Last.Ended, r.Runs.Last.Token = nil, 60
	if r.stamped(someTime(9), 74); r.Runs.Last.Ended != nil {
		t.Errorf("filled in: %s", r.encode())
	}
}

// A run that nobody has told of is told with the conclusion, unless another has come
// since.
func TestRecordRunConcluded(t *testing.T) {
	r := parsed(t, "").open(someTerm("a")).open(someTerm("b"))
	ends := map[string]conclusion{"a": {run: aRun("a", 70, CauseExited, 0)}}
	if !r.concerned(ends) || r.concerned(map[string]conclusion{"x": {}}) {
		t.Error("whom does it concern?")
	}
	got := r.concluded(ends)
	if got.Runs == nil || got.Runs.Succeeded.ID != "a" || len(got.Unclean) != 0 || got.concerned(ends) {
		t.Errorf("carried: %s", got.encode())
	}
	if r.Runs != nil {
		t.Errorf("changed what it was given: %s", r.encode())
	}
	r.Runs = r.Runs.with(aRun("x", 71, CauseExited, 1))
	if got := r.concluded(ends); got.Runs.Last.ID != "x" || got.Runs.Succeeded != nil {
		t.Errorf("one came since: %s", got.encode())
	}
	ends = map[string]conclusion{"b": {endRecord: endRecord{ID: "b", Cause: CauseExited}, run: aRun("b", 72, CauseExited, 0)}}
	if got := r.concluded(ends); got.Runs.Last.ID != "b" || !got.Term.Clean || got.concerned(ends) {
		t.Errorf("its own term: %s", got.encode())
	}
}
