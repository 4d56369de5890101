package main

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// TestBench sees to it that the benchmark works. Its numbers are none here.
func TestBench(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "bench")
	if out, err := exec.Command("go", "build", "-o", program, "./testdata/bench").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Run("page", func(t *testing.T) { t.Parallel(); benchWritesItsPage(t, program) })
	t.Run("check", func(t *testing.T) { t.Parallel(); benchFindsDecay(t, program) })
}

// benchWritesItsPage does what make bench does once or twice, with the peers that cost
// little, and all at once: blocks of the page are written, and each plot is a picture.
func benchWritesItsPage(t *testing.T, program string) {
	dir := t.TempDir()
	page := filepath.Join(dir, "performance.md")
	text, err := os.ReadFile("docs/performance.md")
	if err != nil {
		t.Fatal(err)
	}
	marked := regexp.MustCompile(`(?s)(<!-- bench: (\w+) -->\n).*?(<!-- end of \w+ -->)`)
	if err := os.WriteFile(page, marked.ReplaceAll(text, []byte("$1$3")), 0o644); err != nil {
		t.Fatal(err)
	}
	const phases = "run,exchange,handover,queue,check"
	out, err := runBench(t, program, "BENCH_WITHOUT=etcd,kazoo,latch,selector", "BENCH_PHASES="+phases, "BENCH_PAGE="+page,
		"BENCH_RECORDED="+filepath.Join(dir, "recorded.json"))
	if err != nil {
		t.Fatalf("%v\n%s", err, out[max(0, len(out)-4000):])
	}
	if text, err = os.ReadFile(page); err != nil {
		t.Fatal(err)
	}
	written := map[string]bool{}
	for _, b := range marked.FindAllStringSubmatch(string(text), -1) {
		written[b[2]] = strings.Count(b[0], "\n") > 4
	}
	for _, want := range strings.Split("machine,verdicts,summary,"+phases, ",") {
		if !written[want] {
			t.Errorf("the block %s is empty", want)
		}
	}
	plots, _ := filepath.Glob(filepath.Join(dir, "performance", "*.svg"))
	if len(plots) != 3 { // of run, handover and queue
		t.Errorf("plots: %v", plots)
	}
	for _, plot := range plots {
		text, err := os.ReadFile(plot)
		if err != nil {
			t.Fatal(err)
		}
		d := xml.NewDecoder(strings.NewReader(string(text)))
		for err == nil {
			_, err = d.Token()
		}
		if !errors.Is(err, io.EOF) || strings.Contains(string(text), "NaN") || strings.Contains(string(text), "Inf") {
			t.Errorf("%s: %v\n%s", plot, err, text)
		}
	}
}

// benchFindsDecay has the check measure a zkelect that does all of its work five times,
// beside which a busy machine is nothing: it fails, and says of what.
func benchFindsDecay(t *testing.T, program string) {
	slow := filepath.Join(t.TempDir(), "zkelect")
	zkelect, err := filepath.Abs("bin/zkelect")
	if err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf("#!/bin/sh\nfor i in 1 2 3 4; do %q \"$@\" || exit; done\nexec %[1]q \"$@\"\n", zkelect)
	if err := os.WriteFile(slow, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	out, err := runBench(t, program, "BENCH_PHASES=runs", "BENCH_ZKELECT="+slow)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("%v, want exit code 1", err)
	}
	for _, want := range []string{
		`worse than recorded in testdata/bench/recorded\.json`,
		`(?m)^run -- true, × the floor's \(run\): recorded [\d.]+, measured [\d.]+, tolerance \d+ %, so at most [\d.]+$`,
		`(?m)^its requests \(run-requests\): recorded \d+, measured \d+, tolerance 0 %`,
	} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("no %s", want)
		}
	}
	if t.Failed() {
		t.Log(out)
	}
}

// runBench runs testdata/bench with few repetitions, as a check where no page is named.
func runBench(t *testing.T, program string, env ...string) (said string, err error) {
	t.Helper()
	bench := exec.Command(program)
	if !strings.Contains(strings.Join(env, " "), "BENCH_PAGE=") {
		bench.Args = append(bench.Args, "check")
	}
	bench.Env = append(append(os.Environ(), "BENCH_N=0.05"), env...)
	bench.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	bench.Stdout, bench.Stderr = out, out
	started := make(chan error)
	scriptForks() <- func() { started <- bench.Start() }
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	err = bench.Wait()
	text, readErr := os.ReadFile(out.Name())
	if readErr != nil {
		t.Fatal(readErr)
	}
	return string(text), err
}
