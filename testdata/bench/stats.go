package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// stats are of one measure of one contender.
type stats struct {
	n                        int
	min, q1, median, q3, max float64
}

func statsOf(values []float64) (s stats) {
	v := slices.Sorted(slices.Values(values))
	if len(v) == 0 {
		return s
	}
	at := func(part float64) float64 { // between the two that are next to it
		i := part * float64(len(v)-1)
		low := int(i)
		high := min(low+1, len(v)-1)
		return v[low] + (i-float64(low))*(v[high]-v[low])
	}
	return stats{n: len(v), min: v[0], q1: at(.25), median: at(.5), q3: at(.75), max: v[len(v)-1]}
}

func (b *bench) stats(label, measure string) stats { return statsOf(b.values(label, measure)) }

// number shows a value with three digits that matter, a whole one as it is.
func number(v float64) string {
	digits := 0
	if v != math.Trunc(v) {
		digits = min(2, max(0, 2-int(math.Floor(math.Log10(math.Abs(v))))))
	}
	s := fmt.Sprintf("%.*f", digits, v)
	if dot := strings.IndexByte(s, '.'); dot < 0 && len(s) > 4 { // 12,345
		for i := len(s) - 3; i > 0; i -= 3 {
			s = s[:i] + "," + s[i:]
		}
	}
	return s
}

// machine is where the run was.
type machine struct {
	kernel, cpu, disk, goVersion, java, load string
	fsync                                    stats
}

func (b *bench) look() (m machine) {
	var uts syscall.Utsname
	if syscall.Uname(&uts) == nil {
		var release []byte
		for _, c := range uts.Release {
			if c == 0 {
				break
			}
			release = append(release, byte(c))
		}
		m.kernel = string(release)
	}
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			m.cpu = fmt.Sprintf("%d × %s", runtime.NumCPU(), strings.Join(strings.Fields(value), " "))
			break
		}
	}
	m.goVersion = runtime.Version()
	version, _ := exec.Command("java", "-version").CombinedOutput()
	first, _, _ := bytes.Cut(version, []byte("\n"))
	m.java = strings.ReplaceAll(string(first), `"`, "")
	load, _ := os.ReadFile("/proc/loadavg")
	m.load, _, _ = strings.Cut(string(load), " ")
	disk, _ := exec.Command("df", "--output=fstype", b.dir).Output()
	if f := strings.Fields(string(disk)); len(f) == 2 {
		m.disk = f[1]
	}
	var took []float64
	if f, err := os.Create(filepath.Join(b.dir, "fsync")); err == nil {
		for range 50 {
			began := time.Now()
			_, err1 := f.Write(make([]byte, 512))
			if err2 := f.Sync(); err1 == nil && err2 == nil {
				took = append(took, millis(time.Since(began)))
			}
		}
		f.Close()
	}
	m.fsync = statsOf(took)
	return m
}

func inodeOf(info fs.FileInfo) uint64 { return info.Sys().(*syscall.Stat_t).Ino }
