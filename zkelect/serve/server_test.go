package serve

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// newServer is one on the loopback that knows the pages /ok, /no and /panics.
func newServer(t *testing.T) (s *Server, log *lines) {
	t.Helper()
	s, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	s.patience = 3 * time.Second
	log = &lines{}
	s.Serve(slog.New(slog.NewTextHandler(log, nil)), func(path string) *Page {
		switch path {
		case "/ok":
			return text(200, "yes")
		case "/no":
			return text(503, "no")
		case "/panics":
			panic("a fault")
		}
		return nil
	})
	return s, log
}

// lines is a log that many write.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// say sends bytes as they are, and returns all that comes back.
func say(t *testing.T, s *Server, bytes string) string {
	t.Helper()
	c, err := net.Dial("tcp", s.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, bytes); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
	answer, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

func TestAnswers(t *testing.T) {
	s, log := newServer(t)
	for request, want := range map[string]string{
		"GET /ok HTTP/1.1\r\nHost: x\r\n\r\n":               "200 OK",
		"GET /ok HTTP/1.0\r\n\r\n":                          "200 OK",
		"\r\nGET /ok HTTP/1.1\n\n":                          "200 OK",
		"GET /ok?probe=1 HTTP/1.1\r\n\r\n":                  "200 OK",
		"GET http://web1:8080/ok HTTP/1.1\r\n\r\n":          "200 OK",
		"GET /no HTTP/1.1\r\n\r\n":                          "503 Service Unavailable",
		"GET / HTTP/1.1\r\n\r\n":                            "404 Not Found",
		"POST /ok HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc": "405 Method Not Allowed",
		"OPTIONS /ok HTTP/1.0\r\n\r\n":                      "405 Method Not Allowed",
		"OPTIONS * HTTP/1.1\r\n\r\n":                        "404 Not Found",
		"GET /ok\r\n\r\n":                                   "400 Bad Request",
		"get /ok HTTP/1.1\r\n\r\n":                          "400 Bad Request",
		"GET  /ok HTTP/1.1\r\n\r\n":                         "400 Bad Request",
		"\x16\x03\x01\x02\x00":                              "400 Bad Request", // TLS: at once
		"PRI * HTTP/2.0\r\n\r\n":                            "505 HTTP Version Not Supported",
		"GET /ok HTTP/1.1\r\nCookie: " + strings.Repeat("x", maxHead) + "\r\n\r\n":   "431 Request Header Fields Too Large",
		"GET /ok HTTP/1.1\r\nCookie: " + strings.Repeat("x", maxHead-100) + "\r\n\n": "200 OK",
		"GET /panics HTTP/1.1\r\n\r\n":                                               "",
	} {
		answer := say(t, s, request)
		if line, _, _ := strings.Cut(answer, "\r\n"); line != strings.TrimSpace("HTTP/1.1 "+want) && answer != want {
			t.Errorf("%.60q: %q, want %s", request, line, want)
		}
	}
	if answer := say(t, s, "GET /nowhere HTTP/1.1\r\n\r\n"); !strings.Contains(answer, "/leader, /healthz, /status, /metrics\n") {
		t.Errorf("the four pages are not named: %q", answer)
	}
	if !strings.Contains(log.String(), "a fault") {
		t.Errorf("the fault of a page is not told: %q", log)
	}
}

// What Go's client makes of it, which reads strictly.
func TestAnswersAsHTTP(t *testing.T) {
	s, _ := newServer(t)
	for _, method := range []string{"GET", "HEAD", "DELETE"} {
		r, err := http.NewRequest(method, "http://"+s.Address()+"/ok", nil)
		if err != nil {
			t.Fatal(err)
		}
		a, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(a.Body)
		if err != nil {
			t.Fatal(err)
		}
		a.Body.Close()
		want := map[string]string{"GET": "200 yes\n", "HEAD": "200 ", "DELETE": "405 the methods are GET and HEAD\n"}[method]
		if got := fmt.Sprintf("%d %s", a.StatusCode, body); got != want {
			t.Errorf("%s: %q, want %q", method, got, want)
		}
		if date, err := http.ParseTime(a.Header.Get("Date")); err != nil || time.Since(date).Abs() > time.Minute {
			t.Errorf("%s: dated %q", method, a.Header.Get("Date"))
		}
		if a.Header.Get("Cache-Control") != "no-store" || method == "DELETE" && a.Header.Get("Allow") != "GET, HEAD" || method == "HEAD" && a.ContentLength != 4 {
			t.Errorf("%s: %+v", method, a.Header)
		}
	}
}

// Clients that say nothing hold so many places for so long, and no memory beyond.
func TestSlowClients(t *testing.T) {
	s, _ := newServer(t)
	var slow []net.Conn
	for range 2 * maxClients {
		c, err := net.Dial("tcp", s.Address())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, "GET /ok HT"); err != nil {
			t.Fatal(err)
		}
		slow = append(slow, c)
	}
	for deadline := time.Now().Add(30 * time.Second); len(s.slots) < maxClients; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d clients are served", len(s.slots))
		}
	}
	// Those that speak in time are answered.
	for _, c := range slow[:maxClients] {
		_, _ = io.WriteString(c, "TP/1.1\r\n\r\n")
		line, err := bufio.NewReader(c).ReadString('\n')
		if err != nil || line != "HTTP/1.1 200 OK\r\n" {
			t.Fatalf("%q, %v", line, err)
		}
		c.Close()
	}
	// The others are turned away, and whoever comes after them is answered.
	if answer := say(t, s, "GET /no HTTP/1.1\r\n\r\n"); !strings.HasPrefix(answer, "HTTP/1.1 503") {
		t.Errorf("%q", answer)
	}
	line, err := bufio.NewReader(slow[maxClients]).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "HTTP/1.1 408") {
		t.Errorf("%q, %v", line, err)
	}
}

func TestListenRefuses(t *testing.T) {
	s, _ := newServer(t)
	for address, want := range map[string]string{
		s.Address():    "another program listens there",
		"192.0.2.1:80": "give an address of this host",
	} {
		if other, err := Listen(address); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), address) {
			t.Errorf("%s: %v, want %q", address, err, want)
			if err == nil {
				other.Close()
			}
		}
	}
	address := s.Address()
	s.Close()
	if _, err := net.Dial("tcp", address); err == nil {
		t.Error("closed and still there")
	}
}

// FuzzRequest: whatever comes is a request or an error, and is answered or dropped.
func FuzzRequest(f *testing.F) {
	for _, seed := range []string{"GET /leader HTTP/1.1\r\n\r\n", "GET http:// HTTP/1.0\n\n", "\r\n\n", "A :// HTTP/1.1\n\n", "É / HTTP/1.1\n\n"} {
		f.Add([]byte(seed))
	}
	s := &Server{pages: func(path string) *Page {
		if strings.HasPrefix(path, "/") {
			return text(200, path)
		}
		return nil
	}}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := readRequest(bytes.NewReader(data), make([]byte, maxHead))
		answer := s.answer(r, err)
		switch {
		case errors.Is(err, io.EOF) != (answer == nil):
			t.Errorf("%q: %v, %q", data, err, answer)
		case answer != nil:
			if _, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(answer)), &http.Request{Method: r.method}); err != nil {
				t.Errorf("%q: %q: %v", data, answer, err)
			}
		}
	})
}
