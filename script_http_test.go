package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"zkelect/zkelect/zktest"
)

// scriptPort has an address of the loopback, which nobody else is given, in a variable.
func scriptPort(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: port VARIABLE")
	}
	ts.Setenv(args[0], fmt.Sprintf("127.0.0.1:%d", zktest.FreePort(worldOf(ts).tb)))
}

// scriptHTTP asks once, or with -until until that is the answer. What it says is on
// stdout.
func scriptHTTP(ts *testscript.TestScript, neg bool, args []string) {
	again := len(args) > 0 && args[0] == "-until"
	if again {
		args = args[1:]
	}
	method := "GET"
	if len(args) == 3 {
		method, args = args[0], args[1:]
	}
	if neg || len(args) != 2 {
		ts.Fatalf("usage: http [-until] [METHOD] CODE URL")
	}
	code, err := strconv.Atoi(args[0])
	ts.Check(err)
	for deadline := time.Now().Add(bound); ; time.Sleep(10 * time.Millisecond) {
		got, body, err := httpAsk(method, args[1])
		if got == code {
			_, _ = io.WriteString(ts.Stdout(), body)
			return
		}
		if !again || time.Now().After(deadline) {
			ts.Fatalf("%s %s: %d %s %v, want %d", method, args[1], got, body, err, code)
		}
	}
}

// httpAsk makes one request, over a connection of its own.
func httpAsk(method, url string) (code int, body string, err error) {
	client := http.Client{Timeout: bound, Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := http.NewRequest(method, url, nil)
	if err != nil {
		return 0, "", err
	}
	a, err := client.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	return a.StatusCode, string(text), err
}

// childAsks is for a command that is asked to end.
func childAsks(url string) {
	code, _, err := httpAsk("GET", url)
	fmt.Println("asked:", code, err)
}

// childServes answers each request with the child's id and token, and the time by the
// clock of the stamps.
func childServes(address string) {
	answer := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close") // so that each request is balanced anew
		fmt.Fprintf(w, "%s %s %d", os.Getenv("ZKELECT_ID"), os.Getenv("ZKELECT_FENCING_TOKEN"), zktest.Stamp())
	})
	childFail(http.ListenAndServe(address, answer))
}
