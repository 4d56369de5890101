package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"zkelect/zkelect/zktest"
)

// vault is a secret, and all that is looked into for it.
type vault struct {
	*testing.T
	dir, program, servers string
	auth                  string // digest:user:password
	forms                 [][]byte
	begun                 []*exec.Cmd
}

func newVault(t *testing.T) *vault {
	const user, password = "ann", "open:sesame 7f3a9c"
	v := &vault{
		T: t, program: filepath.Join(matrixRoom(t), "zkelect"), servers: zktest.Shared(t).Chroot(t),
		auth: "digest:" + user + ":" + password,
	}
	v.dir = filepath.Dir(v.program)
	for _, text := range []string{password, user + ":" + password} {
		v.forms = append(v.forms, []byte(text), []byte(strings.ReplaceAll(text, " ", "%20")),
			[]byte(hex.EncodeToString([]byte(text))), []byte(fmt.Sprint([]byte(text))),
			[]byte(base64.RawStdEncoding.EncodeToString([]byte(text))[:20]))
	}
	if err := os.WriteFile(filepath.Join(v.dir, "secret"), []byte(v.auth+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return v
}

// look fails where the secret stands in a text, in some form.
func (v *vault) look(where string, text []byte) {
	v.Helper()
	for _, form := range v.forms {
		if bytes.Contains(text, form) {
			v.Errorf("%s: the secret as %q", where, form)
		}
	}
}

// begin starts a zkelect that writes into NAME.out and NAME.err. One has the secret in
// a file, the other in the environment.
func (v *vault) begin(name string, byFile bool, args ...string) *exec.Cmd {
	v.Helper()
	cmd := &exec.Cmd{Path: v.program, Args: append([]string{"zkelect"}, args...), Dir: v.dir}
	cmd.Env = append(os.Environ(), "ZKELECT_SERVERS="+v.servers, "ZKELECT_PATH=/jobs/e", "GOTRACEBACK=all", "ZKELECT_AUTH="+v.auth)
	if byFile {
		cmd.Env[len(cmd.Env)-1] = "ZKELECT_AUTH_FILE=secret"
	}
	job, err := startJob(filepath.Join(v.dir, name), cmd)
	if err != nil {
		v.Fatal(err)
	}
	v.begun = append(v.begun, cmd)
	v.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-job.done:
		case <-time.After(bound):
			v.Errorf("%s does not end", name)
		}
	})
	return cmd
}

// run runs a zkelect to its end.
func (v *vault) run(name string, byFile bool, args ...string) {
	v.Helper()
	cmd := v.begin(name, byFile, args...)
	v.until(name+" ends", func() bool { return syscall.Kill(cmd.Process.Pid, 0) != nil })
}

func (v *vault) until(what string, condition func() bool) {
	v.Helper()
	for deadline := time.Now().Add(bound); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			v.Fatalf("not within %v: %s", bound, what)
		}
	}
}

func (v *vault) wrote(file, text string) bool {
	data, _ := os.ReadFile(filepath.Join(v.dir, file))
	return strings.Contains(string(data), text)
}

// processes looks into what others can see of each process of the machine, and into the
// environment of all that has come of the ones begun but for those whose own has the
// secret: it was given to them there.
func (v *vault) processes() {
	v.Helper()
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		v.Fatal(err)
	}
	for _, dir := range all {
		args, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		v.look(dir+"/cmdline", args)
	}
	seen := map[string]bool{}
	for _, cmd := range v.begun {
		for _, pid := range append(scriptDescendants(cmd.Process.Pid), cmd.Process.Pid) {
			dir := fmt.Sprintf("/proc/%d", pid)
			name, _ := os.ReadFile(dir + "/comm")
			seen[strings.TrimSpace(string(name))] = true
			if environ, _ := os.ReadFile(dir + "/environ"); pid != cmd.Process.Pid || slices.Contains(cmd.Env, "ZKELECT_AUTH_FILE=secret") {
				v.look(fmt.Sprintf("environment of %s %q", dir, name), environ)
			}
		}
	}
	for _, name := range []string{"zkelect", "zkelect-guard", "sleep"} {
		if !seen[name] {
			v.Errorf("no %s among %v", name, seen)
		}
	}
}

// TestSecretIsNowhere: not in the arguments or the environment of what zkelect starts, its
// logs at any level and in any form, its answers, its errors, the dump of a crash, and not
// in ZooKeeper.
func TestSecretIsNowhere(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	child := []string{"--session-timeout", "5s", "--stop-timeout", "200ms", "--acl", "private", "--log-level", "debug",
		"--fence", "env >fence.env", "--", "sh", "-c", `env >"$ZKELECT_ID.env"; setsid sleep 301 & sleep 302`}
	run := func(id string, byFile bool, more ...string) *exec.Cmd {
		return v.begin(id, byFile, slices.Concat([]string{"run", "--id", id}, more, child)...)
	}
	run("a", true)
	v.until("a leads", func() bool { return v.wrote("a.err", "msg=started") })
	b := run("b", false, "--log-format", "json")
	v.until("b waits", func() bool { return v.wrote("b.err", `"msg":"waiting"`) })
	watch := v.begin("watch", true, "status", "-W", "-o", "json", "--log-level", "debug")
	v.until("it shows", func() bool { return v.wrote("watch.out", `"id":"b"`) })
	v.processes()

	// The answers, and what can be wrong.
	for n, args := range [][]string{
		{"status"}, {"status", "-o", "json"}, {"status", "-r", "-o", "json", "/"}, {"resign", "--to", "nobody"}, {"resign", "-o", "json", "--to", "b", "--acl", "private"},
		{"status", "--token", "x"}, {"status", "--auth-file", "/"}, {"status", "-s", "127.0.0.1:1", "--connect-timeout", "1"}, {"status", "-s", zktest.Garbage(t, []byte("HTTP/1.1 400\r\n\r\n")), "--connect-timeout", "1"},
		{"status", "/nothing"}, {"resign", "--id", "nobody"}, {"run", "--dry-run", "--", "true"}, {"run", "--recipe", "kazoo", "--", "true"},
		{"run", "--session-timeout", "1", "--", "true"}, {"run", "--", "no-such-command"}, {"run", "--acl", "nonsense", "--", "true"}, {"run", "-n", "--", "true"}, {"__complete", "sh", "resign", "--id", ""},
	} {
		for _, more := range [][]string{{"--log-level", "debug"}, {"--log-level", "debug", "--log-format", "json"}} {
			if args[0] == "__complete" {
				more = nil
			}
			v.run(fmt.Sprint("answer", n, len(more)), n%2 == 0, slices.Concat(args[:1], more, args[1:])...)
		}
	}
	v.until("b leads", func() bool { return v.wrote("b.err", `"msg":"started"`) })

	// The elector and its guard are killed in one blow: what is left of them is fenced.
	c := run("c", true)
	v.until("c waits", func() bool { return v.wrote("c.err", "msg=waiting") })
	both := append([]int{b.Process.Pid}, scriptDescendants(b.Process.Pid)...)
	for _, sig := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGKILL} { // else the last one closes the term
		for _, pid := range both {
			_ = syscall.Kill(pid, sig)
		}
	}
	v.until("c leads", func() bool { return v.wrote("c.err", "msg=started") })
	v.processes()

	// Crashes, with all that Go's runtime shows.
	for _, crashes := range []*exec.Cmd{watch, c} {
		if err := crashes.Process.Signal(syscall.SIGABRT); err != nil {
			t.Error(err)
		}
	}
	v.until("the dumps are there", func() bool {
		return v.wrote("watch.err", "goroutine ") && v.wrote("c.err", "goroutine ") && syscall.Kill(c.Process.Pid, 0) != nil
	})
	for _, garbage := range []string{strings.TrimPrefix(v.auth, "digest:"), v.auth + "\n" + v.auth, "digest:" + strings.ReplaceAll(v.auth, ":", "")} {
		cmd := exec.Command(v.program, "status", "--log-level", "debug")
		cmd.Env = []string{"ZKELECT_AUTH=" + garbage}
		out, err := cmd.CombinedOutput()
		if err == nil || !bytes.Contains(out, []byte("ZKELECT_AUTH: line")) {
			t.Errorf("%v: %s", err, out)
		}
		v.look("the error of a bad credential", out)
	}

	// All that was written, by zkelect and by its commands.
	looked := 0
	err := filepath.WalkDir(v.dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "secret" || d.Name() == "zkelect" {
			return err
		}
		looked++
		content, err := os.ReadFile(name)
		v.look(d.Name(), content)
		return err
	})
	if err != nil || looked < 40 {
		t.Errorf("%d files, %v", looked, err)
	}
	for _, name := range []string{"a.env", "b.env", "c.env", "fence.env"} {
		if !v.wrote(name, "ZKELECT_FENCING_TOKEN=") || v.wrote(name, "ZKELECT_AUTH=") {
			t.Errorf("%s is not what a command gets", name)
		}
	}
	client := zktest.Shared(t).Client(t)
	if err := client.AddAuth("digest", []byte("super:zktest")); err != nil {
		t.Fatal(err)
	}
	_, chroot, _ := strings.Cut(v.servers, "/")
	var lines []string
	v.until("what the survivor of c deletes is deleted", func() bool {
		lines, err = tree(client, "/"+chroot)
		return !errors.Is(err, zk.ErrNoNode)
	})
	if err != nil || len(lines) < 6 {
		t.Errorf("%v: %q", err, lines)
	}
	v.look("ZooKeeper", []byte(strings.Join(lines, "\n")))
}
