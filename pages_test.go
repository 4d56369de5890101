package main

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"zkelect/zkelect"
	"zkelect/zkelect/zktest"
)

// TestReadme runs every block of README.md, and TestCronPage of docs/cron.md, that is
// fenced by ```, each on a chroot of its own, which stands in for the servers
// zk1,zk2,zk3. The language
// says how: sh must exit 0, console must print what it shows, crontab and systemd
// have their commands run. A comment in the line before the fence says more:
//
//	<!-- run: make -->           the targets of the makefile exist
//	<!-- run: repo -->           at the root of the repository, installing to a folder of the test's
//	<!-- run: until-started -->  one command that does not end by itself: ended after its start
//	<!-- run: in-job -->         as the command of a zkelect run
//	<!-- run: fails -->          a console whose commands, but those with &, have an exit code other than 0
//	<!-- run: tls -->            with zk1:2281,zk2:2281,zk3:2281 a secure port, and files for it
//	<!-- run: three-hosts -->    on three hosts: see TestThreeHosts
//	<!-- run: with=ID,ID -->     while these participants stand in /jobs/billing
//
// A block that none of this fits fails, so that none can rot.
func TestReadme(t *testing.T)              { runPage(t, "README.md") }
func TestCronPage(t *testing.T)            { runPage(t, "docs/cron.md") }
func TestTroubleshootingPage(t *testing.T) { runPage(t, "docs/troubleshooting.md") }

// The same for docs/listen.md.
func TestListenPage(t *testing.T) { runPage(t, "docs/listen.md") }

func runPage(t *testing.T, page string) {
	for _, b := range pageBlocks(t, page) {
		t.Run(fmt.Sprintf("line_%d_%s", b.line, cmp.Or(b.how, b.lang)), func(t *testing.T) {
			t.Parallel()
			s := newStage(t, b)
			b := s.block
			switch {
			case b.how == "make":
				s.makeTargets()
			case b.how == "repo":
				s.repo()
			case b.how == "until-started":
				s.untilStarted(b.text)
			case b.how == "tls":
				s.tls()
			case b.how == "three-hosts": // TestThreeHosts does it
			case b.how == "in-job":
				s.ends(s.start("zkelect", "run", "--path", "/jobs/billing", "--", "sh", "-e", s.file("job", b.text)), 0)
			case b.how == "fails":
				s.console(true)
			case b.how != "":
				t.Fatalf("no way to run %q", b.how)
			case b.lang == "sh":
				script := s.start("sh", "-e", s.file("script", b.text))
				s.ends(script, 0)
				if out := s.output(script); strings.Contains(out, "zkelect: ") { // though it went on
					t.Error(out)
				}
			case b.lang == "console":
				s.console(false)
			case b.lang == "crontab":
				s.crontab()
			case b.lang == "systemd":
				s.systemd()
			default:
				t.Fatalf("no way to run a block of %q; see TestReadme", b.lang)
			}
		})
	}
}

// pageJobs are the commands that the pages invent.
var pageJobs = map[string]string{
	"sudo":          `exec "$@"`,
	"billingd":      `exec sleep 300`,
	"hourly-report": `uname -n >>"$REPORTS"; sleep 0.2`,
	// The test holds it up by a file, so that it knows when it runs.
	"nightly-backup": `echo began >>"$STAGE/backups"; while [ -e "$STAGE/hold" ]; do sleep 0.05; done`,
}

// stage is where one block is run.
type stage struct {
	*testing.T
	block pageBlock
	dir   string
	env   []string
	runs  int
}

func newStage(t *testing.T, b pageBlock) *stage {
	s := &stage{T: t, block: b, dir: t.TempDir()}
	servers := zktest.Shared(t).Chroot(t)
	if b.how != "three-hosts" { // who know them by name
		s.block.text = strings.ReplaceAll(b.text, "zk1,zk2,zk3", servers)
	}
	if listen := "127.0.0.1:8081"; strings.Contains(b.text, listen) {
		s.block.text = strings.ReplaceAll(s.block.text, listen, fmt.Sprintf("127.0.0.1:%d", zktest.FreePort(t)))
	}
	for name, text := range pageJobs {
		if err := os.Chmod(s.file(filepath.Join("bin", name), "#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s.env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "ZKELECT_") || strings.HasPrefix(v, "MAKE") || strings.HasPrefix(v, "MFLAGS")
	})
	s.env = append(s.env, "ZKELECT_SERVERS="+servers, "STAGE="+s.dir, "DESTDIR="+filepath.Join(s.dir, "root"),
		"PATH="+filepath.Join(s.dir, "bin")+":"+os.Getenv("PATH"),
		// The race detector sleeps for a second at each exit.
		"GORACE="+strings.TrimSpace(os.Getenv("GORACE")+" atexit_sleep_ms=0"))
	for i, id := range b.with {
		p := s.start("zkelect", "run", "--requeue", "lost", "--id", id, "--path", "/jobs/billing", "--", "billingd")
		s.await(p, map[bool]string{true: "msg=started", false: "msg=waiting"}[i == 0])
	}
	return s
}

// file makes a file in the stage's folder.
func (s *stage) file(name, text string) string {
	s.Helper()
	name = filepath.Join(s.dir, name)
	err := os.MkdirAll(filepath.Dir(name), 0o755)
	if err == nil {
		err = os.WriteFile(name, []byte(text), 0o644)
	}
	if err != nil {
		s.Fatal(err)
	}
	return name
}

// actor is a command on the stage.
type actor struct {
	cmd  *exec.Cmd
	out  string // a file: all that it writes
	done chan struct{}
}

func (s *stage) start(args ...string) *actor { return s.startIn(s.dir, s.env, args...) }

func (s *stage) startIn(dir string, env []string, args ...string) *actor {
	s.Helper()
	s.runs++
	path := s.lookUp(args[0])
	a := &actor{
		cmd: &exec.Cmd{Path: path, Args: args, Dir: dir, Env: env}, done: make(chan struct{}),
		out: filepath.Join(s.dir, fmt.Sprintf("out%d", s.runs)),
	}
	out, err := os.Create(a.out)
	if err != nil {
		s.Fatal(err)
	}
	defer out.Close()
	a.cmd.Stdout, a.cmd.Stderr = out, out
	a.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	started := make(chan error)
	scriptForks() <- func() { started <- a.cmd.Start() }
	if err := <-started; err != nil {
		s.Fatal(err)
	}
	go func() {
		_ = a.cmd.Wait() // how it ended is in its state
		close(a.done)
	}()
	s.Cleanup(func() {
		_ = a.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-a.done:
		case <-time.After(bound):
			s.Errorf("%q does not end:\n%s", args, s.output(a))
			_ = syscall.Kill(-a.cmd.Process.Pid, syscall.SIGKILL)
		}
	})
	return a
}

func (s *stage) lookUp(name string) string {
	s.Helper()
	if own := filepath.Join(s.dir, "bin", name); pageJobs[name] != "" {
		return own
	}
	path, err := exec.LookPath(name)
	if err != nil {
		s.Fatal(err)
	}
	return path
}

func (s *stage) output(a *actor) string {
	s.Helper()
	data, err := os.ReadFile(a.out)
	if err != nil {
		s.Fatal(err)
	}
	return string(data)
}

// await waits for a command to write something.
func (s *stage) await(a *actor, text string) {
	s.Helper()
	for deadline := time.Now().Add(bound); !strings.Contains(s.output(a), text); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.Fatalf("%q has not written %q:\n%s", a.cmd.Args, text, s.output(a))
		}
		select {
		case <-a.done:
			s.Fatalf("%q has ended:\n%s", a.cmd.Args, s.output(a))
		default:
		}
	}
}

// ends waits for a command to end with that exit code.
func (s *stage) ends(a *actor, code int) {
	s.Helper()
	select {
	case <-a.done:
		if got := a.cmd.ProcessState.ExitCode(); got != code {
			s.Fatalf("%q: exit %d, want %d:\n%s", a.cmd.Args, got, code, s.output(a))
		}
	case <-time.After(2 * bound):
		s.Fatalf("%q does not end:\n%s", a.cmd.Args, s.output(a))
	}
}

// commands are the lines of a block without comments.
func (s *stage) commands(text string) (lines []string) {
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(strings.TrimSpace(line), " #")
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			lines = append(lines, line)
		}
	}
	return lines
}

// makeTargets does not run them: one of them is this test.
func (s *stage) makeTargets() {
	for _, line := range s.commands(s.block.text) {
		args := strings.Fields(line)
		s.ends(s.startIn(".", s.env, append(args, "-n")...), 0)
	}
}

func (s *stage) repo() {
	script := s.file("script", s.block.text)
	s.ends(s.startIn(".", s.env, "sh", "-e", script), 0)
	installed := s.start(filepath.Join(s.dir, "root/usr/local/bin/zkelect"), "version")
	s.ends(installed, 0)
}

// untilStarted runs a command up to its start, then asks it to end.
func (s *stage) untilStarted(text string) {
	lines := s.commands(text)
	if len(lines) != 1 {
		s.Fatalf("want one command: %q", lines)
	}
	a := s.start("sh", "-c", "exec "+lines[0])
	s.await(a, "msg=started")
	if err := a.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.Fatal(err)
	}
	s.ends(a, 128+int(syscall.SIGTERM))
}

// nonblock is run's flag --nonblock, among short ones too.
var nonblock = regexp.MustCompile(`\s(-\w*n\w*|--nonblock)\s`)

// crontab runs the commands as cron would, then once more while the first still leads,
// and again when that is over and it has been done. However often, the job runs once,
// and there is not a word, which cron would mail.
func (s *stage) crontab() {
	env := slices.Clone(s.env)
	for _, line := range s.commands(s.block.text) {
		if name, value, ok := strings.Cut(line, "="); ok && !strings.ContainsAny(name, " *") {
			if name == "PATH" {
				value = filepath.Join(s.dir, "bin") + ":" + os.Getenv("PATH") + ":" + value
			}
			env = append(env, name+"="+value)
			continue
		}
		fields := regexp.MustCompile(`^((?:[0-9*/,-]+\s+){5})(.*)$`).FindStringSubmatch(line)
		if fields == nil || strings.Contains(strings.ReplaceAll(fields[2], `\%`, ""), "%") {
			s.Fatalf("no line of a crontab: %s", line)
		}
		hold, backups := s.file("hold", ""), filepath.Join(s.dir, "backups")
		began := func() int {
			data, _ := os.ReadFile(backups)
			return bytes.Count(data, []byte("\n"))
		}
		cron := func() *actor { return s.startIn(s.dir, env, "sh", "-c", fields[2]) }
		first := cron()
		for deadline := time.Now().Add(bound); began() == 0; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				s.Fatalf("the job did not begin:\n%s", s.output(first))
			}
		}
		second := cron()
		if nonblock.MatchString(fields[2]) {
			s.ends(second, 0)
		}
		if err := os.Remove(hold); err != nil {
			s.Fatal(err)
		}
		s.ends(first, 0)
		s.ends(second, 0)
		third := cron()
		s.ends(third, 0)
		if out := s.output(first) + s.output(second) + s.output(third); out != "" || began() != 1 {
			s.Errorf("the job began %d times, and cron would mail: %s", began(), out)
		}
	}
}

// systemd runs a unit's command up to its start and stops it as the unit says.
func (s *stage) systemd() {
	unit := map[string]string{}
	for _, line := range s.commands(s.block.text) {
		key, value, ok := strings.Cut(line, "=")
		switch {
		case key == "Environment":
			s.env = append(s.env, value)
		case ok:
			unit[key] = value
		case !strings.HasPrefix(line, "["):
			s.Errorf("no line of a unit: %s", line)
		}
	}
	program, args, _ := strings.Cut(unit["ExecStart"], " ")
	if !filepath.IsAbs(program) {
		s.Errorf("%s: older versions of systemd want an absolute path", program)
	}
	s.untilStarted(filepath.Base(program) + " " + args)
	code := strconv.Itoa(128 + int(syscall.SIGTERM))
	if unit["KillMode"] != "mixed" || unit["SuccessExitStatus"] != code {
		s.Errorf("a stop by systemd is a failure of the unit: %v", unit)
	}
	// What the stop may take by itself: the grace, and the bound of a release.
	if n, err := strconv.Atoi(unit["TimeoutStopSec"]); err != nil || time.Duration(n)*time.Second <= zkelect.DefaultStopTimeout+5*time.Second {
		s.Errorf("TimeoutStopSec is %q", unit["TimeoutStopSec"])
	}
}
