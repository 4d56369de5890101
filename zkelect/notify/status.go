package notify

import (
	"fmt"
	"strings"
	"time"

	"zkelect/zkelect"
	"zkelect/zkelect/role"
)

// Status is a state in a line for a person, with a note of what is special about it.
func Status(s role.State, note string) string {
	text := s.Role.String()
	switch {
	case s.Role == role.Connecting && s.Connected:
		text = "joining the queue"
	case s.Role == role.Connecting:
		text = "connecting"
	case s.Role == role.Waiting && s.Held != "":
		text = "first, but the election is held by " + s.Held
	case s.Role == role.Waiting && s.Ahead > 0:
		text = fmt.Sprintf("waiting, %s of %d, behind %s", ordinal(s.Ahead+1), s.Of+1, s.Behind)
	case s.Role == role.Waiting && s.Behind != "":
		text = "waiting behind " + s.Behind
	case s.Role == role.Waiting:
		text = "in the queue"
	case s.Role == role.Leading:
		text = fmt.Sprintf("leader since %s, token %d", stamp(s.Since), s.Token)
	case s.Role == role.Stopping:
		text = "stopping since " + stamp(s.Since)
	}
	if !s.Connected && s.Session != "" {
		text += "; connection lost, reconnecting"
	}
	if note != "" {
		text += "; " + note
	}
	return text
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// noteOf is what an event adds to the state, until the next that has a word to say.
func noteOf(e zkelect.Event) (string, bool) {
	switch e.Kind {
	case zkelect.EventBlocked:
		return "first, waiting for the processes of " + attr(e, "owner") + " to be dead", true
	case zkelect.EventTakeover, zkelect.EventMissing:
		return "the command starts at " + attr(e, "until"), true
	case zkelect.EventFencing:
		return "fencing " + attr(e, "previous"), true
	case zkelect.EventFrozen:
		return "the command is frozen", true
	case zkelect.EventStopping:
		return "cause " + attr(e, "cause"), true
	case zkelect.EventLost:
		return attr(e, "reason"), true
	case zkelect.EventUnkilled:
		return "processes of the command do not die: " + attr(e, "pids"), true
	case zkelect.EventRequeue:
		return "ended by cause " + attr(e, "cause") + ", contending again", true
	case zkelect.EventJoined, zkelect.EventLeading, zkelect.EventFenced, zkelect.EventStarted, zkelect.EventThawed,
		zkelect.EventReleased, zkelect.EventUnreleased, zkelect.EventExpired:
		return "", true
	}
	return "", false
}

// attr is an event's value as text; a status is one line.
func attr(e zkelect.Event, key string) string {
	v := e.Attr(key)
	switch value := v.Any().(type) {
	case nil:
		return ""
	case time.Time:
		return stamp(value)
	}
	return strings.ReplaceAll(v.String(), "\n", " ")
}

func ordinal(n int) string {
	suffix := "th"
	if n/10%10 != 1 {
		switch n % 10 {
		case 1:
			suffix = "st"
		case 2:
			suffix = "nd"
		case 3:
			suffix = "rd"
		}
	}
	return fmt.Sprint(n, suffix)
}
