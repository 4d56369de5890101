package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"zkelect/zkelect/zktest"
)

// TestListenIsSmall: what a waiter holds resident with --listen, also once it was asked
// thousands of times, beside what it holds without.
func TestListenIsSmall(t *testing.T) {
	t.Parallel()
	const requests = 3000
	servers, address := zktest.Shared(t).Chroot(t), fmt.Sprintf("127.0.0.1:%d", zktest.FreePort(t))
	leader := startBinary(t, servers, "msg=started")
	defer leader.end()
	plain := startBinary(t, servers, "msg=waiting")
	defer plain.end()
	listening := startBinary(t, servers, "msg=waiting", "--listen", address)
	defer listening.end()
	time.Sleep(time.Second) // for what comes after the start
	without, with := memoryOf(t, plain.Process.Pid).resident, memoryOf(t, listening.Process.Pid).resident
	for n := range requests {
		path := "/leader"
		if n%20 == 0 {
			path = "/metrics"
		}
		if _, body, err := httpAsk("GET", "http://"+address+path); err != nil || body == "" {
			t.Fatalf("%s: %q %v", path, body, err)
		}
	}
	asked := memoryOf(t, listening.Process.Pid).resident
	t.Logf("a waiter's resident memory: %d kB without --listen, %d with it, %d after %d requests", without, with, asked, requests)
	if with > without+1000 || asked > without+3500 {
		t.Error("want at most 1 MB for an open port, and 3.5 MB for one that is polled")
	}
}

// No zkelect pays for what BenchmarkNetHTTP measures.
func TestNoNetHTTP(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	if slices.Contains(strings.Fields(string(out)), "net/http") {
		t.Error("the program links net/http; go list -deps and go mod why tell by whom")
	}
}

// BenchmarkNetHTTP is why zkelect/serve is not net/http: what that would cost where
// nobody listens, in the size of the program, in the memory of a waiter, and in the
// time of each start, of which a leader has two.
func BenchmarkNetHTTP(b *testing.B) {
	dir := b.TempDir()
	servers := zktest.Shared(b).Chroot(b)
	added := filepath.Join(dir, "added.go")
	source := "package main\nimport (\"net/http\"; \"os\")\nfunc init() { if len(os.Args) > 99 { _ = http.ListenAndServe(\"\", nil) } }\n"
	if err := os.WriteFile(added, []byte(source), 0o644); err != nil {
		b.Fatal(err)
	}
	root, err := os.Getwd()
	if err != nil {
		b.Fatal(err)
	}
	overlay, _ := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(root, "added.go"): added}})
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o644); err != nil {
		b.Fatal(err)
	}
	tags, err := os.ReadFile(".ci/tags")
	if err != nil {
		b.Fatal(err)
	}
	leader := startBinary(b, servers, "msg=started")
	defer leader.end()
	programs := map[string]string{"ours": filepath.Join(dir, "ours"), "nethttp": filepath.Join(dir, "nethttp")}
	for name, program := range programs {
		args := []string{"build", "-tags", strings.TrimSpace(string(tags)), "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", program}
		if name == "nethttp" {
			args = append(args, "-overlay", filepath.Join(dir, "overlay.json"))
		}
		build := exec.Command("go", append(args, ".")...)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, out)
		}
	}
	starts, held := map[string]time.Duration{}, map[string]int{}
	const rounds, each = 3, 100
	for b.Loop() {
		clear(starts)
		clear(held)
		for range rounds {
			for name, program := range programs {
				waiter := startProgram(b, program, servers, "msg=waiting")
				time.Sleep(time.Second)
				held[name] += memoryOf(b, waiter.Process.Pid).resident / rounds
				waiter.end()
			}
		}
		for range each {
			for name, program := range programs {
				began := time.Now()
				if err := exec.Command(program, "version").Run(); err != nil {
					b.Fatal(err)
				}
				starts[name] += time.Since(began) / each
			}
		}
	}
	for name, program := range programs {
		info, err := os.Stat(program)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(info.Size())/1000, name+"-kB")
		b.ReportMetric(float64(held[name]), name+"-resident-kB")
		b.ReportMetric(float64(starts[name].Microseconds()), name+"-start-µs")
	}
}
