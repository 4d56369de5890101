package main

import (
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"zkelect/zkelect/zktest"
)

// crowd is several zkelects of one election, behind one proxy.
type crowd struct {
	t       *testing.T
	dir     string
	stamps  string
	proxy   *zktest.Proxy
	env     []string
	members map[string]*job
	zkelect string // "" is this test binary
	chroot  string // without its slash
}

func newCrowd(t *testing.T) *crowd {
	server := zktest.Shared(t)
	connect := server.Chroot(t)
	c := &crowd{t: t, dir: t.TempDir(), proxy: zktest.NewProxy(t, server.Addr()), members: map[string]*job{}}
	c.stamps = filepath.Join(c.dir, "stamps")
	if err := os.Mkdir(c.stamps, 0o755); err != nil {
		t.Fatal(err)
	}
	_, chroot, _ := strings.Cut(connect, "/")
	c.chroot = chroot
	c.env = append(os.Environ(), "STAMPS="+c.stamps, "GORACE=atexit_sleep_ms=0",
		"ZKELECT_SERVERS="+c.proxy.Addr()+"/"+chroot, "ZKELECT_PATH=/jobs/e", "ZKELECT_SESSION_TIMEOUT=30s")
	t.Cleanup(c.end)
	return c
}

// join starts a participant and waits until its log has the words.
func (c *crowd) join(id, until string, args ...string) {
	c.t.Helper()
	c.start(id, args...)
	c.await(id+" to be there", func() bool { return c.logged(id, until) >= 1 })
}

func (c *crowd) start(id string, args ...string) {
	c.t.Helper()
	zkelect := c.zkelect
	if zkelect == "" {
		var err error
		if zkelect, err = exec.LookPath("zkelect"); err != nil {
			c.t.Fatal(err)
		}
	}
	cmd := exec.Command(zkelect, append([]string{"run", "--id", id}, args...)...)
	cmd.Env = c.env
	j, err := startJob(filepath.Join(c.dir, id), cmd)
	if err != nil {
		c.t.Fatal(err)
	}
	c.members[id] = j
}

// logged counts the lines of a member's log with this message.
func (c *crowd) logged(id, msg string) int {
	log, err := os.ReadFile(c.members[id].err)
	if err != nil {
		c.t.Fatal(err)
	}
	return strings.Count(string(log), " msg="+msg+" ")
}

func (c *crowd) await(what string, holds func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(bound); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			c.t.Fatalf("waited %v for %s", bound, what)
		}
	}
}

// session is a member's, by its log.
func (c *crowd) session(id string) string {
	log, err := os.ReadFile(c.members[id].err)
	if err != nil {
		c.t.Fatal(err)
	}
	m := regexp.MustCompile(`msg=connected session=(0x[0-9a-f]+)`).FindSubmatch(log)
	if m == nil {
		c.t.Fatalf("%s has no session:\n%s", id, log)
	}
	return string(m[1])
}

// terms is the terms so far, none of which may have had a child beside another.
func (c *crowd) terms() []lifespan {
	c.t.Helper()
	terms, err := readStamps(c.stamps)
	if err != nil {
		c.t.Fatal(err)
	}
	return terms
}

func (c *crowd) end() {
	for _, j := range c.members {
		_ = j.signal(syscall.SIGTERM)
	}
	for id, j := range c.members {
		select {
		case <-j.done:
		case <-time.After(bound):
			c.t.Errorf("%s is still alive %v after TERM", id, bound)
			_ = j.signal(syscall.SIGKILL)
		}
		log, _ := os.ReadFile(j.err)
		if bad := unheardOf(log); bad != "" {
			c.t.Errorf("%s wrote %q", id, bad)
		}
		if c.t.Failed() {
			c.t.Logf("log of %s:\n%s", id, log)
		}
	}
}

// TestTenParticipants ends the leader's child fifty times. Each time the next
// in the queue leads, and nobody else who waits hears of it but the one behind, who has
// become next.
func TestTenParticipants(t *testing.T) {
	t.Parallel()
	const participants, handovers = 10, 50
	c := newCrowd(t)
	id := func(n int) string { return fmt.Sprintf("p%d", n%participants) }
	for n := range participants {
		until := "waiting"
		if n == 0 {
			until = "started"
		}
		c.join(id(n), until, "--requeue", "always", "--", "child", "-linger", "0")
	}
	sessions := map[string]string{}
	for n := range participants {
		sessions[c.session(id(n))] = id(n)
	}
	for n := range handovers {
		c.await("a child", func() bool { return len(c.terms()) == n+1 })
		now := c.terms()[n]
		if now.id != id(n) {
			t.Fatalf("term %d is of %s, want %s: the queue's order", n, now.id, id(n))
		}
		c.proxy.Forget()
		waits := c.logged(now.id, "waiting")
		if err := syscall.Kill(now.pid, syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		c.await("the next one to lead", func() bool { return c.logged(id(n+1), "started") == (n+1)/participants+1 })
		// The old leader is back in the queue before the next hand-over.
		c.await(now.id+" to wait again", func() bool { return c.logged(now.id, "waiting") > waits })

		var woken []string
		for _, e := range c.proxy.Events() {
			if who := sessions[fmt.Sprintf("0x%x", e.Session)]; who != now.id {
				woken = append(woken, fmt.Sprintf("%s by %v of %s", who, e.Type, path.Base(e.Path)))
				if who != id(n+1) && who != id(n+2) || e.Type != zk.EventNodeDeleted {
					t.Errorf("hand-over %d from %s: woken was %s", n, now.id, woken[len(woken)-1])
				}
			}
		}
		if len(woken) != 2 || woken[0] == woken[1] {
			t.Fatalf("hand-over %d from %s woke %d who wait, want two: %v", n, now.id, len(woken), woken)
		}
	}
	c.await("the last child", func() bool { return len(c.terms()) == handovers+1 })
}

// TestTermMeetsLeadership has a TERM come to a waiter when its opening is on the
// way: it was asked to end, and 0 would say that CMD had run.
func TestTermMeetsLeadership(t *testing.T) {
	t.Parallel()
	c := newCrowd(t)
	c.join("a", "started", "--", "child")
	c.join("b", "waiting", "--", "child")
	c.proxy.Forget()
	c.proxy.Delay(0, 300*time.Millisecond)
	c.signal("a", syscall.SIGTERM)
	c.await("b's opening", func() bool {
		return len(c.proxy.Requests(func(op zktest.Op) bool {
			return op.Any(func(part zktest.Op) bool {
				return part.Type == zktest.Create && path.Base(part.Path) == "live"
			})
		})) > 0
	})
	c.signal("b", syscall.SIGTERM)
	select {
	case <-c.members["b"].done:
	case <-time.After(bound):
		t.Fatalf("b is still alive %v after TERM", bound)
	}
	if code := c.members["b"].cmd.ProcessState.ExitCode(); code != 128+int(syscall.SIGTERM) {
		t.Errorf("exit %d after TERM, want 143", code)
	}
	c.terms()
}

func (c *crowd) signal(id string, sig syscall.Signal) {
	c.t.Helper()
	if err := c.members[id].signal(sig); err != nil {
		c.t.Fatalf("signal %s: %v", id, err)
	}
}
