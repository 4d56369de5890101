package main

import (
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// scriptSystemd plays systemd: it listens at the datagram socket that $NOTIFY_SOCKET
// names from then on, and writes each message as a line of the file NAME.
//
//	systemd start NAME [abstract]  listen at a path, or at an abstract name
//	systemd pings NAME N           until the watchdog has been heard N more times
//	systemd silent NAME DURATION   nothing is heard for so long, now or soon
func scriptSystemd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: systemd start|pings|silent NAME [ARG]")
	}
	file := ts.MkAbs(args[1])
	pings := func() int {
		data, err := os.ReadFile(file)
		ts.Check(err)
		return strings.Count(string(data), "WATCHDOG=1")
	}
	switch {
	case args[0] == "start":
		name := file + ".socket"
		if len(args) == 3 {
			name = "@" + name
		}
		conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
		ts.Check(err)
		ts.Defer(func() { conn.Close() })
		out, err := os.Create(file)
		ts.Check(err)
		go func() {
			defer out.Close()
			for b := make([]byte, 4096); ; {
				n, err := conn.Read(b)
				if err != nil {
					return
				}
				_, _ = out.WriteString(strings.ReplaceAll(string(b[:n]), "\n", " ") + "\n")
			}
		}()
		ts.Setenv("NOTIFY_SOCKET", name)
	case args[0] == "pings" && len(args) == 3:
		n, err := strconv.Atoi(args[2])
		ts.Check(err)
		before := pings()
		for deadline := time.Now().Add(bound); pings() < before+n; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				ts.Fatalf("heard the watchdog %d times more in %v", pings()-before, bound)
			}
		}
	case args[0] == "silent" && len(args) == 3:
		quiet, err := time.ParseDuration(args[2])
		ts.Check(err)
		heard, since := pings(), time.Now()
		for deadline := time.Now().Add(bound); time.Since(since) < quiet; time.Sleep(20 * time.Millisecond) {
			if now := pings(); now != heard {
				heard, since = now, time.Now()
			}
			if time.Now().After(deadline) {
				ts.Fatalf("still heard after %v", bound)
			}
		}
	default:
		ts.Fatalf("usage: systemd start|pings|silent NAME [ARG]")
	}
}
