package main

import (
	"flag"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"zkelect/zkelect/zktest"
)

func TestMain(m *testing.M) {
	// Scripts mostly wait, for a session's end above all: more of them at a
	// time than there are CPUs. The command line still has the last word.
	_ = flag.Set("test.parallel", "8")
	testscript.Main(hangups{zktest.M{Runner: m}}, map[string]func(){
		"zkelect": main,
		"child":   childMain,
	})
}

// hangups runs the tests where HUP may be ignored, under nohup, say: what they
// start is to take it as usual. A signal that is caught is reset by exec.
type hangups struct{ zktest.M }

func (h hangups) Run() int {
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	return h.M.Run()
}

// TestScript runs testdata/script/*.txtar. Each has a chroot of its own on the
// one server of this process, in $ZKELECT_SERVERS, and the commands of
// script_cmd_test.go. Those named handover_* are claims about chance, so each
// is run $ZKELECT_REPEAT times. Those named terminal_* are run with each isolation,
// which $ISOLATE names.
func TestScript(t *testing.T) {
	files, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, file := range files {
		n := 1
		switch name := filepath.Base(file); {
		case strings.HasPrefix(name, "handover_"):
			n = scriptRepeat(t)
		case strings.HasPrefix(name, "terminal_"):
			n = len(isolations())
		}
		all = append(all, slices.Repeat([]string{file}, n)...)
	}
	testscript.Run(t, testscript.Params{
		Files: all,
		Setup: scriptSetup,
		Cmds:  scriptCommands(),
	})
}

// scriptRepeat is how often what is subject to chance is done.
func scriptRepeat(tb testing.TB) int {
	v := os.Getenv("ZKELECT_REPEAT")
	if v == "" {
		return 1
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 {
		tb.Fatalf("ZKELECT_REPEAT is %q; give a number from 1", v)
	}
	return n
}

// isolations are the values of --isolate that this user can have for sure.
func isolations() []string {
	if os.Getuid() != 0 {
		return []string{"none"}
	}
	return []string{"none", "pidns", "auto"}
}

// isolationOf is that of the nth run of a script, whose folder ends in #n.
func isolationOf(dir string) string {
	_, n, _ := strings.Cut(filepath.Base(dir), "#")
	i, _ := strconv.Atoi(n)
	all := isolations()
	return all[i%len(all)]
}

func scriptSetup(env *testscript.Env) error {
	tb := env.T().(testing.TB)
	w := &world{
		tb: tb, dir: env.WorkDir, server: zktest.Shared(tb), jobs: map[string]*job{},
	}
	servers := w.server.Chroot(tb)
	_, chroot, _ := strings.Cut(servers, "/")
	w.chroot = "/" + chroot
	env.Values[worldKey{}] = w
	env.Defer(w.close)

	stamps := filepath.Join(env.WorkDir, "stamps")
	if err := os.Mkdir(stamps, 0o755); err != nil {
		return err
	}
	for name, value := range map[string]string{
		"ZKELECT_SERVERS": servers,
		"SHARED":          servers,
		"ZKELECT_PATH":    "/jobs/e",
		// Long enough for a machine that is busy with other tests: what is about
		// the end of a session sets its own.
		"ZKELECT_SESSION_TIMEOUT": "20s",
		"STAMPS":                  stamps,
		"ISOLATE":                 isolationOf(env.WorkDir),
		// The race detector sleeps for a second at each exit.
		"GORACE": strings.TrimSpace(os.Getenv("GORACE") + " atexit_sleep_ms=0"),
	} {
		env.Setenv(name, value)
	}
	return nil
}
