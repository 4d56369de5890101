package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"zkelect/zkelect"
)

func TestRunExitCodes(t *testing.T) {
	for _, test := range []struct {
		outcome zkelect.Outcome
		err     error
		want    int
	}{
		{zkelect.Outcome{Cause: zkelect.CauseExited, Ran: true}, nil, 0},
		{zkelect.Outcome{Cause: zkelect.CauseExited, Ran: true, Code: 121}, nil, 121},
		{zkelect.Outcome{Cause: zkelect.CauseSignalled, Ran: true, Code: 137, Signal: syscall.SIGKILL}, nil, 137},
		{zkelect.Outcome{Cause: zkelect.CauseStopped, Ran: true, Code: 3}, nil, 3},
		{zkelect.Outcome{Cause: zkelect.CauseStopped, Ran: true, Code: 143, Signal: syscall.SIGTERM}, nil, 143},
		{zkelect.Outcome{Cause: zkelect.CauseStopped, Signal: syscall.SIGHUP}, nil, 129},
		{zkelect.Outcome{Cause: zkelect.CauseResigned, Ran: true, Code: 143, Signal: syscall.SIGTERM}, nil, 121},
		{zkelect.Outcome{Cause: zkelect.CauseLost, Ran: true, Code: 137, Signal: syscall.SIGKILL}, nil, 122},
		{zkelect.Outcome{Cause: zkelect.CauseFenceFailed}, nil, 123},
		{zkelect.Outcome{Cause: zkelect.CauseFenceFailed}, fmt.Errorf("%w: x", zkelect.ErrFence), 123},
		{zkelect.Outcome{Cause: zkelect.CauseSkipped}, nil, 0},
		{zkelect.Outcome{Cause: zkelect.CauseNotLeader, Leader: "web1:1"}, zkelect.ErrNotLeader, 124},
		{zkelect.Outcome{Cause: zkelect.CauseError}, zkelect.ErrUnreachable, 125},
		{zkelect.Outcome{Cause: zkelect.CauseError}, zkelect.ErrUnsafe, 125},
		{zkelect.Outcome{Cause: zkelect.CauseError}, zkelect.ErrConfig, 125},
		{zkelect.Outcome{Cause: zkelect.CauseError}, fmt.Errorf("%w: short of memory", zkelect.ErrStart), 125},
		{zkelect.Outcome{Cause: zkelect.CauseError}, fmt.Errorf("x: %w", zkelect.ErrCommandNotExecutable), 126},
		{zkelect.Outcome{Cause: zkelect.CauseError}, fmt.Errorf("x: %w", zkelect.ErrCommandNotFound), 127},
	} {
		c := call{outcome: test.outcome, err: test.err}
		if got := c.zkelect("run", "-p", "/x", "true"); got != test.want {
			t.Errorf("%+v, %v: %d, want %d", test.outcome, test.err, got, test.want)
		}
		end := fmt.Sprintf("msg=done cause=%s code=%d", test.outcome.Cause, test.want)
		if text := c.stderr.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, end) {
			t.Errorf("%+v: want %q in %q", test.outcome, end, text)
		}
		// Quiet, it is there wherever the code is not 0, whatever the level.
		c.zkelect("run", "-q", "-p", "/x", "true")
		if said := strings.Contains(c.stderr.String(), end); said != (test.want != 0) {
			t.Errorf("%+v, quiet: %q", test.outcome, &c.stderr)
		}
	}
}

func TestRunConflictExitCode(t *testing.T) {
	c := call{outcome: zkelect.Outcome{Cause: zkelect.CauseNotLeader}, err: zkelect.ErrNotLeader}
	for arg, want := range map[string]int{"-E0": 0, "-nE0": 0, "-E=7": 7, "--conflict-exit-code=007": 7, "-nqE255": 255} {
		if got := c.zkelect("run", arg, "-p", "/x", "true"); got != want {
			t.Errorf("%s: %d: %s", arg, got, &c.stderr)
		}
	}
	// Never having reached ZooKeeper is an error all the same.
	c = call{outcome: zkelect.Outcome{Cause: zkelect.CauseError}, err: zkelect.ErrUnreachable}
	if got := c.zkelect("run", "-nqE0", "-p", "/x", "true"); got != 125 {
		t.Error(got)
	}
}

func TestRunConfig(t *testing.T) {
	for _, test := range []struct {
		args string
		good func(zkelect.RunConfig) bool
	}{
		{"", func(c zkelect.RunConfig) bool {
			return c.StopTimeout == 5*time.Second && c.RequeueDelay == time.Second && c.ConnectTimeout == 10*time.Second &&
				c.TakeoverDelay == 0 && c.FenceCommand == "" && c.OnSuspend == zkelect.SuspendContinue && c.SessionTimeout == 30*time.Second && !c.NoWait && c.Wait == 0 && c.StopSignal == 0 && c.ID == "" && c.Auth == nil
		}},
		{"-n", func(c zkelect.RunConfig) bool { return c.NoWait }},
		{"-w0", func(c zkelect.RunConfig) bool { return c.NoWait && c.Wait == 0 }},
		{"-w 0.5", func(c zkelect.RunConfig) bool { return !c.NoWait && c.Wait == 500*time.Millisecond }},
		{"--nonblock=off -w 1", func(c zkelect.RunConfig) bool { return !c.NoWait && c.Wait == time.Second }},
		{"--requeue lost", func(c zkelect.RunConfig) bool { return c.Requeue == zkelect.RequeueLost }},
		{"--stop-signal int", func(c zkelect.RunConfig) bool { return c.StopSignal == syscall.SIGINT }},
		{"--stop-timeout 0", func(c zkelect.RunConfig) bool { return c.StopTimeout == 0 }},
		{"--tick-time 500ms", func(c zkelect.RunConfig) bool { return c.TickTime == 500*time.Millisecond }},
		{"--tick-time auto", func(c zkelect.RunConfig) bool { return c.TickTime == 0 }},
		{"--takeover-delay auto", func(c zkelect.RunConfig) bool { return c.TakeoverDelay == zkelect.TakeoverAuto }},
		{"--takeover-delay=2m", func(c zkelect.RunConfig) bool { return c.TakeoverDelay == 2*time.Minute }},
		{"--takeover-delay auto --takeover-delay 0", func(c zkelect.RunConfig) bool { return c.TakeoverDelay == 0 }},
		{"--fence=fence-it", func(c zkelect.RunConfig) bool { return c.FenceCommand == "fence-it" && c.Fence == nil }},
		{"--on-suspend freeze", func(c zkelect.RunConfig) bool { return c.OnSuspend == zkelect.SuspendFreeze }},
		{"--on-suspend=kill", func(c zkelect.RunConfig) bool { return c.OnSuspend == zkelect.SuspendKill }},
		{"--on-suspend continue", func(c zkelect.RunConfig) bool { return c.OnSuspend == zkelect.SuspendContinue }},
		{"", func(c zkelect.RunConfig) bool {
			return c.SkipIfRunWithin == 0 && c.SkipAfter == zkelect.SkipAfterSuccess
		}},
		{"--skip-if-run-within 90", func(c zkelect.RunConfig) bool {
			return c.SkipIfRunWithin == 90*time.Second && c.SkipAfter == zkelect.SkipAfterSuccess
		}},
		{"--skip-after any --skip-if-run-within=1h30m", func(c zkelect.RunConfig) bool {
			return c.SkipIfRunWithin == 90*time.Minute && c.SkipAfter == zkelect.SkipAfterAny
		}},
		{"--id Zoë", func(c zkelect.RunConfig) bool { return c.ID == "Zoë" }},
	} {
		c := call{outcome: zkelect.Outcome{Cause: zkelect.CauseExited}}
		if code := c.zkelect(append(append([]string{"run", "-p", "/x"}, strings.Fields(test.args)...), "sleep", "-n", "5")...); code != 0 {
			t.Errorf("%s: exit %d: %s", test.args, code, &c.stderr)
		}
		if !test.good(c.run) || !slices.Equal(c.run.Command, []string{"sleep", "-n", "5"}) || c.run.Signals == nil {
			t.Errorf("%s: %+v", test.args, c.run)
		}
	}
}

func TestDryRunShowsThePlan(t *testing.T) {
	e := billing()
	e.Unclean = []zkelect.UncleanTerm{{ID: "web3:77", Node: "/jobs/billing/x", Lease: 30_000}}
	c := call{plan: &zkelect.Plan{Program: "/bin/sleep", ID: "web4:1", Family: "of a Curator LeaderLatch (recipe latch)", ACL: zkelect.ACLCreator, Asked: 30 * time.Second, Granted: 20 * time.Second, Election: e, Ahead: 2,
		Makes: []string{"/jobs", "/jobs/.zkelect-billing"}, Lease: zkelect.LeasePlan{Heartbeat: 2 * time.Second, Stop: 12 * time.Second, Deadline: 16 * time.Second, Grace: 3 * time.Second, Needed: 24 * time.Second}}}
	if code := c.zkelect("run", "--dry-run", "-p", "/jobs/billing", "sleep", "a b", ""); code != 0 || c.stderr.Len() > 0 {
		t.Errorf("exit %d: %s", code, &c.stderr)
	}
	const want = `ELECTION  /jobs/billing on 127.0.0.1:2181
FAMILY    nodes of a Curator LeaderLatch (recipe latch)
LEADER    web1:4121
POSITION  web4:1 would wait behind evil\x1b[2J\n (2 ahead)
UNCLEAN   web3:77 (x), lease 30s
ACL       creator: who has the credentials may do everything, everyone may read
MAKES     /jobs /jobs/.zkelect-billing
SESSION   20s (asked for 30s)
LEASE     16s from a heartbeat, one every 2s; without an answer the stop begins after 12s
GRACE     3s (5s needs a session timeout of 24s)
COMMAND   /bin/sleep "a b" ""
`
	if c.stdout.String() != want {
		t.Error(c.stdout.String())
	}
	c.plan, c.err = nil, fmt.Errorf("x leads: %w", zkelect.ErrNotLeader)
	if code := c.zkelect("run", "--dry-run", "-nE", "9", "-p", "/x", "true"); code != 9 || !strings.Contains(c.stderr.String(), "cause=not-leader code=9") {
		t.Errorf("exit %d: %s", code, &c.stderr)
	}
}

func TestSkipFlagsRefused(t *testing.T) {
	for _, test := range []struct{ args, says string }{
		{"--skip-if-run-within -1s", "negative"},
		{"--skip-if-run-within 0", "no time"},
		{"--skip-if-run-within soon", "not a duration"},
		{"--skip-if-run-within 1h --skip-after failure", "none of success, any"},
		{"--skip-after any", "--skip-if-run-within"},
	} {
		c := call{outcome: zkelect.Outcome{Cause: zkelect.CauseExited}}
		if code := c.zkelect(append(append([]string{"run", "-p", "/x"}, strings.Fields(test.args)...), "true")...); code != 125 || !strings.Contains(c.stderr.String(), test.says) || strings.Count(c.stderr.String(), "\n") != 1 {
			t.Errorf("%s: exit %d: %s", test.args, code, &c.stderr)
		}
	}
}

// The last line says who ran it, and when.
func TestSkipLastLine(t *testing.T) {
	run := &zkelect.PastRun{ID: "web1:4121", Cause: zkelect.CauseExited, Began: noon}
	c := call{outcome: zkelect.Outcome{Cause: zkelect.CauseSkipped, Skipped: run}}
	if code := c.zkelect("run", "-p", "/x", "true"); code != 0 || !strings.Contains(c.stderr.String(), "cause=skipped code=0 by=web1:4121 began=2026-11-22T12:00:01.200Z") {
		t.Errorf("exit %d: %s", code, &c.stderr)
	}
	if code := c.zkelect("run", "-q", "-p", "/x", "true"); code != 0 || c.stderr.Len() > 0 {
		t.Errorf("exit %d: %s", code, &c.stderr)
	}
}

func TestTakeoverFlagsRefused(t *testing.T) {
	for _, test := range []struct{ args, says string }{
		{"--takeover-delay -1s", "negative"},
		{"--takeover-delay soon", "not a duration"},
		{"--takeover-delay=", "not a duration"},
		{"--fence=", "empty"},
		{"--on-suspend stop", "none of continue, freeze, kill"},
	} {
		c := call{outcome: zkelect.Outcome{Cause: zkelect.CauseExited}}
		if code := c.zkelect(append(append([]string{"run", "-p", "/x"}, strings.Fields(test.args)...), "true")...); code != 125 || !strings.Contains(c.stderr.String(), test.says) || strings.Count(c.stderr.String(), "\n") != 1 {
			t.Errorf("%s: exit %d: %s", test.args, code, &c.stderr)
		}
	}
}

func TestRunSettings(t *testing.T) {
	c := call{outcome: zkelect.Outcome{Cause: zkelect.CauseExited}}
	c.zkelect("run", "-p", "/x", "--session-timeout", "6", "true")
	want := []string{"ZKELECT_SERVERS=127.0.0.1:2181", "ZKELECT_RECIPE=latch", "ZKELECT_SESSION_TIMEOUT=6s", "ZKELECT_CONNECT_TIMEOUT=10s"}
	if !slices.Equal(c.run.Settings, want) {
		t.Errorf("%q", c.run.Settings)
	}
	c.zkelect("run", "-p", "/x", "--log-level", "warn", "--log-format", "json", "--acl", "open", "true")
	if got := c.run.Settings[4:]; !slices.Equal(got, []string{"ZKELECT_ACL=open", "ZKELECT_LOG_LEVEL=warn", "ZKELECT_LOG_FORMAT=json"}) {
		t.Errorf("%q", got)
	}
	// Without the credentials, which stay with us, this ACL would be an error in the child.
	c.env = map[string]string{"ZKELECT_AUTH": "digest:u:geheim"}
	c.zkelect("run", "-p", "/x", "--acl", "private", "true")
	if got := strings.Join(c.run.Settings, " "); strings.Contains(got, "ACL") || strings.Contains(got, "geheim") {
		t.Error(got)
	}
}

func TestRunNested(t *testing.T) {
	for _, test := range []struct {
		node, servers string
		args          []string
		refused       bool
	}{
		{"", "zk1", []string{"-p", "/x"}, false},
		{"/x/_c_1", "zk1", []string{"-p", "/x"}, true},
		{"/x/_c_1", "zk1", []string{"-p", "/y"}, false},
		{"/x/_c_1", "zk1", []string{"-p", "/x", "-s", "zk2"}, false},
		{"/x/_c_1", "zk1,zk2", []string{"-p", "/x", "-s", "zk2:2181"}, true},
		{"/x/_c_1", "zk1/a", []string{"-p", "/x"}, true},
		{"/x/_c_1", "zk1/a", []string{"-p", "/a/x", "-s", "zk1"}, true},
		{"/x/_c_1", "zk1/a", []string{"-p", "/x", "-s", "zk1"}, false},
		{"/x/_c_1", "", []string{"-p", "/x"}, true},
	} {
		c := call{env: map[string]string{"ZKELECT_NODE": test.node, "ZKELECT_SERVERS": test.servers, "ZKELECT_PATH": "/x"}}
		c.outcome.Cause = zkelect.CauseExited
		code := c.zkelect(append(append([]string{"run"}, test.args...), "true")...)
		if refused := code == 125 && strings.Contains(c.stderr.String(), "wait for it for ever"); refused != test.refused {
			t.Errorf("%+v: exit %d: %s", test, code, &c.stderr)
		}
	}
}

func TestLogFormats(t *testing.T) {
	c := call{outcome: zkelect.Outcome{Cause: zkelect.CauseError}, err: errors.New("one\ntwo")}
	c.zkelect("run", "-p", "/x", "--log-format", "json", "true")
	var line struct{ Msg, Level, Cause, Error, Path string }
	if err := json.Unmarshal(c.stderr.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	if line.Msg != "done" || line.Level != "ERROR" || line.Cause != "error" || line.Error != `one\ntwo` || line.Path != "/x" {
		t.Errorf("%+v", line)
	}
	c.zkelect("run", "-p", "/x", "true")
	if text := c.stderr.String(); strings.Count(text, "\n") != 1 {
		t.Errorf("%q", text)
	}
}
