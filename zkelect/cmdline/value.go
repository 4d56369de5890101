package cmdline

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Text takes any value but none: an empty one is a variable that the caller's
// script forgot to set.
func Text(to *string) func(string) error {
	return func(s string) error {
		switch s {
		case "":
			return errors.New("its value is empty")
		case noWord:
			return errors.New("its value is no text")
		}
		*to = s
		return nil
	}
}

// Address takes what can be listened on: HOST:PORT, :PORT or [IPV6]:PORT.
func Address(to *string) func(string) error {
	return func(s string) error {
		host, port, err := net.SplitHostPort(s)
		if _, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || strings.ContainsAny(host, " /") {
			return fmt.Errorf("%q is no address; give HOST:PORT, such as 127.0.0.1:8080, [::1]:8080 or :8080", s)
		}
		*to = s
		return nil
	}
}

// Bool takes yes and no in the words that are usual for them.
func Bool(to *bool) func(string) error {
	return func(s string) error {
		switch strings.ToLower(s) {
		case "true", "yes", "on", "1":
			*to = true
		case "false", "no", "off", "0":
			*to = false
		default:
			return fmt.Errorf("%q is neither yes nor no", s)
		}
		return nil
	}
}

// OneOf takes one of the names and stores the value at the same index.
func OneOf[T any](to *T, names []string, values []T) func(string) error {
	return func(s string) error {
		i := slices.Index(names, s)
		if i < 0 {
			return &noneOf{s, names}
		}
		*to = values[i]
		return nil
	}
}

// noneOf is OneOf's refusal.
type noneOf struct {
	value string
	names []string
}

func (e *noneOf) Error() string {
	return fmt.Sprintf("%q is none of %s", e.value, strings.Join(e.names, ", "))
}

// Signal takes what ParseSignal reads.
func Signal(to *syscall.Signal) func(string) error {
	return func(s string) (err error) {
		*to, err = ParseSignal(s)
		return err
	}
}

// SignalNames are the names that ParseSignal knows, in the order of the numbers.
func SignalNames() []string {
	var names []string
	for sig := syscall.Signal(1); sig < 34; sig++ {
		if name := unix.SignalName(sig); name != "" {
			names = append(names, strings.TrimPrefix(name, "SIG"))
		}
	}
	return names
}

// ParseSignal reads TERM, SIGTERM, 15, RTMIN+1 or RTMAX-1, the last two as
// kill counts them on Linux: the C library keeps 32 and 33 to itself.
func ParseSignal(s string) (syscall.Signal, error) {
	const rtmin, rtmax = 34, 64
	name := strings.TrimPrefix(strings.ToUpper(s), "SIG")
	if sig := unix.SignalNum("SIG" + name); sig != 0 {
		return sig, nil
	}
	base, sign := 0, 1
	switch {
	case strings.HasPrefix(name, "RTMIN"):
		base, name = rtmin, strings.TrimPrefix(name[5:], "+")
	case strings.HasPrefix(name, "RTMAX"):
		base, sign, name = rtmax, -1, strings.TrimPrefix(name[5:], "-")
	}
	n, err := strconv.ParseUint(name, 10, 7)
	if base != 0 && name == "" {
		n, err = 0, nil
	}
	sig := base + sign*int(n)
	if err != nil || sig < 1 || sig > rtmax || base != 0 && sig < rtmin {
		return 0, fmt.Errorf("%q is not a signal; give a name or a number, such as TERM, INT, 15", s)
	}
	return syscall.Signal(sig), nil
}
