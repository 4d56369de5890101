package chaos

import (
	"bytes"
	"flag"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"zkelect/zkelect/zktest"
)

func TestMain(m *testing.M) {
	Main()
	code := 1
	defer func() { os.Exit(code) }()
	defer cleanUp()
	// Interrupted, we leave nothing either. The runs die with us.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		<-signals
		cleanUp()
		os.Exit(130)
	}()
	// The runs mostly wait, so more of them go side by side than there are
	// processors.
	flag.Parse()
	_ = flag.Set("test.parallel", "8")
	code = m.Run()
}

// base is the folder of this process's binaries and runs.
var base struct {
	sync.Mutex
	dir string
}

func baseDir(t testing.TB) string {
	t.Helper()
	base.Lock()
	defer base.Unlock()
	if base.dir == "" {
		dir, err := os.MkdirTemp("", "zkelect-chaos-")
		if err != nil {
			t.Fatal(err)
		}
		base.dir = dir
	}
	return base.dir
}

func cleanUp() {
	base.Lock()
	defer base.Unlock()
	if base.dir != "" {
		_ = os.RemoveAll(base.dir)
	}
}

// compile compiles a program of this module, with flags for go build. CHAOS_RACE
// turns the race detector on in it.
func compile(t testing.TB, name, pkg string, flags ...string) string {
	t.Helper()
	file := filepath.Join(baseDir(t), name)
	cmd := exec.Command("go", slices.Concat([]string{"build", "-trimpath", "-buildvcs=false", "-o", file}, flags, []string{pkg})...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if os.Getenv("CHAOS_RACE") != "" {
		cmd.Args = slices.Insert(cmd.Args, 2, "-race")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build %s: %v\n%s", pkg, err, out)
	}
	return file
}

// theProgram is zkelect as it is shipped, and what is known of it.
var theProgram struct {
	sync.Mutex
	binary, worker string
}

func newConfig(t testing.TB) Config {
	t.Helper()
	theProgram.Lock()
	defer theProgram.Unlock()
	if theProgram.binary == "" {
		theProgram.binary = compile(t, "zkelect", "zkelect")
		theProgram.worker = compile(t, "worker", "zkelect/zkelect/internal/chaos/worker")
	}
	dir, err := os.MkdirTemp(baseDir(t), "run-")
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		Seed: rand.Uint64(), Contenders: 3, Servers: 3, Bound: 40 * time.Second,
		Binary: theProgram.binary, Worker: theProgram.worker,
		Guarded: contains(t, theProgram.binary, "zkelect-guard"),
		Dir:     filepath.Join(dir, "run"), Out: filepath.Join(dir, "out"),
	}
	for _, d := range []string{cfg.Dir, cfg.Out} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return cfg
}

// contains tells whether a binary holds a string.
func contains(t testing.TB, binary, text string) bool {
	t.Helper()
	b, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Contains(b, []byte(text))
}

// elections are three of different natures and, by the seed, of three recipes.
func elections(t testing.TB, cfg Config) []Election {
	third := Election{Path: "/jobs/nightly", Session: 6 * time.Second, Nature: family}
	if help, _ := exec.Command(cfg.Binary, "run", "--help").Output(); bytes.Contains(help, []byte("--isolate")) && os.Geteuid() == 0 {
		third.Nature = isolated
	}
	all := []Election{
		{Path: "/jobs/billing", Session: 4 * time.Second, Nature: single},
		{Path: "/jobs/reports", Session: 5 * time.Second, Nature: family},
		third,
	}
	recipes := []string{"latch", "selector", "kazoo", "plain"}
	for i := range all {
		all[i].Recipe = recipes[(cfg.Seed+uint64(i))%4]
	}
	return all
}

// TestPromise is a run of all faults in several elections at once, of CHAOS_FOR
// (105 s) with the seed CHAOS_SEED (another each time). Report, timeline and logs
// are left in CHAOS_OUT where that is given, or where something was found.
func TestPromise(t *testing.T) {
	t.Parallel() // beside the short runs
	cfg := newConfig(t)
	cfg.For = 105 * time.Second
	if v := os.Getenv("CHAOS_FOR"); v != "" {
		var err error
		if cfg.For, err = time.ParseDuration(v); err != nil {
			t.Fatal("CHAOS_FOR:", err)
		}
	}
	if v := os.Getenv("CHAOS_SEED"); v != "" {
		var err error
		if cfg.Seed, err = strconv.ParseUint(v, 10, 64); err != nil {
			t.Fatal("CHAOS_SEED:", err)
		}
	}
	cfg.Elections, cfg.Clocked = elections(t, cfg), clockedBinary(t)
	r := result(t, cfg, false)
	for _, v := range r.Violations {
		t.Errorf("%v (seed %d)", v, cfg.Seed)
	}
	if len(r.LeftOut) > 0 && namespaces() != nil {
		leftOut(t, "cuts links between network namespaces")
	}
	total := 0
	for _, k := range slices.Concat(electionKinds, ensembleKinds) {
		total += r.Faults[k]
		if _, out := r.LeftOut[k]; !out && r.Faults[k] < 20 && cfg.For >= 30*time.Minute {
			t.Errorf("%d of %q in the whole run, want 20", r.Faults[k], k)
		}
	}
	if rounds := cfg.For / (15 * time.Second); total < int(rounds)*faultsAtOnce {
		t.Errorf("%d faults in %v are too few to show anything", total, cfg.For)
	}
}

// result does a run and keeps what it leaves, if anybody may want it: where
// something was found that was not expected.
func result(t testing.TB, cfg Config, expected bool) *Report {
	t.Helper()
	var said bytes.Buffer
	out := io.Writer(&said)
	if testing.Verbose() {
		out = io.MultiWriter(&said, os.Stdout)
	}
	r, err := Run(cfg, out)
	keep := os.Getenv("CHAOS_OUT")
	switch {
	case keep != "":
		keep = filepath.Join(keep, strings.ReplaceAll(t.Name(), "/", "-"))
	case err != nil || len(r.Violations) > 0 && !expected:
		var tmp error
		if keep, tmp = os.MkdirTemp("", "zkelect-chaos-found-"); tmp != nil {
			t.Error(tmp)
		}
	}
	if keep != "" {
		_ = os.RemoveAll(keep)
		if err := os.CopyFS(keep, os.DirFS(cfg.Out)); err != nil {
			t.Error(err)
		}
		if err := os.WriteFile(filepath.Join(keep, "output.txt"), said.Bytes(), 0o644); err != nil {
			t.Error(err)
		}
		t.Logf("report, timeline and logs are in %s", keep)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, &said)
	}
	if !testing.Verbose() {
		t.Logf("\n%v", r)
	}
	return r
}

// leftOut notes what needs root and does not have it: make test ends by naming it.
func leftOut(t *testing.T, why string) {
	t.Helper()
	zktest.LeftOut(t, t.Name(), why+": that needs root")
}
