package show

import (
	"time"

	"zkelect/zkelect"
	"zkelect/zkelect/cmdline"
)

// Hold is who holds an election, until when and why, for people. now is the time of
// this host: the servers', which is what counts, may differ.
func Hold(h *zkelect.Hold, now time.Time) string {
	s := "by " + cmdline.Printable(h.ID) + " since " + Clock(h.Since) + ", " + HeldUntil(h, now)
	if h.Reason != "" {
		s += ": " + cmdline.Printable(h.Reason)
	}
	return s
}

// HeldUntil is the end of a hold in words.
func HeldUntil(h *zkelect.Hold, now time.Time) string {
	switch {
	case h.Until == nil:
		return "until it is removed"
	case h.Over(now):
		return "over since " + Clock(*h.Until)
	}
	return "until " + Clock(*h.Until) + " (in " + cmdline.Span(h.Until.Sub(now)) + ")"
}

// HoldView is a hold in JSON: times in UTC with milliseconds, null for no end.
type HoldView struct {
	*zkelect.Hold
	Since cmdline.Stamp  `json:"since"`
	Until *cmdline.Stamp `json:"until"`
}

// HoldJSON is nil where there is none.
func HoldJSON(h *zkelect.Hold) *HoldView {
	if h == nil {
		return nil
	}
	return &HoldView{h, cmdline.Stamp(h.Since), (*cmdline.Stamp)(h.Until)}
}
