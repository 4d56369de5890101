package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"zkelect/zkelect"
)

// fakeInspector shows elections from memory.
type fakeInspector struct {
	elections []*zkelect.Election // Watch's changes; the first is the state
	holds     func(path string) (bool, error)
	err       error
	hang      bool
}

func (f *fakeInspector) Close() {}

func (f *fakeInspector) Browse(ctx context.Context, _, _ string) ([]zkelect.Below, error) {
	if f.hang {
		<-ctx.Done()
	}
	return []zkelect.Below{{Path: "/jobs/a:b", Election: true}, {Path: "/jobs/c", Folder: true}}, f.err
}

func (f *fakeInspector) Inspect(ctx context.Context, path string) (*zkelect.Election, error) {
	if f.hang {
		<-ctx.Done()
		return nil, fmt.Errorf("read: %w", context.Cause(ctx))
	}
	if f.err != nil {
		return nil, f.err
	}
	return f.elections[0], nil
}

func (f *fakeInspector) Holds(ctx context.Context, path string, _ zkelect.Condition) (bool, *zkelect.Election, error) {
	ok, err := f.holds(path)
	if err != nil {
		return false, nil, err
	}
	return ok, f.elections[0], nil
}

func (f *fakeInspector) Watch(ctx context.Context, _ string, each func(*zkelect.Election) bool) error {
	for _, e := range f.elections {
		if !each(e) {
			return nil
		}
	}
	if f.err != nil {
		return f.err
	}
	<-ctx.Done()
	return context.Cause(ctx)
}

func (f *fakeInspector) Elections(_ context.Context, _ string, each func(*zkelect.Election) error) error {
	for _, e := range f.elections {
		if err := each(e); err != nil {
			return err
		}
	}
	return f.err
}

var noon = time.Date(2026, 11, 22, 13, 0, 1, 200e6, time.FixedZone("CET", 3600))

func billing() *zkelect.Election {
	code, until := 0, noon.Add(-time.Minute)
	since := until.Add(-time.Hour)
	leader := zkelect.Participant{ID: "web1:4121", Node: "/jobs/billing/_c_8d3e-latch-0000000007", Sequence: 7, Session: "0x1000a3c5e2b0003",
		FencingToken: 4294967341, Since: noon, Leader: true, Host: "web1", PID: 4121}
	return &zkelect.Election{Path: "/jobs/billing", Recipe: "latch", Leader: &leader,
		Participants: []zkelect.Participant{leader, {ID: "evil\x1b[2J\n", Node: "/jobs/billing/x", Sequence: 8, Session: "0x2", Since: time.Now().Add(-192 * time.Second)}},
		Last:         &zkelect.LastTerm{ID: "web3:77", Cause: zkelect.CauseExited, ExitCode: &code, Since: &since, Until: &until}}
}

func leaderless() *zkelect.Election { return &zkelect.Election{Path: "/jobs/idle", Recipe: "latch"} }

func TestStatusTable(t *testing.T) {
	c := call{inspector: &fakeInspector{elections: []*zkelect.Election{billing()}}}
	if code := c.zkelect("status", "/jobs/billing"); code != 0 {
		t.Error(code, &c.stderr)
	}
	text := c.stdout.String()
	for _, want := range []string{"ELECTION  /jobs/billing (latch)\n", "LEADER    web1:4121\n", "HOST      web1\n", "PID       4121\n", "TOKEN     4294967341\n",
		"SESSION   0x1000a3c5e2b0003\n", "LAST      web3:77, exited with code 0 ", " after 1h0m\n", "#  ID             STATE  FOR\n", `2  evil\x1b[2J\n  waits  3m12s` + "\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
	c.inspector = &fakeInspector{elections: []*zkelect.Election{leaderless()}}
	if code := c.zkelect("status", "/jobs/idle"); code != 1 || c.stdout.String() != "ELECTION  /jobs/idle (latch)\nLEADER    none\n" {
		t.Error(code, &c.stdout)
	}
}

// Programs of others leave out what zkelects have.
func TestStatusTableOfOthers(t *testing.T) {
	old := time.Now().Add(-time.Minute)
	leader := zkelect.Participant{Node: "/x/n_0000000001", Sequence: 1, Session: "0x0", Since: old, Leader: true, Persistent: true}
	e := &zkelect.Election{Path: "/x", Recipe: "support", Program: "ZooKeeper's LeaderElectionSupport", Leader: &leader, Participants: []zkelect.Participant{
		leader, {ID: "10.1.2.3", Session: "0x2", Since: old}, {ID: "fe80::1%\x1b[2J", Since: old, Persistent: true}, {ID: "web1", Since: old}}}
	c := call{inspector: &fakeInspector{elections: []*zkelect.Election{e}}}
	if code := c.zkelect("status", "/x"); code != 0 {
		t.Error(code, &c.stderr)
	}
	text := c.stdout.String()
	for _, want := range []string{"ELECTION  /x (support: ZooKeeper's LeaderElectionSupport)\nLEADER    (no id)\nSINCE ", "\n1  (no id) ", " leads, not ephemeral  1m\n",
		"\n2  10.1.2.3 (address) ", " waits                 1m\n", `\n3  fe80::1%\x1b[2J (address)  waits, not ephemeral`[2:], "\n4  web1 "} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
	if strings.Contains(text, "SESSION") {
		t.Error(text)
	}
	c.zkelect("status", "-o", "json", "/x")
	if text := c.stdout.String(); !strings.Contains(text, `"program":"ZooKeeper's LeaderElectionSupport"`) || !strings.Contains(text, `"persistent":true`) {
		t.Error(text)
	}
}

func TestStatusJSON(t *testing.T) {
	c := call{inspector: &fakeInspector{elections: []*zkelect.Election{billing()}}}
	if code := c.zkelect("status", "/jobs/billing", "-o", "json"); code != 0 {
		t.Error(code, &c.stderr)
	}
	text := c.stdout.String()
	for _, want := range []string{`{"path":"/jobs/billing","recipe":"latch","leader":{"id":"web1:4121","node":"/jobs/billing/_c_8d3e-latch-0000000007","sequence":7,"session":"0x1000a3c5e2b0003","fencing_token":4294967341,`,
		`"leader":true,"host":"web1","pid":4121,"since":"2026-11-22T12:00:01.200Z"},"participants":[{"id":"web1:4121"`, `"leader":false`,
		`"last":{"id":"web3:77","cause":"exited","exit_code":0,"since":"2026-11-22T10:59:01.200Z","until":"2026-11-22T11:59:01.200Z"}}` + "\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in:\n%s", want, text)
		}
	}
	c.inspector = &fakeInspector{elections: []*zkelect.Election{leaderless()}}
	if code := c.zkelect("status", "-ojson", "/jobs/idle"); code != 1 || c.stdout.String() != `{"path":"/jobs/idle","recipe":"latch","leader":null,"participants":[]}`+"\n" {
		t.Error(code, &c.stdout)
	}
}

func TestStatusRuns(t *testing.T) {
	e := billing()
	code, ended := 1, noon.Add(-30*time.Second)
	zero, before := 0, noon.Add(-time.Hour)
	failed := &zkelect.PastRun{ID: "evil\x1b[2J", FencingToken: 7, Cause: zkelect.CauseExited, ExitCode: &code, Began: noon.Add(-time.Minute), Ended: &ended}
	good := &zkelect.PastRun{ID: "web2:888", Cause: zkelect.CauseExited, ExitCode: &zero, Began: before}
	for _, test := range []struct {
		runs  *zkelect.PastRuns
		table []string
		not   string
		json  string
	}{
		{nil, nil, "RAN", `"until":"2026-11-22T11:59:01.200Z"}}` + "\n"},
		{&zkelect.PastRuns{Last: failed}, []string{"RAN       evil\\x1b[2J, exited with code 1, began 2026-11-22 ", ", took 30s\n"}, "SUCCEEDED",
			`"runs":{"last":{"id":"evil\u001b[2J","fencing_token":7,"cause":"exited","exit_code":1,"began":"2026-11-22T11:59:01.200Z","ended":"2026-11-22T11:59:31.200Z"}}}`},
		{&zkelect.PastRuns{Last: failed, Succeeded: good}, []string{"RAN        evil", "SUCCEEDED  web2:888, exited with code 0, began 2026-11-22 "}, "none",
			`"succeeded":{"id":"web2:888","cause":"exited","exit_code":0,"began":"2026-11-22T11:00:01.200Z"}}}`},
		{&zkelect.PastRuns{Last: good, Succeeded: good}, []string{"RAN       web2:888, exited with code 0, began 2026-11-22 "}, "SUCCEEDED", `"succeeded":{"id":"web2:888"`},
	} {
		e.Runs = test.runs
		c := call{inspector: &fakeInspector{elections: []*zkelect.Election{e}}}
		c.zkelect("status", "/jobs/billing")
		text := c.stdout.String()
		for _, want := range test.table {
			if !strings.Contains(text, want) {
				t.Errorf("no %q in:\n%s", want, text)
			}
		}
		if strings.Contains(text, test.not) {
			t.Errorf("%s in:\n%s", test.not, text)
		}
		if c.zkelect("status", "/jobs/billing", "-o", "json"); !strings.Contains(c.stdout.String(), test.json) {
			t.Errorf("no %s in:\n%s", test.json, &c.stdout)
		}
	}
}

func TestHoldStatus(t *testing.T) {
	led, bare := billing(), billing()
	bare.Leader, bare.Participants = nil, nil
	until, past := time.Now().Add(90*time.Minute+time.Second), noon
	led.Hold = &zkelect.Hold{ID: "web9:7", Reason: "evil\x1b[2J", Since: noon, Until: &until}
	bare.Hold = &zkelect.Hold{ID: "web9:7", Since: noon}
	over := billing()
	over.Hold = &zkelect.Hold{ID: "web9:7", Since: noon.Add(-time.Hour), Until: &past}
	for _, test := range []struct {
		e    *zkelect.Election
		code int
		want []string
		line string // of many
	}{
		{led, 0, []string{"\nLEADER    web1:4121\n", "\nHELD      by web9:7 since 2026-11-22 ", " (in 1h30m): evil\\x1b[2J\n"}, "web1:4121 (held)"},
		{bare, 1, []string{"\nLEADER    none\nHELD      by web9:7 since ", ", until it is removed\n"}, "- (held)"},
		{over, 0, []string{", over since 2026-11-22 "}, "web1:4121  "},
	} {
		c := call{inspector: &fakeInspector{elections: []*zkelect.Election{test.e}}}
		if code := c.zkelect("status", "/jobs/billing"); code != test.code {
			t.Errorf("exit %d", code)
		}
		for _, want := range test.want {
			if text := c.stdout.String(); !strings.Contains(text, want) {
				t.Errorf("no %q in:\n%s", want, text)
			}
		}
		if c.zkelect("status", "-r", "/jobs"); !strings.Contains(c.stdout.String(), test.line) {
			t.Errorf("no %q in:\n%s", test.line, &c.stdout)
		}
	}
	c := call{inspector: &fakeInspector{elections: []*zkelect.Election{bare}}}
	if c.zkelect("status", "/jobs/billing", "-o", "json"); !strings.Contains(c.stdout.String(), `"hold":{"id":"web9:7","since":"2026-11-22T12:00:01.200Z","until":null}`) {
		t.Error(&c.stdout)
	}
}

func TestTakeoverStatus(t *testing.T) {
	e := billing()
	since := noon.Add(-time.Hour)
	e.Unclean = []zkelect.UncleanTerm{
		{ID: "web3:77", Node: "/jobs/billing/_c_1-latch-0000000004", FencingToken: 5, Since: &since, Host: "web3", PID: 77, Lease: 30_000},
		{ID: "evil\x1b[2J", Node: "/jobs/billing/x", Lease: 4500},
	}
	c := call{inspector: &fakeInspector{elections: []*zkelect.Election{e}}}
	c.zkelect("status", "/jobs/billing")
	for _, want := range []string{"UNCLEAN   web3:77 (_c_1-latch-0000000004), lease 30s, led since 2026-11-22 ", "\nUNCLEAN   evil\\x1b[2J (x), lease 4.5s\n"} {
		if text := c.stdout.String(); !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
	c.zkelect("status", "/jobs/billing", "-o", "json")
	const want = `"unclean":[{"id":"web3:77","node":"/jobs/billing/_c_1-latch-0000000004","fencing_token":5,"host":"web3","pid":77,"lease_ms":30000,"since":"2026-11-22T11:00:01.200Z"},`
	if text := c.stdout.String(); !strings.Contains(text, want) {
		t.Errorf("no %s in:\n%s", want, text)
	}
}

func TestStatusAnswers(t *testing.T) {
	yes := func(string) (bool, error) { return true, nil }
	no := func(string) (bool, error) { return false, nil }
	gone := fmt.Errorf("%w: nothing at /jobs", zkelect.ErrNoElection)
	for _, test := range []struct {
		args   string
		i      fakeInspector
		code   int
		stdout string
		stderr string
	}{
		{"-o id", fakeInspector{elections: []*zkelect.Election{billing()}}, 0, "web1:4121\n", ""},
		{"-o id", fakeInspector{elections: []*zkelect.Election{leaderless()}}, 1, "", ""},
		{"-q", fakeInspector{elections: []*zkelect.Election{billing()}}, 0, "", ""},
		{"-q", fakeInspector{elections: []*zkelect.Election{leaderless()}}, 1, "", ""},
		{"-q -o id", fakeInspector{elections: []*zkelect.Election{billing()}}, 0, "web1:4121\n", ""},
		{"-o id --mine", fakeInspector{elections: []*zkelect.Election{billing()}, holds: yes}, 0, "web1:4121\n", ""},
		{"-o id --mine", fakeInspector{elections: []*zkelect.Election{billing()}, holds: no}, 1, "web1:4121\n", ""},
		{"-q --token 5", fakeInspector{elections: []*zkelect.Election{billing()}, holds: no}, 1, "", ""},
		{"", fakeInspector{err: gone}, 1, "", "nothing at /jobs"},
		{"-q", fakeInspector{err: gone}, 1, "", ""},
		{"-q", fakeInspector{err: zkelect.ErrDenied}, 2, "", "permission denied"},
		{"--timeout 10ms", fakeInspector{hang: true}, 2, "", "no answer on /jobs from 127.0.0.1:2181 within 10ms"},
	} {
		c := call{inspector: &test.i}
		code := c.zkelect(append([]string{"status", "/jobs"}, strings.Fields(test.args)...)...)
		if code != test.code || c.stdout.String() != test.stdout || !strings.Contains(c.stderr.String(), test.stderr) || test.stderr == "" && c.stderr.Len() > 0 {
			t.Errorf("%s: exit %d\n%s%s", test.args, code, &c.stdout, &c.stderr)
		}
	}
}

func TestStatusWatch(t *testing.T) {
	led, idle := billing(), leaderless()
	states := []*zkelect.Election{idle, led}
	c := call{inspector: &fakeInspector{elections: states, err: errors.New("broken")}}
	if code := c.zkelect("status", "-W", "-o", "id", "/jobs"); code != 2 || c.stdout.String() != "\nweb1:4121\n" {
		t.Errorf("exit %d: %q %s", code, &c.stdout, &c.stderr)
	}
	if code := c.zkelect("status", "-Wo", "json", "/jobs"); code != 2 || strings.Count(c.stdout.String(), "\n") != 2 {
		t.Error(code, &c.stdout)
	}
	// By then there is a leader, so the time-out is an answer.
	c.inspector = &fakeInspector{elections: states}
	if code := c.zkelect("status", "-qW", "--timeout", "20ms", "/jobs"); code != 0 || c.stderr.Len() > 0 {
		t.Error(code, &c.stderr)
	}
	c.inspector = &fakeInspector{elections: []*zkelect.Election{idle}, holds: func(string) (bool, error) { return false, nil }}
	if code := c.zkelect("status", "-qW", "--mine", "--timeout", "20ms", "/jobs"); code != 1 || c.stderr.Len() > 0 {
		t.Error(code, &c.stderr)
	}
}

func TestStatusWatchUntilProved(t *testing.T) {
	asked := 0
	c := call{inspector: &fakeInspector{elections: []*zkelect.Election{leaderless(), billing()}, holds: func(string) (bool, error) {
		asked++
		switch asked {
		case 1:
			return false, zkelect.ErrNoElection // not yet
		case 2:
			return false, errors.New("connection lost") // nothing may change after this
		}
		return asked == 4, nil
	}}}
	if code := c.zkelect("status", "-W", "--mine", "-o", "json", "/jobs"); code != 0 || asked != 4 {
		t.Error(code, asked, &c.stderr)
	}
	if !strings.Contains(c.stderr.String(), "connection lost") {
		t.Error(&c.stderr)
	}
}

func TestStatusRecursive(t *testing.T) {
	f := &fakeInspector{elections: []*zkelect.Election{billing(), leaderless()}}
	c := call{inspector: f}
	if code := c.zkelect("status", "-r", "/"); code != 0 || c.open.Path == "/" {
		t.Error(code, &c.stderr)
	}
	lines := strings.Split(c.stdout.String(), "\n")
	if len(lines) != 4 || !strings.HasPrefix(lines[0], "PATH           LEADER     SINCE") || !strings.HasPrefix(lines[1], "/jobs/billing  web1:4121  ") || strings.Join(strings.Fields(lines[2]), " ") != "/jobs/idle - - 0 latch" {
		t.Errorf("%q", lines)
	}
	// Some nodes could not be looked into: one line, and no answer where nobody leads.
	f.err = &zkelect.UnreadError{Nodes: 3, First: "/jobs/secret", Err: zkelect.ErrDenied}
	if code := c.zkelect("status", "-r", "/jobs"); code != 0 || strings.Count(c.stderr.String(), "\n") != 1 || !strings.Contains(c.stderr.String(), "3 of the nodes") {
		t.Error(code, &c.stderr)
	}
	f.elections = f.elections[1:]
	if code := c.zkelect("status", "-r", "/jobs"); code != 2 || !strings.Contains(c.stdout.String(), "/jobs/idle") || !strings.Contains(c.stderr.String(), "/jobs/secret") {
		t.Error(code, &c.stdout, &c.stderr)
	}
	// The time is over: what was found is shown.
	f.err = context.DeadlineExceeded
	if code := c.zkelect("status", "-r", "/jobs"); code != 2 || !strings.Contains(c.stdout.String(), "/jobs/idle") || !strings.Contains(c.stderr.String(), "not all below /jobs was seen") {
		t.Error(code, &c.stdout, &c.stderr)
	}
	f.elections, f.err = []*zkelect.Election{billing(), leaderless()}, nil
	if c.zkelect("status", "-r", "-ojson", "/jobs"); strings.Count(c.stdout.String(), "\n") != 2 {
		t.Error(&c.stdout)
	}
	if c.zkelect("status", "-r", "-oid", "/jobs"); c.stdout.String() != "/jobs/billing  web1:4121\n" {
		t.Errorf("%q", &c.stdout)
	}
	asked := 0
	f.holds = func(path string) (bool, error) { asked++; return path == "/jobs/none", nil }
	if code := c.zkelect("status", "-rqo", "json", "--leader-is", "web1:4121", "/jobs"); code != 1 || c.stdout.Len() > 0 || asked != 1 {
		t.Error(code, asked, &c.stdout)
	}
	// Of many elections with warnings the first are shown.
	for n := range 30 {
		e := leaderless()
		e.Path, e.Warnings = fmt.Sprint("/jobs/", n), []string{"a mixture"}
		f.elections = append(f.elections, e)
	}
	c.zkelect("status", "-r", "/jobs")
	if text := c.stderr.String(); strings.Count(text, "\n") != 11 || !strings.Contains(text, "path=/jobs/9") || !strings.Contains(text, "elections=20") {
		t.Error(text)
	}
}
