package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/urfave/cli/v2"

	"zkelect/zkelect"
)

// call is one zkelect in this process, without ZooKeeper: what the library is
// asked for ends up here.
type call struct {
	env    map[string]string
	run    zkelect.RunConfig
	resign zkelect.ResignConfig
	below  bool // of resign --mine
	open   zkelect.Config

	plan      *zkelect.Plan
	outcome   zkelect.Outcome
	err       error
	resigned  *zkelect.Resigned
	drained   []zkelect.Drained
	inspector inspector

	stdout, stderr bytes.Buffer
}

func (c *call) zkelect(args ...string) int {
	c.stdout.Reset()
	c.stderr.Reset()
	p := newProgram(strings.NewReader(""), &c.stdout, &c.stderr, func(name string) string { return c.env[name] })
	p.run = func(_ context.Context, cfg zkelect.RunConfig) (zkelect.Outcome, error) {
		c.run = cfg
		return c.outcome, c.err
	}
	p.plan = func(_ context.Context, cfg zkelect.RunConfig) (*zkelect.Plan, error) {
		c.run = cfg
		return c.plan, c.err
	}
	p.resign = func(_ context.Context, cfg zkelect.ResignConfig) (*zkelect.Resigned, error) {
		c.resign = cfg
		return c.resigned, c.err
	}
	p.resignMine = func(_ context.Context, cfg zkelect.ResignConfig, below bool, each func(zkelect.Drained)) error {
		c.resign, c.below = cfg, below
		for _, d := range c.drained {
			each(d)
		}
		return c.err
	}
	p.open = func(_ context.Context, cfg zkelect.Config) (inspector, error) {
		c.open = cfg
		return c.inspector, c.err
	}
	return p.main(append([]string{"zkelect"}, args...))
}

// usage calls what must be refused, in one line with a hint, and returns it.
func (c *call) usage(t *testing.T, code int, args ...string) string {
	t.Helper()
	if got := c.zkelect(args...); got != code {
		t.Errorf("%q: exit %d, want %d", args, got, code)
	}
	text := c.stderr.String()
	if c.stdout.Len() > 0 {
		t.Errorf("%q: on standard output: %s", args, &c.stdout)
	}
	if strings.Count(text, "\n") != 1 || !strings.HasPrefix(text, "zkelect: ") || !strings.Contains(text, "ee 'zkelect ") {
		t.Errorf("%q: want one line with a hint: %q", args, text)
	}
	return text
}

func TestUsageErrors(t *testing.T) {
	for _, test := range []struct {
		args string
		code int
		want string
	}{
		{"", 125, "no command"},
		{"rnu", 125, "did you mean run?"},
		{"frobnicate", 125, `unknown command "frobnicate"; see`},
		{"--path /x run", 125, "give the command first"},
		{"help nothing", 125, "no help"},
		{"version now", 125, "extra argument"},
		{"run", 125, "no command to run"},
		{"run --", 125, "no command to run"},
		{"run -p /x --nosuch true", 125, "unknown flag --nosuch"},
		{"run --pth /x true", 125, "did you mean --path?"},
		{"run -path /x true", 125, "did you mean --path?"},
		{"run -nx true", 125, "unknown flag -x"},
		{"run --listen=80 true", 125, "is no address"},
		{"run --wait", 125, "lacks its value"},
		{"run -w -5 true", 125, "negative"},
		{"run -w 5x true", 125, `-w: "5x" is not a duration`},
		{"run -n -w 5 true", 125, "exclude each other"},
		{"run -nw0 true", 125, "exclude each other"},
		{"run -E 256 true", 125, "0 to 255"},
		{"run -E 0x10 true", 125, "0 to 255"},
		{"run -E -1 true", 125, "0 to 255"},
		{"run --stop-signal NOPE true", 125, "not a signal"},
		{"run --stop-signal 0 true", 125, "not a signal"},
		{"run --requeue sometimes true", 125, "never, lost, always"},
		{"run --requeue-delay 0 true", 125, "at least 1ms"},
		{"run --recipe curator true", 125, "latch, selector, kazoo or plain"},
		{"run --recipe kazo true", 125, "recipe"},
		{"run --session-timeout 0 true", 125, "at least 1ms"},
		{"run --session-timeout 2d true", 125, "longer than a day"},
		{"run --acl mine true", 125, "open, creator, private"},
		{"run --acl private true", 125, "needs credentials"},
		{"run --log-level loud true", 125, "debug, info, warn, error"},
		{"run --nonblock=maybe true", 125, "neither yes nor no"},
		{"run -p jobs true", 125, `path "jobs" does not begin with /`},
		{"run -p / true", 125, "root"},
		{"run -s zk://a true", 125, "scheme"},
		{"status /a /b", 2, `extra argument "/b"`},
		{"status -p /a /b", 2, "two paths"},
		{"status -o yaml /a", 2, "table, id, json"},
		{"status -rW /a", 2, "exclude each other"},
		{"status --token 0 /a", 2, "not a fencing token"},
		{"status --token= /a", 2, "not a fencing token"},
		{"status --leader-is= /a", 2, "empty"},
		{"status --timeout 0 /a", 2, "at least 1ms"},
		{"status --recursiv /a", 2, "did you mean --recursive?"},
		{"status /", 2, "root"},
		{"resign -o id /a", 2, "table, json"},
		{"resign --force --to x /a", 2, "exclude each other"},
		{"resign a", 2, "does not begin with /"},
		{"resign --hold 0 /a", 2, "at least 1ms"},
		{"resign --hold for-ever /a", 2, "not a duration"},
		{"resign --hold 1h --to x /a", 2, "exclude each other"},
		{"resign --hold 1h --unhold /a", 2, "ends a hold and no term"},
		{"resign --reason x /a", 2, "give --hold"},
		{"resign --hold 1h --reason= /a", 2, "empty"},
		{"resign --unhold --mine /a", 2, "ends a hold and no term"},
		{"resign -r /a", 2, "--mine"},
		{"resign --mine --to x /a", 2, "one participant"},
		{"resign --mine --id x /a", 2, "one participant"},
		{"resign --mine /", 2, "root"},
	} {
		var c call
		if text := c.usage(t, test.code, strings.Fields(test.args)...); !strings.Contains(text, test.want) {
			t.Errorf("%q: want %q in %q", test.args, test.want, text)
		}
	}
}

func TestUsageErrorOfAVariableNamesIt(t *testing.T) {
	c := call{env: map[string]string{"ZKELECT_SESSION_TIMEOUT": "soon"}}
	if text := c.usage(t, 125, "run", "true"); !strings.Contains(text, `ZKELECT_SESSION_TIMEOUT: "soon"`) {
		t.Error(text)
	}
	// The flag stands in for it, so that it does not even have to be right.
	if code := c.zkelect("run", "--session-timeout", "5s", "-p", "/x", "true"); code != 125 || c.run.SessionTimeout != 5*time.Second {
		t.Error(code, c.run.SessionTimeout, &c.stderr)
	}
}

func allCommands() []*cli.Command {
	p := newProgram(nil, io.Discard, io.Discard, os.Getenv)
	p.load("")
	return p.app.Commands
}

func TestHelpAndVersion(t *testing.T) {
	var c call
	lines := []string{"help", "--help", "-h", "help run", "run --help", "run -h", "run -nqh", "help status",
		"status /x --help", "help resign", "resign -h", "help help", "help version", "version --help", "version", "--version", "-v"}
	texts := []string{programHelp}
	for _, command := range allCommands() {
		if command.Hidden {
			continue
		}
		lines, texts = append(lines, "help "+command.Name, command.Name+" --help"), append(texts, command.Description)
		if command.Name != "version" && !strings.Contains(command.Description, "Examples:\n  ") {
			t.Errorf("the help of %s has no examples", command.Name)
		}
	}
	for _, args := range lines {
		if code := c.zkelect(strings.Fields(args)...); code != 0 || c.stdout.Len() == 0 || c.stderr.Len() > 0 {
			t.Errorf("%s: exit %d, %s%s", args, code, &c.stdout, &c.stderr)
		}
		for line := range strings.Lines(c.stdout.String()) {
			if len(strings.TrimSuffix(line, "\n")) > 80 {
				t.Errorf("%s: longer than 80 columns: %s", args, line)
			}
		}
	}
	for _, text := range texts {
		for line := range strings.Lines(text) {
			if len(strings.TrimSuffix(line, "\n")) > 77 {
				t.Errorf("would be broken in two: %s", line)
			}
		}
	}
	defer func(v string) { version = v }(version)
	version = "v1.2.3"
	if c.zkelect("version"); c.stdout.String() != "zkelect v1.2.3\n" {
		t.Error(c.stdout.String())
	}
}

func TestEnvironment(t *testing.T) {
	c := call{env: map[string]string{
		"ZKELECT_SERVERS": "zk1,zk2/jobs", "ZKELECT_PATH": "/billing", "ZKELECT_RECIPE": "latch",
		"ZKELECT_SESSION_TIMEOUT": "15", "ZKELECT_CONNECT_TIMEOUT": "0", "ZKELECT_ACL": "", "ZKELECT_LOG_FORMAT": "json",
	}}
	c.outcome = zkelect.Outcome{Cause: zkelect.CauseExited, Ran: true, Code: 7}
	if code := c.zkelect("run", "-p", "/other", "--", "true", "-x"); code != 7 {
		t.Error(code, &c.stderr)
	}
	if got := c.run; got.Servers != "zk1,zk2/jobs" || got.Path != "/other" || got.SessionTimeout != 15*time.Second ||
		got.ConnectTimeout != 0 || got.ACL != zkelect.ACLAuto || !slices.Equal(got.Command, []string{"true", "-x"}) {
		t.Errorf("%+v", got)
	}
	if !strings.HasPrefix(c.stderr.String(), "{") {
		t.Error("not JSON:", &c.stderr)
	}
}

func TestDefaultPathIsNamed(t *testing.T) {
	for _, test := range []struct {
		args  []string
		named bool
	}{
		{[]string{"run", "true"}, true},
		{[]string{"run", "-p", zkelect.DefaultPath, "true"}, false},
		{[]string{"status"}, true},
		{[]string{"status", zkelect.DefaultPath}, false},
		{[]string{"resign"}, true},
	} {
		c := call{err: errors.New("no"), outcome: zkelect.Outcome{Cause: zkelect.CauseError}}
		c.zkelect(test.args...)
		if got := strings.Count(c.stderr.String(), "using the default"); got != map[bool]int{true: 1}[test.named] {
			t.Error(test.args, &c.stderr)
		}
	}
}

func TestAuth(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string, mode os.FileMode) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		return file
	}
	good := write("good", "# ours\n\ndigest:me:my pass:word \r\n", 0o600)
	open := write("open", "digest:me:hush", 0o644)
	for _, test := range []struct {
		name, flag, file, auth string
		secret, warn           string
	}{
		{name: "none"},
		{name: "flag", flag: good, secret: "me:my pass:word "},
		{name: "variable's file", file: good, secret: "me:my pass:word "},
		{name: "variable", auth: "digest:you:x", secret: "you:x"},
		{name: "flag before variables", flag: good, file: "/nonexistent", auth: "digest:you:x", secret: "me:my pass:word "},
		{name: "variable before variable's file", file: "/nonexistent", auth: "digest:you:x", secret: "you:x"},
		{name: "open", flag: open, secret: "me:hush", warn: "others can read"},
	} {
		c := call{env: map[string]string{"ZKELECT_AUTH": test.auth, "ZKELECT_AUTH_FILE": test.file}}
		args := []string{"run", "-p", "/x"}
		if test.flag != "" {
			args = append(args, "--auth-file", test.flag)
		}
		c.outcome.Cause = zkelect.CauseExited
		if code := c.zkelect(append(args, "true")...); code != 0 {
			t.Errorf("%s: exit %d: %s", test.name, code, &c.stderr)
		}
		if got := c.run.Auth; got == nil && test.secret != "" || got != nil && string(got.Secret) != test.secret {
			t.Errorf("%s: %v", test.name, got)
		}
		if warned := strings.Contains(c.stderr.String(), "others can read"); warned != (test.warn != "") {
			t.Errorf("%s: %s", test.name, &c.stderr)
		}
		passed := slices.ContainsFunc(c.run.Settings, func(s string) bool { return strings.HasPrefix(s, "ZKELECT_AUTH_FILE=/") })
		if passed != (test.flag != "" || test.auth == "" && test.file != "") {
			t.Errorf("%s: settings %q", test.name, c.run.Settings)
		}
	}
}

func TestBadAuth(t *testing.T) {
	dir := t.TempDir()
	for content, want := range map[string]string{
		"":                            "no credential",
		"# nothing\n\n":               "no credential",
		"geheim":                      "does not begin with digest:",
		"me:geheim":                   "does not begin with digest:",
		"DIGEST:me:geheim":            "does not begin with digest:",
		"digest:geheim":               "lacks user or password",
		"digest::geheim":              "lacks user or password",
		"digest:geheim:":              "lacks user or password",
		"digest:me:ge\x00heim":        "control character",
		"digest:a:b\ndigest:c:geheim": "second credential",
		strings.Repeat("x", 70000):    "larger than",
		"\x7fELF\x02\x01geheim\n\n":   "does not begin with digest:",
	} {
		file := filepath.Join(dir, "auth")
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, command := range []string{"run", "status", "resign"} {
			var c call
			args := []string{command, "--auth-file", file, "-p", "/x"}
			code, wantCode := c.zkelect(append(args, map[string][]string{"run": {"true"}}[command]...)...), map[string]int{"run": 125}[command]
			text := c.stderr.String()
			if code != max(wantCode, 2) || strings.Count(text, "\n") != 1 || !strings.Contains(text, want) || !strings.Contains(text, file) {
				t.Errorf("%s, %q: exit %d: %q, want %q", command, content, code, text, want)
			}
			if strings.Contains(text, "geheim") || strings.Contains(text, "heim") {
				t.Errorf("%q shows the secret: %s", content, text)
			}
		}
	}
	var c call
	for _, file := range []string{dir, filepath.Join(dir, "none")} {
		if code := c.zkelect("status", "--auth-file", file, "/x"); code != 2 || !strings.Contains(c.stderr.String(), "auth file "+file+": ") {
			t.Error(code, &c.stderr)
		}
	}
}

func TestExitCodes(t *testing.T) {
	wrap := func(err error) error { return fmt.Errorf("wrapped: %w", err) }
	for _, test := range []struct {
		command string
		err     error
		want    int
	}{
		{"status", nil, 0},
		{"status", errNo, 1},
		{"status", wrap(zkelect.ErrNoElection), 1},
		{"status", wrap(zkelect.ErrUnreachable), 2},
		{"status", wrap(zkelect.ErrDenied), 2},
		{"status", &wrongUsage{}, 2},
		{"resign", wrap(zkelect.ErrNoLeader), 1},
		{"resign", wrap(zkelect.ErrNoElection), 1},
		{"resign", wrap(zkelect.ErrOtherSuccessor), 1},
		{"resign", wrap(zkelect.ErrRefused), 2},
		{"resign", wrap(errTimeout), 124},
		{"resign", wrap(&interrupted{syscall.SIGINT}), 130},
		{"run", &wrongUsage{}, 125},
		{"", &wrongUsage{}, 125},
		{"version", errors.New("write: no space"), 125},
	} {
		if got := exitCode(test.command, test.err); got != test.want {
			t.Errorf("%s, %v: %d, want %d", test.command, test.err, got, test.want)
		}
	}
}

func TestAnswerThatCannotBeWritten(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	for _, args := range [][]string{{"zkelect", "status", "/x"}, {"zkelect", "status", "-o", "json", "/x"}, {"zkelect", "status", "-r", "/x"}, {"zkelect", "resign", "/x"}} {
		var stderr bytes.Buffer
		p := newProgram(nil, full, &stderr, func(string) string { return "" })
		p.open = func(context.Context, zkelect.Config) (inspector, error) {
			return &fakeInspector{elections: []*zkelect.Election{billing()}}, nil
		}
		p.resign = func(context.Context, zkelect.ResignConfig) (*zkelect.Resigned, error) {
			return &zkelect.Resigned{}, nil
		}
		if code := p.main(args); code != 2 || !strings.Contains(stderr.String(), "no space left") {
			t.Errorf("%q: exit %d: %s", args, code, &stderr)
		}
	}
}
