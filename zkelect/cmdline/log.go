package cmdline

import (
	"bytes"
	"context"
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
// As text in systemd's journal it has no time. The lines of a LogWriter are made by its
// goroutine, so that what is logged has to be left as it is.
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
	log, ok := w.(*LogWriter)
	if ok {
		w = log.to
	}
	var handler slog.Handler = slog.NewTextHandler(w, options)
	if format == "json" {
		handler = slog.NewJSONHandler(w, options)
	}
	if ok {
		return &later{handler, log}
	}
	return handler
}

// later is a handler whose lines another goroutine makes: that takes most of the time
// that a line costs, which a leader has better use for.
type later struct {
	slog.Handler
	log *LogWriter
}

func (h *later) Handle(ctx context.Context, r slog.Record) error {
	r = r.Clone()
	h.log.take(func() { _ = h.Handler.Handle(ctx, r) }) // nobody to tell
	return nil
}

func (h *later) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &later{h.Handler.WithAttrs(attrs), h.log}
}

func (h *later) WithGroup(name string) slog.Handler {
	return &later{h.Handler.WithGroup(name), h.log}
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
	to      io.Writer
	mu      sync.Mutex
	lines   chan func()
	dropped int
	closed  bool
	written chan struct{}
}

// NewLogWriter starts a goroutine that writes to to until Close.
func NewLogWriter(to io.Writer) *LogWriter {
	w := &LogWriter{to: to, lines: make(chan func(), 1024), written: make(chan struct{})}
	go func() {
		defer close(w.written)
		for line := range w.lines {
			line()
		}
	}()
	return w
}

// Write takes a line. It never blocks and never fails.
func (w *LogWriter) Write(line []byte) (int, error) {
	w.take(w.text(bytes.Clone(line)))
	return len(line), nil
}

func (w *LogWriter) text(line []byte) func() {
	return func() { _, _ = w.to.Write(line) } // nobody to tell
}

// take takes what writes a line.
func (w *LogWriter) take(line func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	if w.dropped > 0 && w.put(w.text(fmt.Appendf(nil, "zkelect: %d log lines dropped: standard error was blocked\n", w.dropped))) {
		w.dropped = 0
	}
	if w.dropped > 0 || !w.put(line) {
		w.dropped++
	}
}

func (w *LogWriter) put(line func()) bool {
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
