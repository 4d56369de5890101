package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
)

// completions are lines as they are typed, and what they can become: the last word
// of each. The shells are real, and so are the servers.
var completions = []struct {
	line string
	want []string
}{
	{"zkelect ", []string{"completion", "help", "resign", "run", "status", "version"}},
	{"zkelect st", []string{"status"}},
	{"zkelect completion ", []string{"bash", "fish", "zsh"}},
	{"zkelect help res", []string{"resign"}},
	{"zkelect run --req", []string{"--requeue", "--requeue-delay"}},
	{"zkelect run --recipe ", []string{"kazoo", "latch", "plain", "selector"}},
	{"zkelect run --requeue ", []string{"always", "lost", "never"}},
	{"zkelect run --on-suspend=fr", []string{"--on-suspend=freeze"}},
	{"zkelect run -q --isolate p", []string{"pidns"}},
	{"zkelect run --stop-signal US", []string{"USR1", "USR2"}},
	{"zkelect run --takeover-delay ", []string{"auto"}},
	{"zkelect run --auth-file ./a\\ f", []string{"./a file"}},
	{"zkelect run --auth-file=./a\\ f", []string{"--auth-file=./a file"}},
	{"zkelect run --id ", nil},
	{"zkelect status -o ", []string{"id", "json", "table"}},
	{"zkelect status /jo", []string{"/jobs/"}},
	{"zkelect status -q /jobs/", []string{"/jobs/billing", "/jobs/nightly", "/jobs/team/"}},
	{"zkelect status --path=/jobs/ni", []string{"--path=/jobs/nightly"}},
	{"zkelect status /jobs/team/", []string{"/jobs/team/a b"}},
	{"zkelect status /jobs/x ", nil},
	{"zkelect resign --to ", []string{"it's 2", "web2:888"}},
	{"zkelect resign --to web2:8", []string{"web2:888"}},
	{"zkelect resign --to=web2:", []string{"--to=web2:888"}},
	{"zkelect resign --id ", []string{"web1:4121"}},
	{"zkelect status --leader-is w", []string{"web1:4121", "web2:888"}},
	{"zkelect resign /jobs/nightly --to ", nil},
	{"zkelect run -p /jobs/billing -- run-this-", []string{"run-this-one"}},
	{"zkelect run -p /jobs/billing -- run-this-one --path ./a\\ f", []string{"./a file"}},
	{"zkelect run -nq run-this-", []string{"run-this-one"}},
}

// typist is a shell on a terminal. Keys put all that the last word can become in its
// place, and a function that stands in for zkelect shows them.
type typist struct {
	args []string
	rc   string // the file that it reads at its start
	text string
	keys string
}

const showArguments = `
source <(zkelect completion $SHELL_NAME)
zkelect() { printf '%s\n' "$@" >shown.new; mv shown.new shown; }
PS1='ready> '
`

var typists = map[string]typist{
	"bash": {args: []string{"--noprofile", "--rcfile", "rc", "-i"}, rc: "rc", text: showArguments, keys: "\x1b*"}, // insert-completions
	"zsh":  {args: []string{"-d", "-i"}, rc: ".zshrc", keys: "\x18a", text: "autoload -U compinit && compinit -u -D\n" + showArguments + zshAll},
	"zsh installed": {args: []string{"-d", "-i"}, rc: ".zshrc", keys: "\x18a", text: `
mkdir functions && zkelect completion zsh >functions/_zkelect
fpath=($PWD/functions $fpath)
autoload -U compinit && compinit -u -D
` + strings.Replace(showArguments, "source", "#", 1) + zshAll},
}

const zshAll = `
zle -C all complete-word _generic
bindkey '^Xa' all
zstyle ':completion:all:*' completer _all_matches _complete
zstyle ':completion:all:*' insert true
`

// completionStage has elections, one of them with participants, and a file.
func completionStage(t *testing.T, shell string) *stage {
	s := newStage(t, pageBlock{with: []string{"web1:4121", "web2:888", "it's 2"}})
	for _, path := range []string{"/jobs/nightly", "/jobs/team/a b"} {
		s.ends(s.start("zkelect", "run", "-q", "--path", path, "--", "true"), 0)
	}
	s.file("a file", "")
	if err := os.Chmod(s.file("bin/run-this-one", "#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	s.env = append(s.env, "ZKELECT_PATH=/jobs/billing", "HOME="+s.dir, "ZDOTDIR="+s.dir, "TERM=xterm", "SHELL_NAME="+shell)
	return s
}

func TestCompletionTyped(t *testing.T) {
	for name, how := range typists {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			shell, _, _ := strings.Cut(name, " ")
			s := completionStage(t, shell)
			s.file(how.rc, how.text)
			screen := s.terminal(shell, how.args...)
			if err := screen.expect("ready> "); err != nil {
				t.Fatal(err, screen.text())
			}
			for _, test := range completions {
				s.completed(test.line, test.want, func() []string { return s.typed(screen, test.line, how.keys) })
			}
		})
	}
}

// fish says itself what a line can become.
func TestCompletionFish(t *testing.T) {
	t.Parallel()
	s := completionStage(t, "fish")
	for _, test := range completions {
		s.completed(test.line, test.want, func() (words []string) {
			cmd := exec.Command(lookIn(os.Getenv("PATH"), "fish"), "-N", "-c", "zkelect completion fish | source; complete -C $argv", test.line)
			cmd.Env, cmd.Dir = s.env, s.dir
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			for line := range strings.Lines(string(out)) {
				word, _, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
				words = append(words, strings.ReplaceAll(word, "\\", ""))
			}
			return words
		})
	}
}

// completed tries again what a busy machine has not answered within the second that
// a completion may take.
func (s *stage) completed(line string, want []string, complete func() []string) {
	s.Helper()
	var got []string
	for try := 0; try < 5; try++ {
		got = complete()
		slices.Sort(got)
		if slices.Equal(got, want) {
			return
		}
	}
	s.Errorf("%s\n\tbecomes %q,\n\twant    %q", line, got, want)
}

// terminal starts a command on a terminal of its own.
func (s *stage) terminal(name string, args ...string) *screen {
	cmd := exec.Command(lookIn(os.Getenv("PATH"), name), args...)
	cmd.Env, cmd.Dir = s.env, s.dir
	tty, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 50, Cols: 200})
	if err != nil {
		s.Fatal(err)
	}
	screen := &screen{tty: tty, closed: make(chan struct{})}
	go screen.read()
	s.Cleanup(func() {
		killSession(cmd.Process.Pid)
		_ = cmd.Wait()
		<-screen.closed
		tty.Close()
	})
	return screen
}

// typed is what the last word of a line has become, as the shell reads it.
func (s *stage) typed(screen *screen, line, keys string) []string {
	s.Helper()
	shown := filepath.Join(s.dir, "shown")
	_ = os.Remove(shown)
	if _, err := screen.tty.WriteString(line + keys + "\r"); err != nil {
		s.Fatal(err)
	}
	for deadline := time.Now().Add(bound); ; time.Sleep(5 * time.Millisecond) {
		data, err := os.ReadFile(shown)
		if err == nil {
			args := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
			before := strings.Count(strings.ReplaceAll(line, "\\ ", ""), " ") - 1 // arguments that are not completed
			return args[min(before, len(args)):]
		}
		if time.Now().After(deadline) {
			s.Fatalf("nothing after %v; on the terminal:\n%s", bound, screen.text())
		}
	}
}
