package chaos

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Report is what a run found.
type Report struct {
	Seed       uint64        `json:"seed"`
	Took       time.Duration `json:"took"`
	Rounds     int           `json:"rounds"`
	Violations []Violation   `json:"violations"`
	Faults     map[kind]int  `json:"faults"` // that struck
	Missed     map[kind]int  `json:"missed"` // whom it was for was not there
	// LeftOut are the kinds that are not possible here, and why.
	LeftOut map[kind]string `json:"left_out"`
	Terms   []int           `json:"terms"` // of each election
	// Margins are the times between a tree's death and the deletion of its live.
	Margins Times `json:"margins"`
	// Handovers are the times between a tree's death and the next one's first stamp.
	Handovers Times `json:"handovers"`
	// Failovers are the times between a fault that struck the leader, and that its
	// term did not survive, and the next tree's first stamp.
	Failovers map[kind]Times `json:"failovers"`
	Calms     Times          `json:"calms"`   // from the last heal of a round until all elections led
	Resigns   map[int]int    `json:"resigns"` // exit codes
	Ends      map[string]int `json:"ends"`    // how contenders ended
	Cured     int            `json:"cured"`   // how often the servers committed nothing any more and were restarted
}

// Violation is a promise that was broken, by the name of the check that saw it.
type Violation struct {
	Check    string `json:"check"`
	Election int    `json:"election"` // -1: none
	At       int64  `json:"at"`       // ns since the run began
	Text     string `json:"text"`
}

func (v Violation) String() string {
	return fmt.Sprintf("%s: election %d at %.3fs: %s", v.Check, v.Election, float64(v.At)/1e9, v.Text)
}

// Times sums up some durations.
type Times struct {
	N      int           `json:"n"`
	Least  time.Duration `json:"least"`
	Median time.Duration `json:"median"`
	P95    time.Duration `json:"p95"`
	Most   time.Duration `json:"most"`
}

func timesOf(all []time.Duration) Times {
	if len(all) == 0 {
		return Times{}
	}
	slices.Sort(all)
	n := len(all)
	return Times{N: n, Least: all[0], Median: all[n/2], P95: all[(n*95)/100], Most: all[n-1]}
}

func (t Times) String() string {
	if t.N == 0 {
		return "none"
	}
	round := func(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }
	return fmt.Sprintf("least %v, median %v, 95%% %v, most %v (%d)", round(t.Least), round(t.Median), round(t.P95), round(t.Most), t.N)
}

// checks are the names that a violation can have; see the package's comment.
// "harness" is for what kept the harness itself from its work.
var checks = []string{"overlap", "outlived", "token", "queue", "leftover", "panic", "exit", "harness"}

// found are the names of the checks that saw something.
func (r *Report) found() []string {
	names := map[string]bool{}
	for _, v := range r.Violations {
		names[v.Check] = true
	}
	return slices.Sorted(maps.Keys(names))
}

func (r *Report) String() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("seed %d, %v, %d rounds", r.Seed, r.Took.Round(time.Second), r.Rounds)
	line("faults:")
	total := 0
	for _, k := range slices.Concat(electionKinds, ensembleKinds, []kind{cutWithServer}) {
		switch why, out := r.LeftOut[k]; {
		case out:
			line("  %-22s left out: %s", k, why)
		case r.Faults[k]+r.Missed[k] == 0:
		default:
			total += r.Faults[k]
			text := fmt.Sprintf("  %-22s %4d", k, r.Faults[k])
			if n := r.Missed[k]; n > 0 {
				text += fmt.Sprintf(", and %d for somebody who was not there", n)
			}
			if t, ok := r.Failovers[k]; ok {
				text += fmt.Sprintf("; the next tree after: %v", t)
			}
			line("%s", text)
		}
	}
	line("  %-22s %4d", "all", total)
	if r.Cured > 0 {
		line("servers restarted since they committed nothing any more: %d times", r.Cured)
	}
	line("exit codes of resign: %v", r.Resigns)
	line("ends of contenders: %v", r.Ends)
	line("terms: %v", r.Terms)
	line("from a tree's death to the deletion of live: %v", r.Margins)
	line("from a tree's death to the next one's first stamp: %v", r.Handovers)
	line("from the last heal of a round until everybody led: %v", r.Calms)
	for _, v := range r.Violations {
		line("VIOLATION %v", v)
	}
	seen := map[string]int{}
	for _, v := range r.Violations {
		seen[v.Check]++
	}
	text := "violations by check:"
	for _, check := range checks {
		text += fmt.Sprintf(" %s %d", check, seen[check])
	}
	line("%s", text)
	return strings.TrimSuffix(b.String(), "\n")
}
