package serve

import (
	"bytes"
	"log/slog"
	"maps"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"zkelect/zkelect"
	"zkelect/zkelect/cmdline"
	"zkelect/zkelect/role"
)

// Paths are the pages that there are.
var Paths = []string{"/leader", "/healthz", "/status", "/metrics"}

// Board is what is shown of a participant: what its candidate tells when asked, its
// place, and what has happened since the start.
type Board struct {
	Election zkelect.Config // its path and recipe
	Version  string         // of the program

	now func() time.Time // what tests replace

	mu        sync.Mutex
	candidate *zkelect.Candidate // nil until it contends
	place     role.State
	tallies
}

// tallies are what the events add up to.
type tallies struct {
	timeout time.Duration // of the session
	command int           // the pid of the open term's command; 0: none was started

	terms, kills, freezes, skips, sessions, cuts, reconnections uint64

	ends   map[zkelect.Cause]uint64 // of terms
	losses map[zkelect.Loss]uint64

	waits, stops         time.Time // since when; zero while it does not
	timeToLead, handover *histogram
}

// NewBoard is a board of a participant that has not begun.
func NewBoard(election zkelect.Config, version string) *Board {
	b := &Board{Election: election, Version: version, now: now, tallies: tallies{
		ends: map[zkelect.Cause]uint64{}, losses: map[zkelect.Loss]uint64{},
		// From a free election to a week in the queue.
		timeToLead: newHistogram(0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800, 3600, 21600, 86400, 604800),
		handover:   newHistogram(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
	}}
	// All that there may be, from the start: a counter that appears with its first
	// event has no rise that Prometheus could see.
	for _, cause := range []zkelect.Cause{zkelect.CauseExited, zkelect.CauseSignalled, zkelect.CauseStopped,
		zkelect.CauseResigned, zkelect.CauseLost, zkelect.CauseFenceFailed, zkelect.CauseError} {
		b.ends[cause] = 0
	}
	for _, loss := range zkelect.Losses {
		b.losses[loss] = 0
	}
	return b
}

// Contends takes the candidate that is shown.
func (b *Board) Contends(c *zkelect.Candidate) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.candidate = c
}

// now is a clock for how long things took: it is monotonic.
func now() time.Time { return time.Now() }

// Observe takes an event, and the place in which it left the candidate.
func (b *Board) Observe(e zkelect.Event, place role.State) {
	now := b.now()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.place = place
	switch e.Kind {
	case zkelect.EventConnected:
		b.sessions++
		if v := e.Attr("timeout"); v.Kind() == slog.KindDuration {
			b.timeout = v.Duration()
		}
	case zkelect.EventSuspended:
		b.cuts++
	case zkelect.EventReconnected:
		b.reconnections++
	case zkelect.EventJoined, zkelect.EventWaiting:
		if b.waits.IsZero() { // not again after a loss of the place
			b.waits = now
		}
	case zkelect.EventLeading:
		b.terms++
		if !b.waits.IsZero() {
			b.timeToLead.observe(now.Sub(b.waits).Seconds())
		}
		b.waits, b.stops = time.Time{}, time.Time{}
	case zkelect.EventStarted:
		b.command = int(e.Attr("pid").Int64())
	case zkelect.EventFrozen:
		b.freezes++
	case zkelect.EventLost:
		b.losses[zkelect.Loss(e.Attr("loss").String())]++
		b.stopsAt(now)
	case zkelect.EventStopping:
		b.stopsAt(now)
	case zkelect.EventKilling:
		b.kills++
		b.stopsAt(now)
	case zkelect.EventSkipped:
		b.skips++
	case zkelect.EventReleased, zkelect.EventUnreleased:
		b.ends[zkelect.Cause(e.Attr("cause").String())]++
		if e.Kind == zkelect.EventReleased && !b.stops.IsZero() {
			b.handover.observe(now.Sub(b.stops).Seconds())
		}
		b.command, b.stops = 0, time.Time{}
	}
}

func (b *Board) stopsAt(now time.Time) {
	if b.stops.IsZero() {
		b.stops = now
	}
}

// Page is the page of that path, nil where there is none.
func (b *Board) Page(path string) *Page {
	switch path {
	case "/leader":
		return verdict(b.leads(), "leading", "not leading")
	case "/healthz":
		return verdict(b.connected(), "connected", "not connected")
	case "/status":
		return b.status()
	case "/metrics":
		return b.metrics()
	}
	return nil
}

func verdict(yes bool, ifSo, ifNot string) *Page {
	if yes {
		return text(200, ifSo)
	}
	return text(503, ifNot)
}

// leads asks the candidate, who compares the lease with the clock.
func (b *Board) leads() bool {
	b.mu.Lock()
	c := b.candidate
	b.mu.Unlock()
	return c != nil && c.HasLeadership()
}

func (b *Board) connected() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.place.Connected
}

// view is a look at all of it.
type view struct {
	role.State
	tallies
	id        string
	leads     bool
	stop, end time.Duration // left of the lease
}

// look takes a copy, so that no page holds up the candidate, which tells of events.
func (b *Board) look() view {
	b.mu.Lock()
	defer b.mu.Unlock()
	v := view{State: b.place, tallies: b.tallies}
	v.ends, v.losses = maps.Clone(v.ends), maps.Clone(v.losses)
	v.timeToLead, v.handover = v.timeToLead.clone(), v.handover.clone()
	if c := b.candidate; c != nil {
		v.id, v.leads = c.ID(), c.HasLeadership()
		v.stop, v.end = c.LeaseLeft()
	}
	return v
}

// statusView is /status, with the names of `status -o json` where it has them.
type statusView struct {
	ID        string         `json:"id"`
	Host      string         `json:"host,omitempty"`
	PID       int            `json:"pid"`
	Path      string         `json:"path"`
	Recipe    string         `json:"recipe"`
	Role      string         `json:"role"`
	Leader    bool           `json:"leader"`
	Since     *cmdline.Stamp `json:"since"`
	Connected bool           `json:"connected"`
	Session   string         `json:"session,omitempty"`
	Timeout   float64        `json:"session_timeout_seconds,omitempty"`
	Node      string         `json:"node,omitempty"`
	Token     int64          `json:"fencing_token,omitempty"`
	Position  int            `json:"position"`
	Of        int            `json:"of"`
	Behind    string         `json:"behind,omitempty"`
	Held      string         `json:"held_by,omitempty"`
	Lease     float64        `json:"lease_seconds"`
	Stop      float64        `json:"stop_seconds"`
	Command   int            `json:"command_pid,omitempty"`
	Terms     uint64         `json:"terms"`
	Version   string         `json:"version"`
}

func (b *Board) status() *Page {
	v := b.look()
	host, _ := os.Hostname()
	s := statusView{
		ID: v.id, Host: host, PID: os.Getpid(), Path: b.Election.Path, Recipe: b.Election.Recipe.String(),
		Role: v.Role.String(), Leader: v.leads, Connected: v.Connected, Session: v.Session, Timeout: v.timeout.Seconds(),
		Node: v.Node, Token: v.Token, Position: v.Ahead, Of: v.Of, Behind: v.Behind, Held: v.Held,
		Lease: seconds(v.end), Stop: seconds(v.stop), Command: v.command, Terms: v.terms, Version: b.Version,
	}
	if !v.Since.IsZero() {
		s.Since = (*cmdline.Stamp)(&v.Since)
	}
	var body bytes.Buffer
	if err := cmdline.WriteJSON(&body, s); err != nil {
		return text(500, err.Error())
	}
	return &Page{Code: 200, Type: "application/json", Body: body.Bytes()}
}

// seconds are those of d, in milliseconds.
func seconds(d time.Duration) float64 { return d.Round(time.Millisecond).Seconds() }

func (b *Board) metrics() *Page {
	v := b.look()
	var x exposition
	x.one("zkelect_leader", "gauge", "Whether it leads, by its lease: what /leader says.", truth(v.leads))
	x.family("zkelect_role", "gauge", "1 for what the participant does now, 0 for the other roles.")
	for r := role.Connecting; r <= role.Stopping; r++ {
		x.sample("zkelect_role", truth(v.Role == r), "role", r.String())
	}
	if !v.Since.IsZero() {
		x.one("zkelect_role_start_time_seconds", "gauge", "When it took its role, in seconds since 1970.", float64(v.Since.UnixMilli())/1000)
	}
	x.one("zkelect_connected", "gauge", "Whether the session is usable: what /healthz says.", truth(v.Connected))
	x.one("zkelect_position", "gauge", "Participants before this one when it last looked at the queue; 0 for the first.", float64(v.Ahead))
	x.one("zkelect_held", "gauge", "Whether it would lead, and the election is held (resign --hold).", truth(v.Held != ""))
	x.one("zkelect_session_timeout_seconds", "gauge", "The session timeout that the servers granted; 0 before the first session.", v.timeout.Seconds())
	x.one("zkelect_lease_remaining_seconds", "gauge", "Until the lease is over and the command has to be dead, unless a heartbeat is answered; 0 without a term.", seconds(v.end))
	x.one("zkelect_stop_remaining_seconds", "gauge", "Until the stop of the command begins, unless a heartbeat is answered; 0 without a term.", seconds(v.stop))
	x.one("zkelect_terms_total", "counter", "Terms that were opened.", float64(v.terms))
	x.family("zkelect_term_ends_total", "counter", "Terms that ended, by cause.")
	for _, cause := range slices.Sorted(maps.Keys(v.ends)) {
		x.sample("zkelect_term_ends_total", float64(v.ends[cause]), "cause", string(cause))
	}
	x.family("zkelect_losses_total", "counter", "Losses of leadership, by what it was lost by.")
	for _, loss := range slices.Sorted(maps.Keys(v.losses)) {
		x.sample("zkelect_losses_total", float64(v.losses[loss]), "cause", string(loss))
	}
	x.one("zkelect_kills_total", "counter", "Commands that were killed, at a loss or since they did not end in their grace.", float64(v.kills))
	x.one("zkelect_freezes_total", "counter", "Times that the command was frozen (--on-suspend freeze).", float64(v.freezes))
	x.one("zkelect_skips_total", "counter", "Times that the command was skipped, since it had run lately.", float64(v.skips))
	x.one("zkelect_sessions_total", "counter", "ZooKeeper sessions made.", float64(v.sessions))
	x.one("zkelect_disconnections_total", "counter", "Connections lost while the session may have lived.", float64(v.cuts))
	x.one("zkelect_reconnections_total", "counter", "Connections made again in the same session.", float64(v.reconnections))
	x.histogram("zkelect_time_to_lead_seconds", "From joining the queue to the opening of the term.", v.timeToLead)
	x.histogram("zkelect_handover_seconds", "From the beginning of a term's stop to its release, when the next one can lead.", v.handover)
	x.one("zkelect_info", "gauge", "1; its labels say who this is.", 1, "id", v.id, "path", b.Election.Path, "recipe", b.Election.Recipe.String())
	x.one("zkelect_build_info", "gauge", "1; its labels are the program's version and Go's.", 1, "version", b.Version, "goversion", runtime.Version())
	return &Page{Code: 200, Type: expositionType, Body: []byte(x.String())}
}

func truth(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
