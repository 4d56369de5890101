package child

import (
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// screen is a pseudo-terminal with a session of its own on it.
type screen struct {
	t      *testing.T
	pty    *os.File
	leader int // the session leader

	mu   sync.Mutex
	text string
	read int // what was waited for already
}

// onTerminal starts a program as the leader of a session on a new terminal.
// In its arguments and environment $RUN is the helper that runs a command.
func onTerminal(t *testing.T, name string, args ...string) *screen {
	t.Helper()
	cmd := exec.Command(need(t, name, name), args...)
	run := helper(t, "run")
	cmd.Env = append(run.Env, "RUN="+self(t), "PS1=prompt> ", "TERM=xterm", "HISTFILE=")
	f, err := pty.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	s := &screen{t: t, pty: f, leader: cmd.Process.Pid}
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := f.Read(buf)
			s.mu.Lock()
			s.text += string(buf[:n])
			s.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		if t.Failed() {
			s.mu.Lock()
			t.Logf("at last on the screen: %q", s.text[max(0, len(s.text)-2000):])
			s.mu.Unlock()
		}
		cmd.Process.Kill()
		cmd.Wait()
		f.Close()
		eventually(t, "the session is over", func() bool {
			left := tagged(t)
			for _, l := range left {
				pid, _ := strconv.Atoi(strings.SplitN(l, "(", 2)[0])
				unix.Kill(pid, unix.SIGKILL)
			}
			return len(left) == 0
		})
	})
	return s
}

// expect waits for text that matches, after what was matched before, and
// returns its first group.
func (s *screen) expect(pattern string) string {
	s.t.Helper()
	re := regexp.MustCompile(pattern)
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		s.mu.Lock()
		rest := s.text[s.read:]
		if m := re.FindStringSubmatchIndex(rest); m != nil {
			s.read += m[1]
			s.mu.Unlock()
			if len(m) > 2 {
				return rest[m[2]:m[3]]
			}
			return rest[m[0]:m[1]]
		}
		s.mu.Unlock()
	}
	s.t.Fatalf("not on the screen: %q; alive: %v", pattern, tagged(s.t))
	return ""
}

// child is the number of the command's main process, from the helper's log, which
// may come before or after what the command prints.
func (s *screen) child() int {
	s.t.Helper()
	s.mu.Lock()
	read := s.read
	s.mu.Unlock()
	pid := atoi(s.t, s.expect(`started=(\d+)\r?\n`))
	s.mu.Lock()
	s.read = read
	s.mu.Unlock()
	return pid
}

func (s *screen) never(text string) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if strings.Contains(s.text, text) {
		s.t.Errorf("%q is on the screen: %q", text, s.text)
	}
}

func (s *screen) enter(text string) {
	s.t.Helper()
	if _, err := io.WriteString(s.pty, text); err != nil {
		s.t.Fatal(err)
	}
}

// foreground is the process group in the foreground, as the kernel has it.
func (s *screen) foreground() int {
	s.t.Helper()
	pgid, err := unix.IoctlGetInt(int(s.pty.Fd()), unix.TIOCGPGRP)
	if err != nil {
		s.t.Fatal(err)
	}
	return pgid
}

const (
	ctrlC = "\x03"
	ctrlZ = "\x1a"
)

func TestReaderGetsTerminal(t *testing.T) {
	s := onTerminal(t, "sh", "-c", `$RUN sh -c 'read x; echo "got $x"'; read y; echo "then $y"`)
	pid := s.child()
	if got := s.foreground(); got != pid {
		t.Errorf("in the foreground: %d, want the child %d", got, pid)
	}
	s.enter("one\n")
	s.expect("got one")
	s.expect("done exit status 0")
	if got := s.foreground(); got != s.leader {
		t.Errorf("in the foreground: %d, want the script %d", got, s.leader)
	}
	s.enter("two\n")
	s.expect("then two")
}

func TestTerminalRestored(t *testing.T) {
	need(t, "stty", "coreutils")
	need(t, "vi", "vim")
	for name, c := range map[string]struct {
		command string
		keys    string
		kill    bool
		end     string
	}{
		"exit":         {command: `sh -c 'stty raw -echo; echo ready; exit 3'`, end: "done exit status 3"},
		"killed":       {command: `sh -c 'stty raw -echo; echo ready; sleep 600'`, kill: true, end: "done signal: killed"},
		"vi quits":     {command: `vi -u NONE -n`, keys: ":q!\r", end: "done exit status 0"},
		"vi is killed": {command: `vi -u NONE -n`, kill: true, end: "done signal: killed"},
		"in a group of its own": {command: `bash --norc -ic 'stty raw -echo; echo ready; sleep 600'`, kill: true,
			end: "done signal: killed"},
		"can't be run": {command: os.DevNull + `x`, end: "not found"},
		"exec fails":   {command: writeScript(t), end: "exec format error"},
	} {
		t.Run(name, func(t *testing.T) {
			s := onTerminal(t, "sh", "-c", `echo "before=$(stty -g)"; $RUN `+c.command+`; echo "after=$(stty -g)"; read y; echo "then $y"`)
			before := s.expect(`before=(\S+)`)
			if c.kill || c.keys != "" {
				pid := s.child()
				eventually(t, "raw mode", func() bool {
					tio, err := unix.IoctlGetTermios(int(s.pty.Fd()), unix.TCGETS)
					return err == nil && tio.Lflag&unix.ICANON == 0
				})
				s.enter(c.keys)
				if c.kill {
					unix.Kill(pid, unix.SIGKILL)
				}
			}
			s.expect(c.end)
			if after := s.expect(`after=(\S+)`); after != before {
				t.Errorf("the terminal was %s and is %s", before, after)
			}
			s.enter("more\n")
			s.expect("then more")
		})
	}
}

// writeScript makes an executable file that execve refuses.
func writeScript(t *testing.T) string {
	return write(t, t.TempDir()+"/script", "echo never\n", 0o755)
}

func TestCtrlC(t *testing.T) {
	s := onTerminal(t, "sh", "-c", `$RUN sh -c 'trap "echo child has it; exit 5" INT; echo ready; while :; do sleep 0.01; done'`)
	s.expect("ready")
	s.enter(ctrlC)
	s.expect("child has it")
	s.expect("done exit status 5")
	s.never("stopping")
}

// The child goes on, and so does a program in its group that stops itself later.
func TestCtrlZ(t *testing.T) {
	t.Run("alone", func(t *testing.T) {
		s := onTerminal(t, "sh", "-c", `$RUN sh -c 'echo ready; while read x; do echo "got $x"; done'`)
		s.expect("ready")
		for range 3 {
			s.enter(ctrlZ)
			s.enter("a\n")
			s.expect("got a")
		}
	})
	// As less does, which tidies the screen first. The signal comes by hand here,
	// since our SIGCONT can take away the terminal's before it is seen.
	t.Run("stops itself later", func(t *testing.T) {
		less := write(t, t.TempDir()+"/less", `#!/bin/sh
			trap 'echo tidying; sleep 0.25; echo tidied; kill -STOP $$' TSTP
			echo "less=$$."
			while :; do sleep 0.01; echo tick; done
			`, 0o755)
		s := onTerminal(t, "sh", "-c", `$RUN sh -c '"$0"; echo end' `+less)
		inner := atoi(t, s.expect(`less=(\d+)\.`))
		unix.Kill(inner, unix.SIGTSTP)
		s.expect("tidying")
		s.enter(ctrlZ)
		s.expect("tidied")
		s.expect("tick")
	})
}

// A stop by hand is no business of ours.
func TestStopByHandStands(t *testing.T) {
	s := onTerminal(t, "sh", "-c", `$RUN sh -c 'echo ready; while read x; do echo "got $x"; done'`)
	pid := s.child()
	s.expect("ready")
	unix.Kill(pid, unix.SIGSTOP)
	time.Sleep(300 * time.Millisecond)
	if got := state(pid); got != 'T' {
		t.Errorf("the child is %c", got)
	}
	unix.Kill(pid, unix.SIGCONT)
	s.enter("a\n")
	s.expect("got a")
}

func TestInteractiveShell(t *testing.T) {
	need(t, "vi", "vim")
	s := onTerminal(t, "sh", "-c", `$RUN bash --norc -i; read y; echo "then $y"`)
	s.expect("prompt> ")
	s.enter("echo $((40+2))\n")
	s.expect("\r\n.*42\r\n")
	s.enter("sleep 600\n")
	s.expect("sleep 600\r\n")
	time.Sleep(100 * time.Millisecond)
	s.enter(ctrlZ)
	s.expect(`Stopped.*sleep 600`)
	time.Sleep(300 * time.Millisecond)
	s.enter("jobs\n")
	s.expect(`Stopped.*sleep 600`) // nobody woke the job of this shell
	s.enter("vi -u NONE -n\n")
	s.expect(`~`)
	s.enter(ctrlZ)
	s.expect(`Stopped.*vi`)
	s.enter("fg\n")
	s.expect(`~`)
	s.enter(":q!\r")
	s.expect("prompt> ")
	s.enter("exit 4\n")
	s.expect("There are stopped jobs")
	s.enter("exit 4\n") // which leaves the stopped one to us
	s.expect("done exit status 4")
	s.enter("more\n")
	s.expect("then more")
	s.never("no job control")
}

// Started in the background it does nothing to the terminal until fg.
func TestBackgroundJob(t *testing.T) {
	s := onTerminal(t, "bash", "--norc", "-i")
	s.expect("prompt> ")
	s.enter(`$RUN sh -c 'echo "ready"; read x; echo "got $x"' &` + "\n")
	pid := s.child()
	s.expect("ready\r\n")
	eventually(t, "the reader is stopped", func() bool { return state(pid) == 'T' })
	if got := s.foreground(); got != s.leader {
		t.Errorf("in the foreground: %d, want the shell %d", got, s.leader)
	}
	s.enter("echo $((40+2))\n")
	s.expect("42\r\n")
	s.enter("fg\n")
	eventually(t, "the reader has the terminal", func() bool { return s.foreground() == pid })
	s.enter("hello\n")
	s.expect("got hello")
	s.expect("done exit status 0")
	s.enter("echo $((60+3))\n")
	s.expect("63\r\n")
}

// The rest of a pipeline keeps the terminal; the child gets it if it reads.
func TestPipeline(t *testing.T) {
	t.Run("another reads", func(t *testing.T) {
		s := onTerminal(t, "sh", "-c", `$RUN sh -c 'echo data; exec sleep 600' | sh -c 'read l; echo "pager has $l"; read x </dev/tty; echo "key $x"'`)
		s.expect("pager has data")
		s.enter("q\n")
		s.expect("key q")
	})
	t.Run("the child reads", func(t *testing.T) {
		s := onTerminal(t, "sh", "-c", `$RUN sh -c 'read x; echo "got $x"' | cat; read y; echo "then $y"`)
		s.expect("started=")
		s.enter("one\n")
		s.expect(`(?s)got one.*done exit status 0|done exit status 0.*got one`)
		s.enter("two\n")
		s.expect("then two")
	})
	// Ctrl-Z reaches the group of the pipeline, and so the leader itself.
	t.Run("Ctrl-Z", func(t *testing.T) {
		s := onTerminal(t, "bash", "--norc", "-i")
		s.expect("prompt> ")
		s.enter(`$RUN sh -c 'echo ready; sleep 0.5; echo end' | cat` + "\n")
		s.expect("ready\r\n")
		s.enter(ctrlZ)
		s.expect("done exit status 0")
	})
}

// A script's background command has the script's process group, which is the
// foreground one, and must not take the script's terminal.
func TestBackgroundOfScript(t *testing.T) {
	s := onTerminal(t, "sh", "-c", `$RUN sh -c 'echo ready; sleep 600' & read y; echo "then $y"; kill $!; wait`)
	s.expect("ready\r\n")
	if got := s.foreground(); got != s.leader {
		t.Errorf("in the foreground: %d, want the script %d", got, s.leader)
	}
	s.enter("more\n")
	s.expect("then more")
	s.expect("done signal: terminated")
}

// "stty tostop" must not stop us when we log while the child has the terminal.
func TestToStop(t *testing.T) {
	s := onTerminal(t, "sh", "-c", `stty tostop; $RUN sh -c 'trap "" TERM; echo ready; sleep 600; sleep 600'; echo "end $?"`)
	pid := s.child()
	s.expect("ready")
	main, _ := trees.fs.stat(pid)
	guard, _ := trees.fs.stat(main.ppid)
	unix.Kill(guard.ppid, unix.SIGTERM)
	s.expect("stopping")
	s.expect("done signal: killed")
	s.expect("end 137")
}

// A daemon of the tree goes when the terminal's user has gone: hang-up, then end.
func TestHangup(t *testing.T) {
	s := onTerminal(t, "sh", "-c", `$RUN sh -c 'echo ready; sleep 600'`)
	pid := s.child()
	s.expect("ready")
	s.pty.Close()
	syscall.Kill(s.leader, syscall.SIGKILL)
	eventually(t, "the child ends with its terminal", func() bool { c := state(pid); return c == '-' || c == 'Z' })
}
