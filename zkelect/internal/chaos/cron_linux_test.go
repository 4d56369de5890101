package chaos

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"zkelect/zkelect/zktest"
)

// TestCronClocks: an hourly job on three hosts whose wall clocks are wrong by five
// minutes and by a day runs once an hour. An hour takes eight seconds here, and each
// host comes by its own clock, or by the one that cron had then.
func TestCronClocks(t *testing.T) {
	program, servers, dir := clockedBinary(t), zktest.Start(t).Connect(), t.TempDir()
	type host struct {
		step  string // of its clock, in seconds
		comes time.Duration
	}
	hosts := []host{{"86400", 0}, {"0", 700 * time.Millisecond}, {"-300", 1400 * time.Millisecond}}
	ran := filepath.Join(dir, "ran")
	lines := func() int {
		data, _ := os.ReadFile(ran)
		return strings.Count(string(data), "\n")
	}
	began := time.Now()
	for hour := range 3 {
		for n, h := range hosts {
			clock := filepath.Join(dir, fmt.Sprint("clock", n))
			if err := os.WriteFile(clock, []byte(h.step), 0o644); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Until(began.Add(time.Duration(hour)*8*time.Second + h.comes)))
			cmd := exec.Command(program, "run", "-s", servers, "-p", "/jobs/hourly", "--id", fmt.Sprint("web", n),
				"-n", "-E", "0", "--skip-if-run-within", "4s", "--", "sh", "-c", "echo $ZKELECT_ID >>"+ran)
			cmd.Env = append(os.Environ(), "CHAOS_CLOCK="+clock)
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			out, err := cmd.CombinedOutput()
			if err != nil || strings.Contains(string(out), "wall clock stepped") != (h.step != "0") {
				t.Fatalf("hour %d, host %d: %v\n%s", hour, n, err, out)
			}
			if got := lines(); got != hour+1 {
				t.Fatalf("hour %d, host %d: run %d times, want %d\n%s", hour, n, got, hour+1, out)
			}
		}
	}
}
