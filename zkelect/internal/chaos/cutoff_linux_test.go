package chaos

import (
	"os"
	"strconv"
	"testing"
	"time"
)

// TestCutOffWithFollower: a leader whose server is a follower that is cut off from
// its quorum. The follower goes on answering for 10 s, longer than the session
// lives. A tree must be dead before the others delete its nodes, each time.
func TestCutOffWithFollower(t *testing.T) {
	t.Parallel()
	if namespaces() != nil {
		leftOut(t, "cuts links between network namespaces")
		return
	}
	rounds, _ := strconv.Atoi(os.Getenv("ZKELECT_REPEAT"))
	rounds = max(rounds, 1)
	var faults []fault
	for range rounds {
		faults = append(faults, fault{Kind: cutWithServer, For: 8 * time.Second})
	}
	cfg := shortRun(t, "", family, faults...)
	cfg.Servers, cfg.SyncLimit = 3, 20
	cfg.Elections[0].Session = 5 * time.Second
	r := result(t, cfg, false)
	if len(r.Violations) > 0 {
		t.Errorf("%v", r)
	}
	// Each of them must have cost the leader its term, or nothing was shown.
	if got := r.Failovers[cutWithServer].N; got < rounds {
		t.Errorf("%d of %d leaders were struck:\n%v", got, rounds, r)
	}
}
