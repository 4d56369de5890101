package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"zkelect/zkelect/zktest"
)

// TestHAProxy runs docs/haproxy.cfg before three zkelects, whose commands answer HTTP,
// and asks through it without a pause: each answer is of the term that was open at that
// instant, and after each failover the service is back.
func TestHAProxy(t *testing.T) {
	t.Parallel()
	haproxy, err := exec.LookPath("/usr/sbin/haproxy")
	if err != nil {
		t.Fatalf("%v; run: apt-get install --no-install-recommends haproxy", err)
	}
	config, err := os.ReadFile("docs/haproxy.cfg")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	address := func() string { return fmt.Sprintf("127.0.0.1:%d", zktest.FreePort(t)) }
	front, servers := address(), zktest.Shared(t).Chroot(t)
	text := strings.Replace(string(config), "bind :80\n", "bind "+front+"\n", 1)
	electors := map[string]*job{}
	for n := range 3 {
		id := fmt.Sprintf("web%d", n+1)
		serves, listens := address(), address()
		_, port, _ := strings.Cut(listens, ":")
		before := text
		if text = strings.Replace(text, id+":8080 port 8081", serves+" port "+port, 1); text == before {
			t.Fatalf("docs/haproxy.cfg has no %s", id)
		}
		electors[id] = startActor(t, dir, id, "zkelect", "run", "--id", id, "--requeue", "lost", "--listen", listens,
			"-s", servers, "-p", "/jobs/e", "--session-timeout", "20s", "--", "child", "-serve", serves, "-linger", "300ms")
	}
	file := filepath.Join(dir, "haproxy.cfg")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	startActor(t, dir, "haproxy", haproxy, "-db", "-f", file)

	h := newHammer(t, "http://"+front+"/")
	first := h.servedBesides("")
	if out, err := exec.Command("zkelect", "resign", "-s", servers, "-p", "/jobs/e").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	second := h.servedBesides(first)
	end(t, electors[second], syscall.SIGKILL)
	third := h.servedBesides(second)
	end(t, electors[third], syscall.SIGTERM)
	last := h.servedBesides(second, third)
	end(t, electors[last], syscall.SIGTERM)
	h.stop()

	terms, err := readStamps(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range h.answers {
		i := slices.IndexFunc(terms, func(l lifespan) bool { return l.token == a.token })
		if i < 0 || terms[i].id != a.id || a.at < terms[i].begin || i+1 < len(terms) && a.at >= terms[i+1].begin {
			t.Errorf("an answer of %s in term %d at %d, which was none of its: %+v", a.id, a.token, a.at, terms)
			break
		}
	}
	t.Logf("%d requests, %d answered: %s, %s, %s, %s", h.requests, len(h.answers), first, second, third, last)
}

// startActor starts a program whose children leave their stamps in dir.
func startActor(t *testing.T, dir, name, program string, args ...string) *job {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatal(err)
	}
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "ZKELECT_") })
	j, err := startJob(filepath.Join(dir, name), &exec.Cmd{Path: path, Args: append([]string{program}, args...),
		Env: append(env, "STAMPS="+dir, "GORACE="+strings.TrimSpace(os.Getenv("GORACE")+" atexit_sleep_ms=0"))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = j.signal(syscall.SIGTERM)
		select {
		case <-j.done:
		case <-time.After(bound):
			_ = j.signal(syscall.SIGKILL)
			t.Errorf("%s does not end", name)
		}
		text, _ := os.ReadFile(j.err)
		if bad := unheardOf(text); bad != "" || t.Failed() {
			t.Logf("%s %s:\n%s", name, bad, text)
		}
	})
	return j
}

func end(t *testing.T, j *job, sig syscall.Signal) {
	t.Helper()
	if err := j.signal(sig); err != nil {
		t.Fatal(err)
	}
	select {
	case <-j.done:
	case <-time.After(bound):
		t.Fatalf("%q does not end", j.cmd.Args)
	}
}

// hammer asks one URL again and again.
type hammer struct {
	t    *testing.T
	over chan struct{}
	done sync.WaitGroup

	mu       sync.Mutex
	requests int
	answers  []served
	row      int // of answers since a request was not answered
}

// served is what childServes says.
type served struct {
	id        string
	token, at int64
}

func newHammer(t *testing.T, url string) *hammer {
	h := &hammer{t: t, over: make(chan struct{})}
	for range 4 {
		h.done.Go(func() {
			for {
				select {
				case <-h.over:
					return
				case <-time.After(2 * time.Millisecond):
				}
				code, body, err := httpAsk("GET", url)
				var a served
				h.mu.Lock()
				h.requests, h.row = h.requests+1, h.row+1
				if err == nil && code == 200 {
					if _, err := fmt.Sscan(body, &a.id, &a.token, &a.at); err != nil {
						t.Errorf("%q: %v", body, err)
					}
					h.answers = append(h.answers, a)
				} else {
					h.row = 0
				}
				h.mu.Unlock()
			}
		})
	}
	t.Cleanup(h.stop)
	return h
}

func (h *hammer) stop() {
	select {
	case <-h.over:
	default:
		close(h.over)
	}
	h.done.Wait()
}

// servedBesides waits until a hundred requests in a row were answered, by another than
// those: while one leads, no request goes anywhere else.
func (h *hammer) servedBesides(gone ...string) string {
	h.t.Helper()
	const row = 100
	h.mu.Lock()
	h.row = 0
	h.mu.Unlock()
	for deadline := time.Now().Add(bound); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		h.mu.Lock()
		var last []served
		if h.row >= row {
			last = slices.Clone(h.answers[len(h.answers)-row:])
		}
		h.mu.Unlock()
		if len(last) > 0 && !slices.ContainsFunc(last, func(a served) bool { return slices.Contains(gone, a.id) || a.id != last[0].id }) {
			return last[0].id
		}
	}
	h.t.Fatalf("no hundred answers in a row of another than %q", gone)
	return ""
}
