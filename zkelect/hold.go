package zkelect

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
	"unicode/utf8"

	"github.com/go-zookeeper/zk"
)

// Hold keeps everybody from leading an election, until its time is over or
// somebody removes it. Those who wait keep their places.
type Hold struct {
	ID     string     `json:"id"` // who holds it: HOST:PID of the resignation
	Host   string     `json:"host,omitempty"`
	PID    int        `json:"pid,omitempty"`
	Reason string     `json:"reason,omitempty"`
	Since  time.Time  `json:"since"` // by the servers' clock
	Until  *time.Time `json:"until"` // likewise; nil: until it is removed
}

// String is the hold in words, without the election's name.
func (h *Hold) String() string {
	text := fmt.Sprintf("held by %s since %s", h.ID, h.Since.UTC().Format(time.RFC3339))
	if h.Until != nil {
		text += " until " + h.Until.UTC().Format(time.RFC3339)
	}
	if h.Reason != "" {
		text += ": " + h.Reason
	}
	return text
}

// Over tells whether the time of the hold is over at a time of the servers'.
func (h *Hold) Over(now time.Time) bool { return h.Until != nil && !now.Before(*h.Until) }

// HoldConfig is a hold as it is asked for.
type HoldConfig struct {
	// For is how long it lasts, at most 100000 days. 0: until it is removed.
	For time.Duration
	// Reason is for people, UTF-8 of at most 1000 bytes.
	Reason string
}

const (
	maxHold   = 100_000 * 24 * time.Hour
	maxReason = 1000
)

func (h *HoldConfig) validate() error {
	switch {
	case h.For < 0 || h.For > maxHold:
		return fmt.Errorf("%w: a hold of %v; give at most 100000 days, or 0 for one without an end", ErrConfig, h.For)
	case h.For > 0 && h.For < time.Millisecond:
		return fmt.Errorf("%w: a hold of %v is shorter than 1ms", ErrConfig, h.For)
	case len(h.Reason) > maxReason:
		return fmt.Errorf("%w: a reason of %d bytes; give at most %d", ErrConfig, len(h.Reason), maxReason)
	case !utf8.ValidString(h.Reason):
		return fmt.Errorf("%w: the reason %q is not UTF-8", ErrConfig, h.Reason)
	}
	return nil
}

// holdRecord is a hold as the record has it.
type holdRecord struct {
	Key    string     `json:"key"` // never used twice, so that who lost the answer knows its own
	ID     string     `json:"id"`
	Host   string     `json:"host,omitempty"`
	PID    int        `json:"pid,omitempty"`
	Reason string     `json:"reason,omitempty"`
	For    int64      `json:"for_ms,omitempty"` // from since on; 0: until it is removed
	Since  *time.Time `json:"since,omitempty"`  // filled in by the next writer
}

func (h HoldConfig) record() *holdRecord {
	r := &holdRecord{Key: newUUID(false), ID: DefaultID(), Reason: h.Reason, For: h.For.Milliseconds()}
	r.Host, r.PID = self()
	return r
}

// until is when it is over, nil where that is never. What has no time that can be
// understood is never over: better that somebody has to remove it.
func (h *holdRecord) until() *time.Time {
	if h.For <= 0 || h.Since == nil {
		return nil
	}
	until := h.Since.Add(time.Duration(min(h.For, maxHold.Milliseconds())) * time.Millisecond)
	return &until
}

// view is the hold as it is shown.
func (h *holdRecord) view() *Hold {
	if h == nil {
		return nil
	}
	v := &Hold{ID: printable([]byte(h.ID)), Host: printable([]byte(h.Host)), PID: h.PID, Reason: printableText(h.Reason, maxReason), Until: h.until()}
	if h.Since != nil {
		v.Since = *h.Since
	}
	return v
}

// held is the record with a hold, or without one. Nothing else is changed: the
// leader ends its term because of what it finds there.
func (r *record) held(h *holdRecord) *record {
	next := *r
	next.Hold = h
	return &next
}

// ends tells whether the term is to end, whoever dies: its leader has begun to, or
// finds a hold. An opening leaves none in the record, so that is younger than the
// term.
func (r *record) ends() bool { return r.Term.Begun != nil || r.Hold != nil }

// clock is the servers' time of a transaction that leaves nothing. It comes from the
// leader of the ensemble, as the times of all nodes do.
func (p place) clock(ctx context.Context, s session) (time.Time, error) {
	node := p.side + "/clock-" + newUUID(false)
	res, err := read(ctx, s, func() ([]zk.MultiResponse, error) {
		return s.multi(ctx, create(node, "", zk.FlagEphemeral), &zk.SetDataRequest{Path: node, Version: -1}, remove(node))
	})
	if err != nil {
		return time.Time{}, denied(err, "ask for the time in", p.side)
	}
	return msTime(res[1].Stat.Mtime), nil
}

// left is how much of a hold is left, 0 where it is over; never where it has no end.
// The time that was asked for is older when it is compared, so what is left is
// not more than that.
func (p place) left(ctx context.Context, s session, h *holdRecord) (time.Duration, error) {
	until := h.until()
	if until == nil {
		return never, nil
	}
	now, err := p.clock(ctx, s)
	if err != nil {
		return 0, err
	}
	return max(0, until.Sub(now)), nil
}

// heldLook is how long a candidate waits for the end of a hold before it asks the
// servers for their time again: its clock and theirs are not equally fast.
const heldLook = 24 * time.Hour

// heldTick bounds a timer of the wait: Go's stand still while the host is suspended.
const heldTick = 10 * time.Second

// heldBack waits while a hold keeps this candidate, which is first, from opening a
// term. It returns true where none does: then the opening may be sent that names the
// version. Else the record has to be read again.
func (c *Candidate) heldBack(ctx context.Context, name string, rec *record, version int32) (free bool, err error) {
	h := rec.Hold
	if h == nil {
		c.goesOn()
		return true, nil
	}
	left, err := c.place.left(ctx, c.sess, h)
	switch {
	case errors.Is(err, zk.ErrNoNode): // the side node was deleted by hand
		return false, nil
	case err != nil:
		return false, err
	case left == 0:
		c.goesOn()
		return true, nil
	case c.cfg.NoWait:
		return false, &notLeader{path: c.cfg.Path, hold: h.view()}
	}
	end := c.now() + min(left, heldLook)
	if c.held != h.Key {
		c.held = h.Key
		c.cfg.emit(EventHeld, h.view().heldAttrs()...)
	}

	_, _, lost := c.sess.status()
	_, stat, changed, err := c.sess.getW(ctx, c.place.side)
	if err == nil && stat.Version != version {
		return false, nil
	}
	var own <-chan zk.EventType
	if err == nil {
		_, stat, own, err = c.sess.getW(ctx, c.place.node(name))
		if errors.Is(err, zk.ErrNoNode) || err == nil && stat.EphemeralOwner != c.sess.id() {
			return false, errPlaceLost
		}
	}
	switch {
	case errors.Is(err, zk.ErrNoNode):
		return false, nil
	case ambiguous(err):
		return false, pauseAfter(ctx, c.sess)
	case err != nil:
		return false, denied(err, "read", c.place.side)
	}
	for c.now() < end {
		timer := time.NewTimer(min(end-c.now(), heldTick))
		select {
		case <-timer.C:
			continue
		case <-pulse(ctx):
			timer.Stop()
			continue
		case <-changed:
		case <-own:
		case <-lost:
			err = c.reconnected(ctx)
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		timer.Stop()
		return false, err
	}
	return false, nil
}

// goesOn tells, once, that a hold that was told of is over.
func (c *Candidate) goesOn() {
	if c.held != "" {
		c.held = ""
		c.cfg.emit(EventHoldOver)
	}
}

// attrs are the hold in a log. One without an end has no time of it.
func (h *Hold) heldAttrs() []slog.Attr {
	attrs := []slog.Attr{slog.String("by", h.ID)}
	if h.Reason != "" {
		attrs = append(attrs, slog.String("reason", h.Reason))
	}
	if h.Until != nil {
		attrs = append(attrs, slog.Time("until", h.Until.UTC()))
	}
	return attrs
}

// disobeys are those in the queue that know no holds.
func (s *snapshot) disobeys() []Participant {
	var others []Participant
	for n, p := range s.Participants {
		zkelect := s.queue[n].ours()
		if s.family == familyPlain {
			// A zkelect that waits there leaves no other trace than why it does.
			zkelect = s.ours || s.live != "" || s.rec != nil && s.rec.Hold != nil
		}
		if !zkelect {
			others = append(others, p)
		}
	}
	return others
}

// tellHold shows the hold, and whom it does not stop.
func (s *snapshot) tellHold() {
	if s.Hold = s.rec.Hold.view(); s.Hold == nil {
		return
	}
	if others := s.disobeys(); len(others) > 0 {
		s.warn("%s is held, and %s obeys no hold: it is no zkelect", s.Path, namesOf(others))
	}
}

// namesOf names the first of some participants, and how many there are.
func namesOf(all []Participant) string {
	name := all[0].ID
	if name == "" {
		name = all[0].Node
	}
	if len(all) > 1 {
		name += fmt.Sprintf(" (and %d more)", len(all)-1)
	}
	return name
}
