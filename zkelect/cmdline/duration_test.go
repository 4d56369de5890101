package cmdline

import (
	"strings"
	"testing"
	"time"
)

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "30": 30 * time.Second, "0.5": 500 * time.Millisecond, ".5": 500 * time.Millisecond, "5.": 5 * time.Second,
		"1ms": time.Millisecond, "1.5ms": 1500 * time.Microsecond, "90s": 90 * time.Second, "5m": 5 * time.Minute,
		"1h30m": 90 * time.Minute, "1.5h": 90 * time.Minute, "1d12h": 36 * time.Hour, "100000d": 100000 * 24 * time.Hour,
		"0s": 0, "1h0m0s": time.Hour,
	} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"": "not a duration", " 1": "not a duration", "1 s": "not a duration", "s": "not a duration", ".": "not a duration",
		"1h30": "not a duration", "30x": "not a duration", "1..5": "not a duration", "1e3": "not a duration", "inf": "not a duration",
		"+1": "not a duration", "1us": "not a duration", "1S": "not a duration", "0x10": "not a duration", "1s-1s": "not a duration",
		"-1": "negative", "-0.5h": "negative", "0.0001": "shorter", "1000000d": "too long",
		"99999999999999999999999": "too long", strings.Repeat("9", 400): "too long", strings.Repeat("9", 400) + "h": "too long",
	} {
		if got, err := ParseDuration(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

func FuzzDuration(f *testing.F) {
	for _, seed := range []string{"", "0", "30", "0.5", "1h30m", "1d12h", "-1", "1h30", "9e9", "1ms1ms", "100000d", "1\x00s", "∞"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDuration(s)
		if err != nil {
			if d != 0 || strings.Contains(err.Error(), "\n") {
				t.Errorf("%q: %v, %v", s, d, err)
			}
			return
		}
		if d < 0 || d > 0 && d < time.Millisecond {
			t.Errorf("%q: %v", s, d)
		}
		// The child gets them in Go's own form.
		if again, err := ParseDuration(d.String()); err != nil || (again-d).Abs() > time.Microsecond+d/1e12 {
			t.Errorf("%q: %v, again %v, %v", s, d, again, err)
		}
	})
}

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "?", 0: "0s", 1234 * time.Microsecond: "1ms", 3456 * time.Millisecond: "3.4s",
		192 * time.Second: "3m12s", 61 * time.Minute: "1h1m", 47*time.Hour + 59*time.Second: "47h0m", 50 * time.Hour: "2d2h",
	} {
		if got := Span(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}
