package serve

import (
	"encoding/json"
	"log/slog"
	"os/exec"
	"strings"
	"testing"
	"time"

	"zkelect/zkelect"
	"zkelect/zkelect/role"
)

// story has a board told of events, one a second from noon on.
func story(t *testing.T, b *told, events ...zkelect.Event) {
	t.Helper()
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for i, e := range events {
		b.now = func() time.Time { return now.Add(time.Duration(i) * time.Second) }
		b.follower.Observe(e, b.now())
		b.Observe(e, b.follower.State())
	}
}

func event(kind zkelect.Kind, attrs ...slog.Attr) zkelect.Event {
	return zkelect.Event{Kind: kind, Attrs: attrs}
}

// twoTerms are a session with a term that is lost and one that goes on.
var twoTerms = []zkelect.Event{
	event(zkelect.EventConnected, slog.String("session", "0x1"), slog.Duration("timeout", 30*time.Second)),
	event(zkelect.EventJoined, slog.String("node", "/jobs/a")),
	event(zkelect.EventWaiting, slog.Int("position", 1), slog.Int("of", 3), slog.String("behind", "web1:1")),
	event(zkelect.EventSuspended),
	event(zkelect.EventReconnected),
	event(zkelect.EventLeading, slog.String("node", "/jobs/a"), slog.Int64("token", 7)), // 4 s after it joined
	event(zkelect.EventStarted, slog.Int("pid", 11)),
	event(zkelect.EventLost, slog.String("loss", "node"), slog.String("reason", "/jobs/a was deleted")),
	event(zkelect.EventKilling, slog.String("reason", "leadership is lost")),
	event(zkelect.EventReleased, slog.String("node", "/jobs/a"), slog.String("cause", "lost")), // 2 s after the loss
	event(zkelect.EventRequeue),
	event(zkelect.EventJoined, slog.String("node", "/jobs/b")),
	event(zkelect.EventExpired),
	event(zkelect.EventConnected, slog.String("session", "0x2"), slog.Duration("timeout", 20*time.Second)),
	event(zkelect.EventJoined, slog.String("node", "/jobs/c")),
	event(zkelect.EventLeading, slog.String("node", "/jobs/c"), slog.Int64("token", 9)), // 4 s after it joined first
	event(zkelect.EventStarted, slog.Int("pid", 12)),
}

// told is a board with the follower that tells it of the place.
type told struct {
	*Board
	follower role.Follower
}

func newTestBoard() *told {
	// Labels with what has to be escaped.
	return &told{Board: NewBoard(zkelect.Config{Path: `/jobs/"a\b`}, "v1.2.3\nand more")}
}

func TestMetrics(t *testing.T) {
	b := newTestBoard()
	fresh := string(b.Page("/metrics").Body)
	story(t, b, twoTerms...)
	page := b.Page("/metrics")
	if page.Code != 200 || page.Type != "text/plain; version=0.0.4; charset=utf-8" {
		t.Errorf("%d %s", page.Code, page.Type)
	}
	text := string(page.Body)
	for _, want := range []string{
		"zkelect_leader 0", // there is no candidate whose lease it could be
		`zkelect_role{role="leading"} 1`, `zkelect_role{role="waiting"} 0`,
		"zkelect_role_start_time_seconds 1.795435215e+09", "zkelect_connected 1", "zkelect_position 0",
		"zkelect_session_timeout_seconds 20", "zkelect_terms_total 2", `zkelect_term_ends_total{cause="lost"} 1`,
		`zkelect_term_ends_total{cause="exited"} 0`, `zkelect_losses_total{cause="node"} 1`, `zkelect_losses_total{cause="session"} 0`,
		"zkelect_kills_total 1", "zkelect_sessions_total 2", "zkelect_disconnections_total 1", "zkelect_reconnections_total 1",
		`zkelect_time_to_lead_seconds_bucket{le="1"} 0`, `zkelect_time_to_lead_seconds_bucket{le="5"} 2`,
		`zkelect_time_to_lead_seconds_bucket{le="+Inf"} 2`, "zkelect_time_to_lead_seconds_sum 8", "zkelect_time_to_lead_seconds_count 2",
		`zkelect_handover_seconds_bucket{le="2.5"} 1`, `zkelect_handover_seconds_bucket{le="1"} 0`, "zkelect_handover_seconds_count 1",
		`zkelect_info{id="",path="/jobs/\"a\\b",recipe="latch"} 1`,
	} {
		if !strings.Contains(text, "\n"+want+"\n") {
			t.Errorf("lacks %s", want)
		}
	}
	for _, page := range []string{fresh, text} {
		promtool := exec.Command("promtool", "check", "metrics")
		promtool.Stdin = strings.NewReader(page)
		if out, err := promtool.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("promtool check metrics: %v (Debian: apt-get install --no-install-recommends prometheus)\n%s\n%s", err, out, page)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}

func TestStatus(t *testing.T) {
	b := newTestBoard()
	var got map[string]any
	read := func() {
		got = nil
		if err := json.Unmarshal(b.Page("/status").Body, &got); err != nil {
			t.Fatal(err)
		}
	}
	check := func(want map[string]any) {
		t.Helper()
		read()
		for name, value := range want {
			if got[name] != value {
				t.Errorf("%s is %v, want %v", name, got[name], value)
			}
		}
	}
	check(map[string]any{"role": "connecting", "since": nil, "leader": false, "connected": false, "path": `/jobs/"a\b`, "recipe": "latch"})
	story(t, b, twoTerms[:3]...)
	check(map[string]any{"role": "waiting", "since": "2026-11-23T12:00:01.000Z", "connected": true, "session": "0x1", "session_timeout_seconds": 30.0,
		"position": 1.0, "of": 3.0, "behind": "web1:1", "node": "/jobs/a", "command_pid": nil, "fencing_token": nil})
	story(t, b, twoTerms[3:7]...)
	check(map[string]any{"role": "leading", "command_pid": 11.0, "fencing_token": 7.0, "position": 0.0, "terms": 1.0})
	story(t, b, twoTerms[7:10]...)
	check(map[string]any{"role": "connecting", "command_pid": nil, "fencing_token": nil, "node": nil})
}

func TestHealthAndLeader(t *testing.T) {
	b := newTestBoard()
	check := func(path string, want int) {
		t.Helper()
		if got := b.Page(path).Code; got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
	check("/healthz", 503)
	check("/leader", 503)
	story(t, b, twoTerms[:3]...)
	check("/healthz", 200)
	story(t, b, twoTerms[3])
	check("/healthz", 503)
	story(t, b, twoTerms[4:7]...)
	check("/healthz", 200)
	check("/leader", 503) // whatever the events say, the lease decides
	if b.Page("/nowhere") != nil {
		t.Error("there is a page nowhere")
	}
}
