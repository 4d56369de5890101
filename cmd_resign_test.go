package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"zkelect/zkelect"
)

func TestResign(t *testing.T) {
	old, next := "web1:4121", "web2\x1b:888"
	c := call{resigned: &zkelect.Resigned{Path: "/jobs", Old: &old, New: &next, Seconds: 0.41234}}
	if code := c.zkelect("resign", "/jobs", "--to", "web2", "--timeout", "5m"); code != 0 || c.stderr.Len() > 0 {
		t.Error(code, &c.stderr)
	}
	if got := c.stdout.String(); got != "/jobs  web1:4121 -> web2\\x1b:888  0.412s\n" {
		t.Errorf("%q", got)
	}
	if c.resign.Path != "/jobs" || c.resign.To != "web2" || c.resign.Timeout != 5*time.Minute {
		t.Errorf("%+v", c.resign)
	}
	c.resigned = &zkelect.Resigned{Path: "/jobs", Old: &old, Forced: true, Seconds: 0.41234}
	c.zkelect("resign", "/jobs", "--force", "--no-successor", "--id=web1:4121", "-ojson")
	if got := c.stdout.String(); got != `{"path":"/jobs","old":"web1:4121","new":null,"forced":true,"seconds":0.412}`+"\n" {
		t.Error(got)
	}
	if !c.resign.Force || !c.resign.NoSuccessor || c.resign.ID != old || c.resign.Timeout != 30*time.Second {
		t.Errorf("%+v", c.resign)
	}
	c.zkelect("resign", "/jobs")
	if got := c.stdout.String(); got != "/jobs  web1:4121 -> nobody  0.412s (forced)\n" {
		t.Error(got)
	}
	if c.zkelect("resign", "-q", "/jobs"); c.stdout.Len() > 0 {
		t.Error(&c.stdout)
	}
}

func TestResignFailures(t *testing.T) {
	old, next := "a", "b"
	for _, test := range []struct {
		err  error
		done *zkelect.Resigned
		code int
		want string
	}{
		{err: fmt.Errorf("%w: nobody leads /jobs", zkelect.ErrNoLeader), code: 1, want: "nobody leads /jobs"},
		{err: fmt.Errorf("%w: nobody waits", zkelect.ErrRefused), code: 2, want: "nobody waits"},
		{err: zkelect.ErrUnreachable, code: 2, want: "not reached"},
		{err: &zkelect.ResignTimeout{State: zkelect.Withdrawn, Text: "no answer in 30s"}, code: 124, want: "withdrawn: no answer in 30s"},
		{err: &zkelect.ResignTimeout{State: zkelect.Begun, Text: "begun, the leader is stopping"}, code: 124, want: "timed out: begun, the leader"},
		{err: zkelect.ErrOtherSuccessor, done: &zkelect.Resigned{Path: "/jobs", Old: &old, New: &next}, code: 1, want: "another leads now"},
		{err: errors.New("disk\nfull"), code: 2, want: `disk\nfull`},
	} {
		c := call{err: test.err, resigned: test.done}
		code, text := c.zkelect("resign", "/jobs"), c.stderr.String()
		if code != test.code || strings.Count(text, "\n") != 1 || !strings.HasPrefix(text, "zkelect: ") || !strings.Contains(text, test.want) {
			t.Errorf("%v: exit %d: %q", test.err, code, text)
		}
		if printed := c.stdout.Len() > 0; printed != (test.done != nil) {
			t.Errorf("%v: %s", test.err, &c.stdout)
		}
	}
}

func TestResignHold(t *testing.T) {
	old, since := "web1:4121", time.Date(2026, 11, 22, 12, 0, 1, 204e6, time.UTC)
	until := time.Now().Add(2*time.Hour + time.Minute)
	hold := &zkelect.Hold{ID: "web9:7", Host: "web9", PID: 7, Reason: "disk\x1b[2J swap", Since: since, Until: &until}
	c := call{resigned: &zkelect.Resigned{Path: "/jobs", Old: &old, Seconds: 0.4, Hold: hold}}
	if code := c.zkelect("resign", "--hold", "2h", "--reason", "why", "/jobs"); code != 0 || c.resign.Hold == nil || c.resign.Hold.For != 2*time.Hour || c.resign.Hold.Reason != "why" {
		t.Errorf("exit %d, %+v", code, c.resign)
	}
	if got := c.stdout.String(); !strings.HasPrefix(got, "/jobs  web1:4121 -> nobody  0.400s  held until 20") || !strings.HasSuffix(got, " (in 2h)\n") && !strings.HasSuffix(got, " (in 2h0m)\n") {
		t.Errorf("%q", got)
	}
	c.resigned.Hold.Until = nil
	c.zkelect("resign", "--hold=forever", "-ojson", "/jobs")
	if got := c.stdout.String(); c.resign.Hold.For != 0 || got != `{"path":"/jobs","old":"web1:4121","new":null,"forced":false,"seconds":0.4,"hold":{"id":"web9:7","host":"web9","pid":7,"reason":"disk\u001b[2J swap","since":"2026-11-22T12:00:01.204Z","until":null}}`+"\n" {
		t.Error(got)
	}

	c.resigned = &zkelect.Resigned{Path: "/jobs", Unheld: hold}
	if code := c.zkelect("resign", "--unhold", "/jobs"); code != 0 || !c.resign.Unhold || c.resign.Hold != nil {
		t.Errorf("exit %d, %+v", code, c.resign)
	}
	if got := c.stdout.String(); !strings.HasPrefix(got, "/jobs  was held by web9:7 since ") || !strings.HasSuffix(got, `, until it is removed: disk\x1b[2J swap`+"\n") {
		t.Errorf("%q", got)
	}
	c.resigned, c.err = nil, fmt.Errorf("%w: nobody holds /jobs", zkelect.ErrNoHold)
	if code := c.zkelect("resign", "--unhold", "/jobs"); code != 1 || !strings.Contains(c.stderr.String(), "nobody holds") {
		t.Error(code, &c.stderr)
	}
}

func TestResignMine(t *testing.T) {
	a, b := "a", "b"
	done := func(path string) zkelect.Drained {
		return zkelect.Drained{Path: path, Old: a, Done: &zkelect.Resigned{Path: path, Old: &a, New: &b, Seconds: 1}}
	}
	stays := done("/stays")
	stays.Stays = true
	refused := zkelect.Drained{Path: "/refused", Old: a, Err: fmt.Errorf("%w: nobody waits", zkelect.ErrRefused)}
	late := zkelect.Drained{Path: "/late", Old: a, Err: &zkelect.ResignTimeout{State: zkelect.Begun, Text: "begun"}}
	for _, test := range []struct {
		args     string
		drained  []zkelect.Drained
		err      error
		code     int
		out, log []string
	}{
		{"--mine -r /", []zkelect.Drained{done("/x"), stays}, nil, 0, []string{"/x  a -> b  1.000s\n", "/stays  a -> b"}, []string{"another participant of this host leads now", "path=/stays"}},
		{"--mine /x", []zkelect.Drained{refused}, nil, 2, nil, []string{"zkelect: refused: nobody waits\n"}},
		{"--mine -r /", []zkelect.Drained{refused, done("/x"), late, refused}, nil, 124, []string{"/x  a -> b"}, []string{"path=/refused", "path=/late", "zkelect: 3 of 4 elections were not resigned\n"}},
		{"--mine -rojson /", []zkelect.Drained{refused}, nil, 2, []string{`{"path":"/refused","old":"a","new":null,"forced":false,"seconds":0,"error":"refused: nobody waits"}`}, nil},
		{"--mine -r /", nil, fmt.Errorf("%w: web1 leads nothing", zkelect.ErrNoLeader), 1, nil, []string{"leads nothing"}},
		{"--mine -r /", []zkelect.Drained{done("/x")}, &zkelect.UnreadError{Nodes: 3, First: "/y", Err: zkelect.ErrDenied}, 2, []string{"/x  a -> b"}, []string{"3 of the nodes could not be looked into"}},
		{"--mine -r /", []zkelect.Drained{late}, &zkelect.UnreadError{Nodes: 3, First: "/y", Err: zkelect.ErrDenied}, 124, nil, []string{"3 of the nodes could not be looked into", "1 of 1"}},
		{"--mine -rq /", []zkelect.Drained{done("/x"), stays}, nil, 0, nil, nil},
	} {
		c := call{drained: test.drained, err: test.err}
		code := c.zkelect(append([]string{"resign"}, strings.Fields(test.args)...)...)
		if code != test.code || c.below != strings.Contains(test.args, " -r") || len(test.out) == 0 && c.stdout.Len() > 0 || len(test.log) == 0 && strings.Contains(test.args, "q") && c.stderr.Len() > 0 {
			t.Errorf("%s: exit %d, below %v, %s%s", test.args, code, c.below, &c.stdout, &c.stderr)
		}
		for _, want := range test.out {
			if !strings.Contains(c.stdout.String(), want) {
				t.Errorf("%s: no %q in %s", test.args, want, &c.stdout)
			}
		}
		for _, want := range test.log {
			if !strings.Contains(c.stderr.String(), want) {
				t.Errorf("%s: no %q in %s", test.args, want, &c.stderr)
			}
		}
	}
	c := call{}
	if c.zkelect("resign", "--mine", "--hold", "1h", "--no-successor", "/x"); c.resign.Hold == nil || !c.resign.NoSuccessor {
		t.Errorf("%+v", c.resign)
	}
}
