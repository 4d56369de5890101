package cmdline

import (
	"syscall"
	"testing"
)

func TestParseSignal(t *testing.T) {
	for s, want := range map[string]syscall.Signal{
		"TERM": 15, "SIGTERM": 15, "sigint": 2, "KILL": 9, "9": 9, "usr1": 10, "RTMIN": 34, "RTMIN+3": 37, "SIGRTMAX-1": 63, "64": 64,
	} {
		if got, err := ParseSignal(s); err != nil || got != want {
			t.Errorf("%s: %d, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "0", "65", "-1", "SIG", "TERMINATE", "RTMIN+31", "RTMIN-1", "RTMAX-31", "1.5"} {
		if got, err := ParseSignal(s); err == nil {
			t.Errorf("%s: %d", s, got)
		}
	}
}
