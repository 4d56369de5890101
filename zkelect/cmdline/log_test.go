package cmdline

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// stuck is a pipe that nobody reads until opened.
type stuck struct {
	open chan struct{}
	bytes.Buffer
}

func (s *stuck) Write(b []byte) (int, error) {
	<-s.open
	return s.Buffer.Write(b)
}

func TestLogWriterNeverBlocks(t *testing.T) {
	to := &stuck{open: make(chan struct{})}
	w := NewLogWriter(to)
	start := time.Now()
	for i := range 5000 {
		fmt.Fprintln(w, "line", i)
	}
	if took := time.Since(start); took > time.Second {
		t.Fatal("held up for", took)
	}
	close(to.open)
	for deadline := time.Now().Add(10 * time.Second); len(w.lines) > 0 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	fmt.Fprintln(w, "the last")
	w.Close()
	fmt.Fprintln(w, "after the end")
	lines := strings.Split(strings.TrimSpace(to.String()), "\n")
	n := len(lines)
	if n < 1000 || !strings.Contains(lines[n-2], "log lines dropped") || lines[n-1] != "the last" {
		t.Errorf("%d lines, the last of them %q", n, lines[max(0, n-2):])
	}
	w = NewLogWriter(&stuck{open: make(chan struct{})})
	_, _ = io.WriteString(w, "never read")
	start = time.Now()
	if w.Close(); time.Since(start) > 5*time.Second {
		t.Error("the end was held up")
	}
}
