package cmdline

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Answer is standard output. It remembers a failure, so that an answer that was
// lost on a full disk is no success.
type Answer struct {
	To  io.Writer
	Err error // the first
}

// Write writes to the output.
func (a *Answer) Write(b []byte) (int, error) {
	n, err := a.To.Write(b)
	a.Err = cmp.Or(a.Err, err)
	return n, err
}

// WriteJSON writes a value in one line, with < and > as they are.
func WriteJSON(w io.Writer, value any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(value)
}

// Stamp is a time in JSON: UTC, RFC 3339, always with milliseconds.
type Stamp time.Time

// MarshalJSON writes the time.
func (s Stamp) MarshalJSON() ([]byte, error) {
	return json.Marshal(time.Time(s).UTC().Format("2006-01-02T15:04:05.000Z07:00"))
}

// Printable is s in one line and without what a terminal would obey.
func Printable(s string) string {
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], string(utf8.RuneError)):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
	}
	return b.String()
}

// Shorten is the beginning of s, in whole words, where it is longer than width.
func Shorten(s string, width int) string {
	if utf8.RuneCountInString(s) <= width {
		return s
	}
	end, count := 0, 0
	for i, r := range s {
		if count++; count >= width {
			break
		}
		if r == ' ' {
			end = i
		}
	}
	return s[:end] + "…"
}
