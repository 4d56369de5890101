package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"zkelect/zkelect/zktest"
)

// began is what a process has cost, with those that it has waited for.
type began struct {
	wall, cpu time.Duration
	faults    int64 // of pages, none of which came from a disk
}

func begin(b *testing.B, name string, args ...string) began {
	b.Helper()
	cmd := exec.Command(name, args...)
	since := time.Now()
	if err := cmd.Run(); err != nil {
		b.Fatalf("%s: %v", name, err)
	}
	usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	return began{time.Since(since), cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), usage.Minflt}
}

// BenchmarkStart measures the start of a program that does nothing, of zkelect, and of
// a whole run of "true": elector, guard and command. They take turns; the metrics are
// medians.
func BenchmarkStart(b *testing.B) {
	dir := b.TempDir()
	source, nothing := filepath.Join(dir, "nothing.go"), filepath.Join(dir, "nothing")
	if err := os.WriteFile(source, []byte("package main\n\nfunc main() {}\n"), 0o644); err != nil {
		b.Fatal(err)
	}
	build := exec.Command("go", "build", "-ldflags", "-s -w", "-o", nothing, source)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	run := []string{"run", "--quiet", "--servers", zktest.Shared(b).Chroot(b), "--path", "/jobs/e", "--", "true"}
	begin(b, "bin/zkelect", run...) // makes the election
	samples := map[string][]began{}
	for b.Loop() {
		for range 50 {
			samples["nothing"] = append(samples["nothing"], begin(b, nothing))
			samples["version"] = append(samples["version"], begin(b, "bin/zkelect", "version"))
			samples["run"] = append(samples["run"], begin(b, "bin/zkelect", run...))
		}
	}
	for what, all := range samples {
		median := func(of func(began) float64) float64 {
			var values []float64
			for _, one := range all {
				values = append(values, of(one))
			}
			slices.Sort(values)
			return values[len(values)/2]
		}
		b.ReportMetric(median(func(x began) float64 { return float64(x.wall.Microseconds()) }), what+"-µs")
		b.ReportMetric(median(func(x began) float64 { return float64(x.cpu.Microseconds()) }), what+"-cpu-µs")
		b.ReportMetric(median(func(x began) float64 { return float64(x.faults) }), what+"-faults")
	}
}
