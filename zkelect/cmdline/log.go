package cmdline

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// stampFormat is how times are written: the same on every host, to the millisecond.
const stampFormat = "2006-01-02T15:04:05.000Z"

// NewHandler is the handler of a log, on standard error, in the format text or json.
// As text in systemd's journal it has no time.
func NewHandler(w io.Writer, format string, level slog.Level) slog.Handler {
	journal := format != "json" && toJournal(os.Stderr)
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		switch {
		case journal && a.Key == slog.TimeKey: // which has its own
			return slog.Attr{}
		case a.Value.Kind() == slog.KindTime:
			a.Value = slog.StringValue(a.Value.Time().UTC().Format(stampFormat))
		case a.Value.Kind() == slog.KindDuration: // else JSON has nanoseconds
			a.Value = slog.StringValue(a.Value.Duration().Round(time.Millisecond).String())
		case a.Value.Kind() == slog.KindString:
			a.Value = slog.StringValue(Printable(a.Value.String()))
		default:
			if err, ok := a.Value.Any().(error); ok {
				a.Value = slog.StringValue(Printable(err.Error()))
			}
		}
		return a
	}}
	if format == "json" {
		return slog.NewJSONHandler(w, options)
	}
	return slog.NewTextHandler(w, options)
}

// toJournal tells whether f is what systemd says is the way to its journal: a stream
// by device and inode. See systemd.exec(5).
func toJournal(f *os.File) bool {
	stream := os.Getenv("JOURNAL_STREAM")
	if stream == "" {
		return false // before Fd, which makes the file blocking for all who have it
	}
	var stat unix.Stat_t
	err := unix.Fstat(int(f.Fd()), &stat)
	return err == nil && stream == fmt.Sprintf("%d:%d", stat.Dev, stat.Ino)
}

// LogWriter keeps whoever reads our standard error, a pager or a full pipe,
// from holding up who writes a log: a leader's lease would run out meanwhile.
// Lines that find no room are dropped and counted.
type LogWriter struct {
	mu      sync.Mutex
	lines   chan []byte
	dropped int
	closed  bool
	written chan struct{}
}

// NewLogWriter starts a goroutine that writes to to until Close.
func NewLogWriter(to io.Writer) *LogWriter {
	w := &LogWriter{lines: make(chan []byte, 1024), written: make(chan struct{})}
	go func() {
		defer close(w.written)
		for line := range w.lines {
			_, _ = to.Write(line) // nobody to tell
		}
	}()
	return w
}

// Write takes a line. It never blocks and never fails.
func (w *LogWriter) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return len(line), nil
	}
	if w.dropped > 0 && w.put(fmt.Appendf(nil, "zkelect: %d log lines dropped: standard error was blocked\n", w.dropped)) {
		w.dropped = 0
	}
	if w.dropped > 0 || !w.put(bytes.Clone(line)) {
		w.dropped++
	}
	return len(line), nil
}

func (w *LogWriter) put(line []byte) bool {
	select {
	case w.lines <- line:
		return true
	default:
		return false
	}
}

// Close writes what is left, for a second where nobody reads.
func (w *LogWriter) Close() {
	w.mu.Lock()
	w.closed = true
	close(w.lines)
	w.mu.Unlock()
	select {
	case <-w.written:
	case <-time.After(time.Second):
	}
}
