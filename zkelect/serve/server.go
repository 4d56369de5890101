// Package serve answers over HTTP what a participant knows of itself: to load
// balancers, to Prometheus and to people. It asks ZooKeeper nothing.
//
// It is not net/http, which would be in every zkelect, listening or not: docs/listen.md
// has what that costs. What is here reads one request of a connection, of a bounded
// size in a bounded time, and takes only its method and path.
package serve

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"
)

// The bounds of what clients can make a server hold. Connections beyond wait in the
// kernel's queue.
const (
	maxClients = 64
	maxHead    = 8 << 10
	patience   = 5 * time.Second // for a request, and for its answer to be taken
	linger     = time.Second     // for the client to close
)

// Server has the port and, once Serve was called, answers there.
type Server struct {
	listener net.Listener
	slots    chan struct{}
	patience time.Duration
	log      *slog.Logger
	pages    func(path string) *Page
}

// Page is an answer.
type Page struct {
	Code int // an HTTP status
	Type string
	Body []byte
}

// Listen takes the address HOST:PORT; no host means all of this machine's, port 0 one
// that is free. Processes that this one starts don't inherit it.
func Listen(address string) (*Server, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, refusal(address, err)
	}
	return &Server{listener: l, slots: make(chan struct{}, maxClients), patience: patience}, nil
}

// refusal says why an address cannot be listened on, and what next.
func refusal(address string, err error) error {
	hint := "give an address of this host"
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		hint = "another program listens there (ss -ltnp tells which); end it, or give another port"
	case errors.Is(err, syscall.EACCES):
		hint = "ports below 1024 are for root; give a higher one"
	}
	why := err
	var op *net.OpError
	if errors.As(err, &op) {
		why = op.Err
	}
	return fmt.Errorf("listen on %s: %w; %s", address, why, hint)
}

// Address is where it listens, with the port that was chosen.
func (s *Server) Address() string { return s.listener.Addr().String() }

// Serve answers with what pages returns for a path, nil for none, until Close. pages
// is called by several goroutines. It does not wait.
func (s *Server) Serve(log *slog.Logger, pages func(path string) *Page) {
	s.log, s.pages = log, pages
	go func() {
		for {
			s.slots <- struct{}{}
			conn, err := s.listener.Accept()
			switch {
			case errors.Is(err, net.ErrClosed):
				return
			case err != nil: // short of descriptors, say: that may pass
				<-s.slots
				time.Sleep(100 * time.Millisecond)
			default:
				go s.client(conn)
			}
		}
	}()
}

// Close gives the port up. Answers under way go on.
func (s *Server) Close() { _ = s.listener.Close() }

// heads are read into these: a load balancer asks all day.
var heads = sync.Pool{New: func() any { return new([maxHead]byte) }}

// client answers one request.
func (s *Server) client(conn net.Conn) {
	defer func() {
		// A fault in a page must not end a leader.
		if fault := recover(); fault != nil {
			s.log.Error("a request was not answered", "error", fmt.Sprint(fault))
		}
		_ = conn.Close()
		<-s.slots
	}()
	head := heads.Get().(*[maxHead]byte)
	defer heads.Put(head)
	_ = conn.SetReadDeadline(time.Now().Add(s.patience))
	answer := s.answer(readRequest(conn, head[:]))
	if answer == nil {
		return
	}
	_ = conn.SetWriteDeadline(time.Now().Add(s.patience))
	if _, err := conn.Write(answer); err != nil {
		return
	}
	// Closed with something unread, a connection is reset, and the client may not get
	// to see the answer.
	if half, ok := conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_ = conn.SetReadDeadline(time.Now().Add(linger))
		for n := 0; n < 8; n++ {
			if _, err := conn.Read(head[:]); err != nil {
				return
			}
		}
	}
}

// request is what counts of one.
type request struct{ method, path string }

// Why a request has no page.
var (
	errMalformed = errors.New("malformed request")
	errTooLarge  = errors.New("request header too large")
	errVersion   = errors.New("HTTP version not supported")
)

// readRequest reads the head of a request into buf and takes its first line.
func readRequest(r io.Reader, buf []byte) (request, error) {
	n := 0
	for {
		head := bytes.TrimLeft(buf[:n], "\r\n") // as RFC 9112, 2.2 has it
		if len(head) > 0 && !upper(head[0]) {
			return request{}, errMalformed // TLS, say: no more to wait for
		}
		if bytes.Contains(head, []byte("\r\n\r\n")) || bytes.Contains(head, []byte("\n\n")) {
			line, _, _ := bytes.Cut(head, []byte("\n"))
			return parseRequest(strings.TrimSuffix(string(line), "\r"))
		}
		if n == len(buf) {
			return request{}, errTooLarge
		}
		more, err := r.Read(buf[n:])
		if n += more; err != nil && more == 0 {
			return request{}, err
		}
	}
}

// parseRequest takes a request line. The query counts for nothing.
func parseRequest(line string) (request, error) {
	words := strings.Split(line, " ")
	if len(words) != 3 || strings.ContainsFunc(words[0], func(r rune) bool { return r > 'Z' || !upper(byte(r)) }) {
		return request{}, errMalformed
	}
	if words[2] != "HTTP/1.1" && words[2] != "HTTP/1.0" {
		return request{}, errVersion
	}
	target := words[1]
	if _, rest, ok := strings.Cut(target, "://"); ok && target[0] != '/' { // as to a proxy
		_, target, _ = strings.Cut(rest, "/")
		target = "/" + target
	}
	target, _, _ = strings.Cut(target, "?")
	return request{words[0], target}, nil
}

func upper(b byte) bool { return 'A' <= b && b <= 'Z' }

// reasons are the words of the codes in use.
var reasons = map[int]string{
	200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 408: "Request Timeout",
	431: "Request Header Fields Too Large", 500: "Internal Server Error", 503: "Service Unavailable", 505: "HTTP Version Not Supported",
}

// answer is the response to a request, or to what is none; nil for one who said
// nothing, as a check of the port does.
func (s *Server) answer(r request, err error) []byte {
	var timeout net.Error
	page, more := (*Page)(nil), ""
	switch {
	case errors.Is(err, errMalformed):
		page = text(400, err.Error())
	case errors.Is(err, errTooLarge):
		page = text(431, err.Error())
	case errors.Is(err, errVersion):
		page = text(505, err.Error())
	case errors.As(err, &timeout) && timeout.Timeout():
		page = text(408, "no request came")
	case err != nil:
		return nil
	default:
		page = s.pages(r.path)
		if page == nil {
			page = text(404, "there is no such page; there are "+strings.Join(Paths, ", "))
		} else if r.method != "GET" && r.method != "HEAD" {
			page, more = text(405, "the methods are GET and HEAD"), "Allow: GET, HEAD\r\n"
		}
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\nDate: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n%sCache-Control: no-store\r\nConnection: close\r\n\r\n",
		page.Code, cmp.Or(reasons[page.Code], "?"), date(), page.Type, len(page.Body), more)
	if r.method != "HEAD" {
		b.Write(page.Body)
	}
	return b.Bytes()
}

// date is the time of day as HTTP has it.
func date() string { return time.Now().UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT") }

// text is a page of one line.
func text(code int, line string) *Page {
	return &Page{Code: code, Type: "text/plain; charset=utf-8", Body: []byte(line + "\n")}
}
