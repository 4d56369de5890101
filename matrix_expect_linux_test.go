package main

import (
	"fmt"
	"strings"
)

// matrixExpected is what is to come out, written by hand before anything was run,
// for root and for an ordinary user alike. The columns are the levels of isolation.
//
//	now    dead at once: by the parent-death signal and a walk
//	grace  dead within the grace of a stop
//	lease  dead by the end of the lease that was in force
//	live   daemons live on. Nobody is left to find them, nor to write to
//	       cgroup.kill: what zkelect says it cannot do without a PID namespace
//
// The kinds are those of testdata/matrix/child: plain and deaf are one process,
// the second of which ignores TERM; the others have daemons of their own.
//
// In the rows of both and all, the main process dies with the guard. "all" is every
// process whose name begins with zkelect: in a PID namespace its init too.
const matrixExpected = `
fault whom    kind      | none  cgroup pidns
kill  elector plain     | now   now    now
kill  elector deaf      | grace grace  grace
kill  elector daemons   | grace grace  grace
kill  elector thousand  | grace grace  grace
kill  elector respawner | grace grace  grace
kill  guard   plain     | now   now    now
kill  guard   deaf      | now   now    now
kill  guard   daemons   | now   now    now
kill  guard   thousand  | now   now    now
kill  guard   respawner | now   now    now
kill  both    plain     | now   now    now
kill  both    deaf      | now   now    now
kill  both    daemons   | live  live   now
kill  both    thousand  | live  live   now
kill  both    respawner | live  live   now
kill  all     plain     | now   now    now
kill  all     deaf      | now   now    now
kill  all     daemons   | live  live   now
kill  all     thousand  | live  live   now
kill  all     respawner | live  live   now
stop  elector plain     | lease lease  lease
stop  elector deaf      | lease lease  lease
stop  elector daemons   | lease lease  lease
stop  elector thousand  | lease lease  lease
stop  elector respawner | lease lease  lease
stop  guard   plain     | lease lease  lease
stop  guard   deaf      | lease lease  lease
stop  guard   daemons   | lease lease  lease
stop  guard   thousand  | lease lease  lease
stop  guard   respawner | lease lease  lease
stop  both    plain     | lease lease  lease
stop  both    deaf      | lease lease  lease
stop  both    daemons   | live  live   lease
stop  both    thousand  | live  live   lease
stop  both    respawner | live  live   lease
stop  all     plain     | lease lease  lease
stop  all     deaf      | lease lease  lease
stop  all     daemons   | live  live   lease
stop  all     thousand  | live  live   lease
stop  all     respawner | live  live   lease
`

// matrixSample is one cell of each row, for make test: every kind, user and level
// is in it.
const matrixSample = `
kill elector thousand  root none
kill guard   daemons   user cgroup
kill both    respawner root pidns
kill all     daemons   root none
stop elector respawner user cgroup
stop guard   deaf      root pidns
stop both    plain     user none
stop all     daemons   user pidns
`

// matrixCell is one experiment.
type matrixCell struct {
	fault, whom, kind string
	user, isolate     string
	want              string
}

func (c matrixCell) String() string {
	return strings.Join([]string{c.fault, c.whom, c.kind, c.user, c.isolate}, "_")
}

var (
	matrixUsers  = []string{"root", "user"}
	matrixLevels = []string{"none", "cgroup", "pidns"}
)

// matrixCells is every cell, by row.
func matrixCells() (cells []matrixCell) {
	for line := range strings.Lines(strings.TrimSpace(matrixExpected)) {
		f := strings.Fields(line)
		if f[0] == "fault" {
			continue
		}
		for _, user := range matrixUsers {
			for n, level := range matrixLevels {
				cells = append(cells, matrixCell{f[0], f[1], f[2], user, level, f[4+n]})
			}
		}
	}
	return cells
}

// matrixSampled is the cells of the sample.
func matrixSampled() (cells []matrixCell) {
	for _, c := range matrixCells() {
		for line := range strings.Lines(matrixSample) {
			if strings.Join(strings.Fields(line), "_") == c.String() {
				cells = append(cells, c)
			}
		}
	}
	return cells
}

// matrixTable is the results as a page shows them.
func matrixTable(results map[matrixCell]string) string {
	var b strings.Builder
	b.WriteString("| fault | child |")
	for _, user := range matrixUsers {
		for _, level := range matrixLevels {
			fmt.Fprintf(&b, " %s, %s |", user, level)
		}
	}
	b.WriteString("\n|" + strings.Repeat(" --- |", 2+len(matrixUsers)*len(matrixLevels)) + "\n")
	row := ""
	for _, c := range matrixCells() {
		if next := fmt.Sprintf("| %s %s | %s |", c.fault, c.whom, c.kind); next != row {
			if row != "" {
				b.WriteString("\n")
			}
			row = next
			b.WriteString(row)
		}
		result := results[c]
		if result == "" {
			result = "–"
		}
		fmt.Fprintf(&b, " %s |", result)
	}
	b.WriteString("\n")
	return b.String()
}
