package zktest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"golang.org/x/sys/unix"
)

// probeBound limits each question to a server: a stopped one still accepts
// connections, by its kernel, and would hold the asker for ever.
const probeBound = time.Second

// FourLetter sends one of ZooKeeper's four letter words and returns the answer.
func (s *Server) FourLetter(cmd string) (string, error) { return fourLetter(s.Addr(), cmd, probeBound) }

func fourLetter(addr, cmd string, bound time.Duration) (string, error) {
	conn, err := net.DialTimeout("tcp", addr, bound)
	if err != nil {
		return "", fmt.Errorf("ask %s: %w", cmd, err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(bound)); err != nil {
		return "", fmt.Errorf("ask %s: %w", cmd, err)
	}
	if _, err := io.WriteString(conn, cmd); err != nil {
		return "", fmt.Errorf("ask %s: %w", cmd, err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		return "", fmt.Errorf("ask %s: %w", cmd, err)
	}
	return string(answer), nil
}

// Mode returns "standalone", "leader" or "follower", and "" while the server
// serves nobody: `ruok` is answered before that, `srvr` names a mode only then.
func (s *Server) Mode() string { return s.mode(probeBound) }

func (s *Server) mode(bound time.Duration) string {
	answer, err := fourLetter(s.Addr(), "srvr", bound)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(answer) {
		if mode, ok := strings.CutPrefix(line, "Mode: "); ok {
			return strings.TrimSpace(mode)
		}
	}
	return ""
}

// A Moment is one point in time on two clocks. They differ by the time that the
// host has spent suspended.
type Moment struct {
	Mono int64 // CLOCK_MONOTONIC, ns
	Boot int64 // CLOCK_BOOTTIME, ns
}

// Now returns the present moment.
func Now() Moment { return Moment{Mono: nanos(unix.CLOCK_MONOTONIC), Boot: Stamp()} }

// Stamp returns CLOCK_BOOTTIME in nanoseconds: one clock for all processes of
// the host, so that a child's last sign of life compares with a probe's moment.
func Stamp() int64 { return nanos(unix.CLOCK_BOOTTIME) }

func nanos(clock int32) int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(clock, &ts); err != nil {
		panic(fmt.Sprintf("zktest: clock_gettime(%d): %v", clock, err)) // only on a kernel without it
	}
	return ts.Nano()
}

// DeletedAt returns a channel that gets the moment at which the node vanished
// from this server, seen by a watch of a session of its own, connected directly.
// The moment is late by that event's way, a millisecond or so, never early. The
// node must exist. A channel closed without a moment means that the session was
// lost, or the test over.
func (s *Server) DeletedAt(tb testing.TB, path string) <-chan Moment {
	tb.Helper()
	moments, stop, err := WatchDeletion(s.Addr(), path)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(stop)
	return moments
}

// WatchDeletion is [Server.DeletedAt] for any address, to be ended by stop.
func WatchDeletion(addr, path string) (moments <-chan Moment, stop func(), err error) {
	c, err := dial(30*time.Second, addr)
	if err != nil {
		return nil, nil, err
	}
	events, err := watchNode(c.Conn, path)
	if errors.Is(err, zk.ErrNoNode) { // a follower that has not heard of it yet
		if _, err = c.Sync(path); err == nil {
			events, err = watchNode(c.Conn, path)
		}
	}
	if err != nil {
		c.close()
		return nil, nil, fmt.Errorf("watch %s: %w", path, err)
	}
	out := make(chan Moment, 1)
	go func() {
		defer close(out)
		awaitDeletion(c.Conn, path, events, out)
	}()
	return out, c.close, nil
}

func awaitDeletion(c *zk.Conn, path string, events <-chan zk.Event, out chan<- Moment) {
	for {
		e, ok := <-events
		seen := Now() // before anything else: this is the measurement
		switch {
		case !ok || e.Err != nil: // the library gave the watch up: session lost, or closed
			return
		case e.Type == zk.EventNodeDeleted:
			out <- seen
			return
		}
		// Its data changed, and that spent the watch. Where the node went before
		// the next one was set, the moment of finding that out counts.
		var err error
		events, err = watchNode(c, path)
		if errors.Is(err, zk.ErrNoNode) {
			out <- Now()
		}
		if err != nil {
			return
		}
	}
}

// watchNode sets a watch on a node that exists. It leaves none on a missing one.
func watchNode(c *zk.Conn, path string) (<-chan zk.Event, error) {
	_, _, events, err := c.GetW(path)
	return events, err
}
