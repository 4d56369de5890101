package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// TestBenchWorks does what make bench does once or twice, and all at once: its numbers
// are none, but each block of the page is written, and each plot is a picture. etcd is
// left out, since make test does not install it.
func TestBenchWorks(t *testing.T) {
	t.Parallel()
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

	program := filepath.Join(dir, "bench")
	if out, err := exec.Command("go", "build", "-o", program, "./testdata/bench").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	bench := exec.Command(program)
	bench.Env = append(os.Environ(), "BENCH_N=0.01", "BENCH_WITHOUT=etcd,selector", "BENCH_PHASES=", "BENCH_PAGE="+page)
	bench.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out := filepath.Join(dir, "out")
	file, err := os.Create(out)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	bench.Stdout, bench.Stderr = file, file
	started, ended := make(chan error), make(chan error, 1)
	scriptForks() <- func() { started <- bench.Start() }
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	go func() { ended <- bench.Wait() }()
	if err := <-ended; err != nil {
		said, _ := os.ReadFile(out)
		t.Fatalf("%v\n%s", err, said[max(0, len(said)-4000):])
	}

	if text, err = os.ReadFile(page); err != nil {
		t.Fatal(err)
	}
	blocks := marked.FindAllStringSubmatch(string(text), -1)
	if len(blocks) < 10 {
		t.Errorf("%d blocks", len(blocks))
	}
	for _, b := range blocks {
		if lines := strings.Count(b[0], "\n"); lines < 4 {
			t.Errorf("the block %s is empty:\n%s", b[2], b[0])
		}
	}
	plots, _ := filepath.Glob(filepath.Join(dir, "performance", "*.svg"))
	if len(plots) < 5 {
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
