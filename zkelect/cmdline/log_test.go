package cmdline

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
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

// Times are alike on all hosts, durations are text in both formats, and what names
// and errors hold can't break a line or drive a terminal.
func TestLogValues(t *testing.T) {
	nasty := "a\n\x1b[2J\u009b\u202e\u2028\"\xff="
	for format, want := range map[string][]string{
		"text": {`t=2026-11-23T01:02:03.004Z`, `d=8.85s`, `id="a\\n\\x1b[2J\\u009b\\u202e\\u2028\"\\xff="`, `error=b\a`},
		"json": {`"t":"2026-11-23T01:02:03.004Z"`, `"d":"8.85s"`, `"id":"a\\n\\x1b[2J\\u009b\\u202e\\u2028\"\\xff="`, `"error":"b\\a"`, `"n":7`},
	} {
		var out bytes.Buffer
		slog.New(NewHandler(&out, format, slog.LevelInfo)).Info("hi",
			"t", time.Date(2026, 11, 23, 3, 2, 3, 4567890, time.FixedZone("", 7200)), "d", 8850*time.Millisecond+time.Microsecond,
			"id", nasty, "error", errors.New("b\a"), "n", 7)
		line, ended := strings.CutSuffix(out.String(), "\n")
		if Printable(line) != line || !ended {
			t.Errorf("%s: %q", format, out.String())
		}
		for _, w := range want {
			if !strings.Contains(line, w) {
				t.Errorf("%s: no %s in %s", format, w, line)
			}
		}
		stamp := regexp.MustCompile(`time"?[=:]"?(\S{10}T\S{8}\.\d{3}Z)`).FindStringSubmatch(line)
		if stamp == nil {
			t.Fatalf("no time in %s", line)
		}
		if at, err := time.Parse(time.RFC3339, stamp[1]); err != nil || time.Since(at).Abs() > time.Minute {
			t.Errorf("%v, %v", at, err)
		}
	}
}

// systemd's journal has a time for each line.
func TestLogInTheJournal(t *testing.T) {
	var stat unix.Stat_t
	if err := unix.Fstat(2, &stat); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		format, stream string
		timed          bool
	}{
		{"text", fmt.Sprintf("%d:%d", stat.Dev, stat.Ino), false},
		{"text", fmt.Sprintf("%d:%d", stat.Dev, stat.Ino+1), true},
		{"json", fmt.Sprintf("%d:%d", stat.Dev, stat.Ino), true},
	} {
		t.Setenv("JOURNAL_STREAM", c.stream)
		var out bytes.Buffer
		slog.New(NewHandler(&out, c.format, slog.LevelInfo)).Info("hi")
		if timed := strings.Contains(out.String(), "time"); timed != c.timed {
			t.Errorf("%+v: %s", c, out.String())
		}
	}
}
