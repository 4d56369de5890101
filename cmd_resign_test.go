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
