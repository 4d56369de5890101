package zkelect

import (
	"context"
	"os"
	"strconv"
	"testing"
	"time"
)

// Who is far from its turn has no guard, and nothing of one is left, not even where
// its end overtakes its start.
func TestGuardOfWhoIsFar(t *testing.T) {
	r, err := newRunner(RunConfig{CandidateConfig: CandidateConfig{Config: Config{Path: "/e"}}, Command: []string{"true"}})
	if err != nil {
		t.Fatal(err)
	}
	stands := func() int {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.guard == nil {
			return 0
		}
		return r.guard.Pid()
	}
	for range 10 {
		r.near("")
		r.far()
	}
	time.Sleep(50 * time.Millisecond)
	if stands() != 0 {
		t.Error("one that nobody wants was started late")
	}
	r.near("")
	for end := time.Now().Add(time.Minute); stands() == 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	pid := stands()
	if pid == 0 {
		t.Fatal("nobody stands")
	}
	if err := r.armed(context.Background(), ""); err != nil || r.armedGuard().Pid() != pid {
		t.Fatal("another is armed than the one that stands:", err)
	}
	r.far()
	r.far()
	r.alone()
	if _, err := os.Stat("/proc/" + strconv.Itoa(pid)); !os.IsNotExist(err) || stands() != 0 {
		t.Error("the guard is still there:", err, stands())
	}
}
