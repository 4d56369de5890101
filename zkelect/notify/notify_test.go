package notify

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"zkelect/zkelect"
	"zkelect/zkelect/role"
)

// systemd is the other end: a real datagram socket, at a path or an abstract name.
func systemd(t *testing.T, abstract bool) *net.UnixConn {
	t.Helper()
	name := filepath.Join(t.TempDir(), "notify")
	if abstract {
		name = fmt.Sprintf("@zkelect-%d-%s", os.Getpid(), t.Name())
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", name)
	return conn
}

// heard is the next message, "" where none comes within a time.
func heard(t *testing.T, conn *net.UnixConn, within time.Duration) string {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(within))
	b := make([]byte, 4096)
	n, err := conn.Read(b)
	if err != nil {
		return ""
	}
	return string(b[:n])
}

const soon = 30 * time.Second

func expect(t *testing.T, conn *net.UnixConn, want string) {
	t.Helper()
	if got := heard(t, conn, soon); got != want {
		t.Fatalf("heard %q, want %q", got, want)
	}
}

func event(k zkelect.Kind, attrs ...slog.Attr) zkelect.Event {
	return zkelect.Event{Kind: k, Attrs: attrs}
}

// TestNotifier: a life as systemd hears of it.
func TestNotifier(t *testing.T) {
	for _, abstract := range []bool{false, true} {
		t.Run(fmt.Sprint("abstract ", abstract), func(t *testing.T) {
			conn := systemd(t, abstract)
			t.Setenv("WATCHDOG_USEC", "")
			n := New(Options{Log: slog.New(slog.DiscardHandler), StopTimeout: 5 * time.Second})
			if n.Pulse() != nil {
				t.Error("asked for a pulse without a watchdog")
			}
			at := time.Date(2026, 11, 23, 1, 2, 3, 4, time.FixedZone("", 3600))
			s := role.State{Role: role.Connecting, Connected: true, Session: "0x1"}
			n.Observe(event(zkelect.EventConnected), s)
			expect(t, conn, "STATUS=joining the queue")
			s.Role = role.Waiting
			n.Observe(event(zkelect.EventJoined), s)
			expect(t, conn, "READY=1\nSTATUS=in the queue")
			s.Ahead, s.Of, s.Behind = 1, 4, "web1:7"
			n.Observe(event(zkelect.EventWaiting), s)
			expect(t, conn, "STATUS=waiting, 2nd of 5, behind web1:7")
			n.Observe(event(zkelect.EventRetry), s) // changes nothing
			s.Connected = false
			n.Observe(event(zkelect.EventSuspended), s)
			expect(t, conn, "STATUS=waiting, 2nd of 5, behind web1:7; connection lost, reconnecting")
			held := role.State{Role: role.Waiting, Connected: true, Held: "ops"}
			n.Observe(event(zkelect.EventHeld), held)
			expect(t, conn, "STATUS=first, but the election is held by ops")
			s = role.State{Role: role.Leading, Since: at, Token: 77, Connected: true, Session: "0x1"}
			n.Observe(event(zkelect.EventLeading), s)
			expect(t, conn, "STATUS=leader since 2026-11-23T00:02:03Z, token 77")
			n.Observe(event(zkelect.EventTakeover, slog.Time("until", at)), s)
			expect(t, conn, "STATUS=leader since 2026-11-23T00:02:03Z, token 77; the command starts at 2026-11-23T00:02:03Z")
			n.Observe(event(zkelect.EventStarted), s)
			expect(t, conn, "STATUS=leader since 2026-11-23T00:02:03Z, token 77")
			s = role.State{Connected: true, Session: "0x1"}
			n.Observe(event(zkelect.EventRequeue, slog.String("cause", "resigned")), s)
			expect(t, conn, "STATUS=joining the queue; ended by cause resigned, contending again")
			s.Role = role.Waiting
			n.Observe(event(zkelect.EventJoined), s) // ready before
			expect(t, conn, "STATUS=in the queue")
			s.Role, s.Since = role.Stopping, at
			n.Observe(event(zkelect.EventStopping, slog.String("cause", "stopped")), s)
			expect(t, conn, "STOPPING=1\nEXTEND_TIMEOUT_USEC=13000000\nSTATUS=stopping since 2026-11-23T00:02:03Z; cause stopped")
			n.Close("ended: stopped")
			n.Observe(event(zkelect.EventRetry), role.State{})
			expect(t, conn, "STATUS=ended: stopped")
		})
	}
}

// With recipe plain whoever waits has no node.
func TestNotifierPlain(t *testing.T) {
	conn := systemd(t, false)
	n := New(Options{Log: slog.New(slog.DiscardHandler)})
	n.Observe(event(zkelect.EventWaiting), role.State{Role: role.Waiting, Connected: true, Behind: "a"})
	expect(t, conn, "READY=1\nSTATUS=waiting behind a")
	n.Close("ended")
}

// A run that fails before it is ready says only that it ends.
func TestNotifierNeverReady(t *testing.T) {
	conn := systemd(t, false)
	n := New(Options{Log: slog.New(slog.DiscardHandler)})
	n.Close("ended: error")
	expect(t, conn, "STOPPING=1\nEXTEND_TIMEOUT_USEC=8000000\nSTATUS=ended: error")
}

// The watchdog hears of a loop that answers, and of no other.
func TestWatchdog(t *testing.T) {
	conn := systemd(t, false)
	t.Setenv("WATCHDOG_USEC", "300000")
	t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
	n := New(Options{Log: slog.New(slog.DiscardHandler)})
	turns := make(chan bool) // the loop
	go func() {
		pulse := n.Pulse()
		for turning := range turns {
			for turning {
				select {
				case <-pulse:
				case turning = <-turns:
				}
			}
		}
	}()
	for range 2 {
		turns <- true
		for range 3 {
			expect(t, conn, "WATCHDOG=1")
		}
		turns <- false
		for heard(t, conn, 100*time.Millisecond) != "" { // what was said before
		}
		if got := heard(t, conn, time.Second); got != "" {
			t.Fatalf("heard %q of a loop that hangs", got)
		}
	}
	close(turns)
	n.Close("ended")

	t.Setenv("WATCHDOG_PID", "1")
	n = New(Options{Log: slog.New(slog.DiscardHandler)})
	if n.Pulse() != nil {
		t.Error("the watchdog of another process")
	}
	n.Close("ended")
}

// Nobody reads, or nobody is there: a run goes on, and says so once.
func TestNobodyListens(t *testing.T) {
	conn := systemd(t, false)
	var log bytes.Buffer
	n := New(Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	begin := time.Now()
	for i := range 2000 { // more than a socket holds
		n.Observe(event(zkelect.EventWaiting), role.State{Role: role.Waiting, Ahead: i + 1, Of: 2000})
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Error("held up for", took)
	}
	conn.Close()
	for range 3 {
		n.Observe(event(zkelect.EventConnected), role.State{Session: fmt.Sprint(time.Now()), Connected: true})
		time.Sleep(10 * time.Millisecond)
	}
	n.Close("ended")
	select {
	case <-n.finished:
	case <-time.After(soon):
		t.Fatal("it speaks for ever")
	}
	if lines := strings.Count(log.String(), "\n"); lines != 1 || !strings.Contains(log.String(), "systemd cannot be told") {
		t.Errorf("%d lines: %s", lines, log.String())
	}

	t.Setenv("NOTIFY_SOCKET", "")
	if n := New(Options{}); n != nil || n.Pulse() != nil {
		t.Error("speaks where no systemd is")
	} else {
		n.Observe(zkelect.Event{}, role.State{})
		n.Close("")
	}
}

func TestOrdinal(t *testing.T) {
	for n, want := range map[int]string{1: "1st", 2: "2nd", 3: "3rd", 4: "4th", 11: "11th", 12: "12th", 13: "13th", 21: "21st", 102: "102nd", 111: "111th", 113: "113th", 1001: "1001st"} {
		if got := ordinal(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}
