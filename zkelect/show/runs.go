// Package show is how what the library tells of an election looks on the command line:
// the words for people, and the JSON with its fixed form of times.
package show

import (
	"fmt"
	"time"

	"zkelect/zkelect"
	"zkelect/zkelect/cmdline"
)

// Clock is a time for people, in the zone of this host.
func Clock(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05 MST") }

// RunsTable is the lines of a table about the runs of an election, each a name and
// what belongs to it. The last one that succeeded is there where it is not the last.
func RunsTable(r *zkelect.PastRuns) (lines [][2]string) {
	if r == nil {
		return nil
	}
	if r.Last != nil {
		lines = append(lines, [2]string{"RAN", run(r.Last)})
	}
	if good := r.Succeeded; good != nil && (r.Last == nil || !good.Began.Equal(r.Last.Began)) {
		lines = append(lines, [2]string{"SUCCEEDED", run(good)})
	}
	return lines
}

// run is who ran the command, how that ended, when it began and how long it took.
func run(r *zkelect.PastRun) string {
	s := cmdline.Printable(r.ID) + ", " + cmdline.Printable(string(r.Cause))
	if r.ExitCode != nil {
		s += fmt.Sprintf(" with code %d", *r.ExitCode)
	}
	s += ", began " + Clock(r.Began)
	if r.Ended != nil {
		s += ", took " + cmdline.Span(r.Ended.Sub(r.Began))
	}
	return s
}

// Run is a run in JSON: times in UTC with milliseconds.
type Run struct {
	*zkelect.PastRun
	Began cmdline.Stamp  `json:"began"`
	Ended *cmdline.Stamp `json:"ended,omitempty"`
}

// Runs are those of an election in JSON.
type Runs struct {
	Last      *Run `json:"last,omitempty"`
	Succeeded *Run `json:"succeeded,omitempty"`
}

// RunsJSON is nil where there are none.
func RunsJSON(r *zkelect.PastRuns) *Runs {
	if r == nil {
		return nil
	}
	of := func(r *zkelect.PastRun) *Run {
		if r == nil {
			return nil
		}
		return &Run{r, cmdline.Stamp(r.Began), (*cmdline.Stamp)(r.Ended)}
	}
	return &Runs{of(r.Last), of(r.Succeeded)}
}
