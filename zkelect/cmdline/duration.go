package cmdline

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Duration takes what ParseDuration reads.
func Duration(to *time.Duration) func(string) error {
	return func(s string) (err error) {
		*to, err = ParseDuration(s)
		return err
	}
}

// Positive is Duration for what makes no sense as 0.
func Positive(to *time.Duration) func(string) error {
	return func(s string) error {
		d, err := ParseDuration(s)
		if err == nil && d == 0 {
			return fmt.Errorf("%q is no time; give at least 1ms", s)
		}
		*to = d
		return err
	}
}

type unit struct {
	name string
	d    time.Duration
}

var units = []unit{{"ms", time.Millisecond}, {"s", time.Second}, {"m", time.Minute}, {"h", time.Hour}, {"d", 24 * time.Hour}}

// ParseDuration reads seconds (30, 0.5), as flock and timeout take them, or
// numbers with units from ms to d (1h30m). Unlike time.ParseDuration it knows
// days and refuses what is negative or shorter than its own smallest unit.
func ParseDuration(s string) (time.Duration, error) {
	const accepted = "give seconds or units, such as 30, 0.5, 500ms, 90s, 5m, 1h30m, 1d"
	if strings.HasPrefix(s, "-") {
		return 0, fmt.Errorf("%q is negative; %s", s, accepted)
	}
	total := 0.0
	for rest, first := s, true; rest != "" || first; first = false {
		digits := strings.IndexFunc(rest, func(r rune) bool { return r != '.' && (r < '0' || r > '9') })
		if digits < 0 {
			digits = len(rest)
		}
		number, err := strconv.ParseFloat(rest[:digits], 64)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			return 0, fmt.Errorf("%q is not a duration; %s", s, accepted)
		}
		rest = rest[digits:]
		letters := strings.IndexAny(rest, ".0123456789")
		if letters < 0 {
			letters = len(rest)
		}
		one, i := time.Second, slices.IndexFunc(units, func(u unit) bool { return u.name == rest[:letters] })
		switch {
		case i >= 0:
			one = units[i].d
		case rest != "" || !first: // only a lone number is seconds: 1h30 may mean either
			return 0, fmt.Errorf("%q is not a duration; %s", s, accepted)
		}
		total += number * float64(one)
		rest = rest[letters:]
	}
	switch {
	case total >= 1<<63:
		return 0, fmt.Errorf("%q is too long; give at most 100000d", s)
	case total > 0 && total < float64(time.Millisecond):
		return 0, fmt.Errorf("%q is shorter than 1ms; %s", s, accepted)
	}
	return time.Duration(math.Round(total)), nil
}

// Span is a duration as people say it: two units are enough.
func Span(d time.Duration) string {
	switch {
	case d < 0:
		return "?"
	case d < time.Second:
		return d.Truncate(time.Millisecond).String()
	case d < time.Minute:
		return d.Truncate(100 * time.Millisecond).String()
	case d < time.Hour:
		return strings.TrimSuffix(d.Truncate(time.Second).String(), "0s")
	case d < 48*time.Hour:
		return strings.TrimSuffix(d.Truncate(time.Minute).String(), "0s")
	}
	days := d / (24 * time.Hour)
	return fmt.Sprintf("%dd%dh", days, (d-days*24*time.Hour)/time.Hour)
}
