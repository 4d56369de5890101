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

func TestAddress(t *testing.T) {
	for _, s := range []string{":8080", "127.0.0.1:0", "[::1]:8080", "localhost:8080", "web1.example.org:65535"} {
		var got string
		if err := Address(&got)(s); err != nil || got != s {
			t.Errorf("%s: %q, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "8080", "127.0.0.1", "::1:8080", ":65536", ":http", ":-1", ":", "unix:/run/x.sock", "http://web1:8080", "a b:80", noWord} {
		got := "unset"
		if err := Address(&got)(s); err == nil || got != "unset" {
			t.Errorf("%q: %q, %v", s, got, err)
		}
	}
}
