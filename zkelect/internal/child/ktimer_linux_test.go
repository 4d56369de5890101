package child

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// manyLease is longer than a busy machine takes for one command and its guard.
const manyLease = 8 * time.Second

// manyHelper runs one command after another, each under a guard of its own, with
// leases told all the time that are over soon, as by an owner that doesn't know yet
// that a command has ended. Nothing runs at last, so nothing may kill it either.
func manyHelper() int {
	for range 60 {
		g, err := NewGuard(GuardOptions{Isolate: IsolateNone})
		if err == nil {
			err = g.Await(nil)
		}
		if err != nil {
			fmt.Println(err)
			return 1
		}
		over := make(chan struct{})
		told := make(chan struct{})
		now := bootTime()
		go func() {
			defer close(told)
			for !closed(over) {
				g.Lease(now+time.Minute, now+time.Minute, now+manyLease, now)
			}
		}()
		if p, err := g.Start(Command{Path: "/bin/true"}); err == nil {
			<-p.Done()
		} else {
			fmt.Println(err)
			return 1
		}
		time.Sleep(time.Millisecond)
		if _, err := g.Start(Command{Path: "/nowhere"}); err == nil {
			fmt.Println("started what is not there")
			return 1
		}
		close(over)
		<-told
		g.Close()
		<-g.Over()
	}
	time.Sleep(manyLease + ownSlack + 500*time.Millisecond)
	timers, err := os.ReadFile("/proc/self/timers")
	fmt.Printf("alive, timers left: %d, %v\n", strings.Count(string(timers), "ClockID:"), err)
	return 0
}

// The kernel's timer for the owner is armed only while there is a command, and is
// given back with the guard.
func TestOwnTimerIsDisarmed(t *testing.T) {
	t.Parallel()
	out, err := helper(t, "many").CombinedOutput()
	if err != nil || string(out) != "alive, timers left: 0, <nil>\n" {
		t.Errorf("%v: %s", err, out)
	}
}
