package role

import (
	"log/slog"
	"testing"
	"time"

	"zkelect/zkelect"
)

// TestFollower: a life, step by step.
func TestFollower(t *testing.T) {
	var f Follower
	start := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	joined := State{Role: Waiting, Connected: true, Session: "0x1", Node: "/jobs/a"}
	waits := joined
	waits.Ahead, waits.Of, waits.Behind = 2, 4, "web1:1"
	cut := waits
	cut.Connected = false
	held := joined
	held.Held = "web9:7"
	leads := State{Role: Leading, Connected: true, Session: "0x1", Node: "/jobs/a", Token: 7}
	stops := leads
	stops.Role = Stopping
	over := stops
	over.Connected = false
	for i, step := range []struct {
		kind  zkelect.Kind
		attrs []slog.Attr
		want  State
		since int // the step at which the role was taken
	}{
		{zkelect.EventConnected, []slog.Attr{slog.String("session", "0x1")}, State{Connected: true, Session: "0x1"}, 0},
		{zkelect.EventJoined, []slog.Attr{slog.String("node", "/jobs/a")}, joined, 1},
		{zkelect.EventWaiting, []slog.Attr{slog.Int("position", 2), slog.Int("of", 4), slog.String("behind", "web1:1")}, waits, 1},
		{zkelect.EventRetry, []slog.Attr{slog.String("node", "x")}, waits, 1},
		{zkelect.EventSuspended, nil, cut, 1},
		{zkelect.EventReconnected, nil, waits, 1},
		{zkelect.EventHeld, []slog.Attr{slog.String("by", "web9:7")}, held, 1},
		{zkelect.EventHoldOver, nil, joined, 1},
		{zkelect.EventLeading, []slog.Attr{slog.String("node", "/jobs/a"), slog.Int64("token", 7)}, leads, 8},
		{zkelect.EventStarted, nil, leads, 8},
		{zkelect.EventStopping, nil, stops, 10},
		{zkelect.EventKilling, nil, stops, 10},
		{zkelect.EventReleased, nil, State{Connected: true, Session: "0x1"}, 12},
		{zkelect.EventJoined, []slog.Attr{slog.String("node", "/jobs/a")}, joined, 13},
		{zkelect.EventExpired, nil, State{}, 14},
		{zkelect.EventWaiting, []slog.Attr{slog.String("behind", "web1:1")}, State{Role: Waiting, Behind: "web1:1"}, 15}, // recipe plain
		{zkelect.EventConnected, []slog.Attr{slog.String("session", "0x1")}, State{Role: Waiting, Connected: true, Session: "0x1", Behind: "web1:1"}, 15},
		{zkelect.EventLeading, []slog.Attr{slog.String("node", "/jobs/a"), slog.Int64("token", 7)}, leads, 17},
		{zkelect.EventLost, []slog.Attr{slog.String("loss", string(zkelect.LossNode))}, stops, 18},
		{zkelect.EventLost, []slog.Attr{slog.String("loss", string(zkelect.LossSession))}, over, 18},
		{zkelect.EventUnreleased, nil, State{Session: "0x1"}, 20},
	} {
		before := f.State()
		changed := f.Observe(zkelect.Event{Kind: step.kind, Attrs: step.attrs}, start.Add(time.Duration(i)*time.Second))
		step.want.Since = start.Add(time.Duration(step.since) * time.Second)
		if got := f.State(); got != step.want || changed != (got != before) {
			t.Errorf("step %d, %v: %+v, changed %v; want %+v", i, step.kind, got, changed, step.want)
		}
	}
}
