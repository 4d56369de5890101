package main

import (
	"encoding/json"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/rogpeppe/go-internal/testscript"

	"zkelect/zkelect/zktest"
)

// scriptCommands are the scripts' own. Jobs write into the files NAME.out and
// NAME.err.
//
//	job NAME [-in FILE] CMD...   start in the background, its input from a file or empty
//	signal SIG NAME|@FILE        signal a job, or the process whose pid a file holds
//	killtree NAME                kill a job and all its descendants in one blow
//	ends NAME CODE               wait for its end with that exit code, or by that signal;
//	                             stdout and stderr are its then
//	exits CODE [-in FILE] CMD... run in the foreground, likewise
//	within DURATION COMMAND...   another of these commands, done in time
//	waitfor [-n N] REGEXP FILE   until the file has N (1) matches or more
//	until CMD...                 run a command again and again until it succeeds
//	oneline REGEXP               stderr is one line, which matches
//	json [-err] FIELD REGEXP     of the last line of stdout (stderr), as participants.1.id
//	children N                   until N terms have had a child alive
//	stamps [ID...]               no two children lived at a time, tokens rose, and those
//	                             of these ids lived, in this order
//	port VARIABLE                an address of the loopback to listen on
//	http [-until] [METHOD] CODE URL   a request that is answered so; the answer on stdout
//	zk COMMAND...                as a client of ZooKeeper: see scriptZK
//	server start|stop|cont|kill|restart   a server of the script's own
//	server sequences             start one that has this, whose counters can be set:
//	cert ..., server tls ...     certificates, and a server with a secure port: see script_tls_test.go
//	sequence PATH N              the next sequential child of PATH gets the number N
//	proxy cut|heal|reset|...     a proxy before the server: see scriptProxy
//	dumb garbage|silent|closed   an address in $DUMB that is no ZooKeeper
//	pty FILE CMD...              run on a terminal: see script_pty_test.go
//	systemd start|pings|silent   a socket that is told as systemd is: see scriptSystemd
func scriptCommands() map[string]func(ts *testscript.TestScript, neg bool, args []string) {
	return map[string]func(ts *testscript.TestScript, neg bool, args []string){
		"cert":     scriptCert,
		"children": scriptChildren,
		"dumb":     scriptDumb,
		"within":   scriptWithin,
		"job":      scriptJob,
		"signal":   scriptSignal,
		"killtree": scriptKillTree,
		"ends":     scriptEnds,
		"exits":    scriptExits,
		"waitfor":  scriptWaitFor,
		"until":    scriptUntil,
		"oneline":  scriptOneLine,
		"json":     scriptJSON,
		"port":     scriptPort,
		"http":     scriptHTTP,
		"stamps":   scriptStamps,
		"zk":       scriptZK,
		"server":   scriptServer,
		"sequence": scriptSequence,
		"proxy":    scriptProxy,
		"pty":      scriptPTY,
		"systemd":  scriptSystemd,
	}
}

// bound is how long anything in a script may take. What is waited for comes
// within a session's length; the rest is for a machine with other things to do.
const bound = 40 * time.Second

// world is what a script has besides its files.
type world struct {
	tb     testing.TB
	dir    string
	server *zktest.Server
	chroot string // of the script on the server, "/" for none
	proxy  *zktest.Proxy
	client *zk.Conn
	jobs   map[string]*job
	runs   int // foreground commands so far

	authorities map[string]*zktest.Authority
}

type worldKey struct{}

func worldOf(ts *testscript.TestScript) *world { return ts.Value(worldKey{}).(*world) }

func scriptWithin(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 || scriptCommands()[args[1]] == nil {
		ts.Fatalf("usage: within DURATION COMMAND...")
	}
	d, err := time.ParseDuration(args[0])
	ts.Check(err)
	began := time.Now()
	scriptCommands()[args[1]](ts, neg, args[2:])
	if took := time.Since(began); took > d {
		ts.Fatalf("took %v", took)
	}
}

func scriptWaitFor(ts *testscript.TestScript, neg bool, args []string) {
	n := 1
	if len(args) == 4 && args[0] == "-n" {
		var err error
		n, err = strconv.Atoi(args[1])
		ts.Check(err)
		args = args[2:]
	}
	if neg || len(args) != 2 {
		ts.Fatalf("usage: waitfor [-n N] REGEXP FILE")
	}
	re, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	name := ts.MkAbs(args[1])
	for deadline := time.Now().Add(bound); ; time.Sleep(5 * time.Millisecond) {
		data, err := os.ReadFile(name)
		if err == nil && len(re.FindAllIndex(data, n)) >= n {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("no %q in %s after %v", args[0], args[1], bound)
		}
	}
}

func scriptUntil(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: until CMD...")
	}
	for deadline := time.Now().Add(bound); ; time.Sleep(20 * time.Millisecond) {
		err := ts.Exec(args[0], args[1:]...)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("still %v after %v", err, bound)
		}
	}
}

func scriptOneLine(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: oneline REGEXP")
	}
	stderr := ts.ReadFile("stderr")
	if strings.Count(stderr, "\n") != 1 || !strings.HasSuffix(stderr, "\n") {
		ts.Fatalf("want one line on standard error, got %d:\n%s", strings.Count(stderr, "\n"), stderr)
	}
	re, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	if !re.MatchString(stderr) {
		ts.Fatalf("no match for %q in:\n%s", args[0], stderr)
	}
}

// scriptJSON matches a field as it is written, less the quotes of a string; one
// that is missing is empty.
func scriptJSON(ts *testscript.TestScript, neg bool, args []string) {
	from := "stdout"
	if len(args) > 0 && args[0] == "-err" {
		from, args = "stderr", args[1:]
	}
	if neg || len(args) != 2 {
		ts.Fatalf("usage: json [-err] FIELD REGEXP")
	}
	lines := strings.Split(strings.TrimSpace(ts.ReadFile(from)), "\n")
	for _, line := range lines {
		if !json.Valid([]byte(line)) {
			ts.Fatalf("not JSON: %s", line)
		}
	}
	value := json.RawMessage(lines[len(lines)-1])
	for step := range strings.SplitSeq(args[0], ".") {
		if n, err := strconv.Atoi(step); err == nil {
			var list []json.RawMessage
			ts.Check(json.Unmarshal(value, &list))
			value = nil
			if n < len(list) {
				value = list[n]
			}
		} else {
			var object map[string]json.RawMessage
			ts.Check(json.Unmarshal(value, &object))
			value = object[step]
		}
		if value == nil {
			break
		}
	}
	text := string(value)
	if strings.HasPrefix(text, `"`) {
		ts.Check(json.Unmarshal(value, &text))
	}
	re, err := regexp.Compile(args[1])
	ts.Check(err)
	if !re.MatchString(text) {
		ts.Fatalf("%s is %s, which does not match %q, in:\n%s", args[0], text, args[1], lines[len(lines)-1])
	}
}
