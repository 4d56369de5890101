package main

import (
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/go-zookeeper/zk"

	"zkelect/zkelect/zktest"
)

// election is a leader and a waiter of one contender. Their command is `probe stamp`,
// which writes its first and its last instant into a file.
type election struct {
	*contender
	b       *bench
	path    string
	stamps  string
	proxied bool      // each member has a proxy before its server
	members []*member // the leader first
}

type member struct {
	*process
	proxy *front // nil without one
}

// settle is what a waiter may take from its place in the queue to its watch.
const settle = 300 * time.Millisecond

func (b *bench) newElection(c *contender, phase string, proxied bool) (*election, error) {
	e := &election{contender: c, b: b, path: "/bench/" + phase + "-" + c.label, proxied: proxied && c.server != noServer,
		stamps: filepath.Join(b.dir, "stamps-"+phase+"-"+c.label)}
	_ = os.Remove(e.stamps) // of an earlier round
	return e, b.prepare(c, e.path)
}

// prepare makes the election's own node: all find it there.
func (b *bench) prepare(c *contender, path string) error {
	if c.server != zooKeeper {
		return nil
	}
	return makeNode(b.placeOf(c).conn, path)
}

// placeOf is the contender's ZooKeeper.
func (b *bench) placeOf(c *contender) place {
	if c.at != nil {
		return *c.at
	}
	return place{b.zk.Addr(), b.conn}
}

// serverOf is the address of the contender's server.
func (b *bench) serverOf(c *contender) string {
	switch c.server {
	case zooKeeper:
		return b.placeOf(c).addr
	case etcd:
		return b.etcd.addr
	}
	return ""
}

// front is a proxy that stands before the contender's server.
type front struct {
	*zktest.Proxy
	calls *calls // nil before ZooKeeper
}

func (b *bench) proxy(c *contender) (f *front, err error) {
	f = &front{}
	if c.server == etcd {
		f.calls = newCalls()
		f.Proxy, err = zktest.OpenRelay(b.etcd.addr, f.calls.see)
	} else {
		f.Proxy, err = zktest.OpenProxy(b.serverOf(c))
	}
	return f, err
}

// sent is how many requests have come so far, the pings apart.
func (f *front) sent() (requests, pings int) {
	if f.calls != nil {
		return f.calls.counts()
	}
	requests = len(f.Requests(spoken))
	return requests, len(f.Requests(nil)) - requests
}

// enter starts one more member.
func (e *election) enter() error {
	m := &member{}
	addr := e.b.serverOf(e.contender)
	if e.proxied {
		var err error
		if m.proxy, err = e.b.proxy(e.contender); err != nil {
			return err
		}
		addr = m.proxy.Addr()
	}
	var err error
	m.process, err = e.b.launch(e.argv(e.b, e.contender, addr, e.path, []string{e.b.built("probe"), "stamp", e.stamps}))
	if err != nil {
		return err
	}
	e.members = append(e.members, m)
	return nil
}

// queue is how many stand in the queue, the leader included.
func (e *election) queue() (int, error) {
	switch e.server {
	case etcd:
		return e.b.etcd.queue(e.path)
	case noServer:
		return flocks(e.b.lockFile(e.path))
	}
	names, _, err := e.b.placeOf(e.contender).conn.Children(e.path)
	if errors.Is(err, zk.ErrNoNode) {
		return 0, nil
	}
	return len(names), err
}

// first is the path of the leader's node.
func (e *election) first() (string, error) {
	names, _, err := e.b.placeOf(e.contender).conn.Children(e.path)
	if err != nil || len(names) == 0 {
		return "", fmt.Errorf("nobody in %s: %w", e.path, err)
	}
	sequence := func(name string) string { return name[max(0, len(name)-10):] }
	return e.path + "/" + slices.MinFunc(names, func(a, b string) int { return strings.Compare(sequence(a), sequence(b)) }), nil
}

// awaitQueue waits until n stand in the queue.
func (e *election) awaitQueue(n int) error {
	return await(fmt.Sprintf("%d of %s in %s", n, e.label, e.path), patience, func() (bool, error) {
		if err := e.failed(); err != nil {
			return false, err
		}
		now, err := e.queue()
		return now == n, err
	})
}

// failed tells of a member that has ended by itself.
func (e *election) failed() error {
	for _, m := range e.members {
		if m.ended() && m.cmd.ProcessState.ExitCode() != 0 {
			return fmt.Errorf("%s: %v: %s", strings.Join(m.cmd.Args, " "), m.cmd.ProcessState, &m.said)
		}
	}
	return nil
}

// life is one command's.
type life struct {
	pid        int
	begin, end int64 // 0 while it has not ended
}

// lives are those of all commands so far, in the order in which they began.
func (e *election) lives() (all []life, err error) {
	text, err := os.ReadFile(e.stamps)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	for line := range strings.Lines(string(text)) {
		var which string
		var at int64
		var pid int
		if _, err := fmt.Sscanf(line, "%s %d %d", &which, &at, &pid); err != nil {
			return nil, fmt.Errorf("%s: %q: %w", e.stamps, line, err)
		}
		if which == "begin" {
			all = append(all, life{pid: pid, begin: at})
			continue
		}
		for i := range all {
			if all[i].pid == pid && all[i].end == 0 {
				all[i].end = at
			}
		}
	}
	return all, err
}

// awaitLives waits until so many commands have begun.
func (e *election) awaitLives(n int) (all []life, err error) {
	err = await(fmt.Sprintf("command %d of %s", n, e.label), patience, func() (bool, error) {
		all, err = e.lives()
		return len(all) >= n, err
	})
	if err != nil {
		err = errors.Join(err, e.failed())
	}
	return all, err
}

// open brings up a leader, once those of an earlier round are gone.
func (e *election) open() error {
	if err := e.awaitQueue(0); err != nil {
		return err
	}
	if err := e.enter(); err != nil {
		return err
	}
	_, err := e.awaitLives(1)
	return err
}

// turn is one change of leaders.
type turn struct {
	cause      int64 // when it was brought about
	end        int64 // of the old command, 0 if it never came to stamp it
	begin      int64 // of the new one
	overlapped bool  // the old command lived on beside the new one
}

// errEarly: whoever was to be robbed of leadership had lost it by itself. That is no
// fault: on a machine that is too busy a server answers too late for a short session.
var errEarly = errors.New("leadership had changed by itself")

// steady fails where it is not the first member any more that leads.
func (e *election) steady() error {
	all, err := e.lives()
	if err != nil {
		return err
	}
	if n := len(all); n == 0 || !descends(all[n-1].pid, e.members[0].pid()) {
		return fmt.Errorf("%s: %w", e.path, errEarly)
	}
	return nil
}

// change brings a change of leaders about and waits for it. The member that led is
// ended then, and whatever it has left. What changed by itself is begun anew.
func (e *election) change(cause func(leader *member, command life) (at int64, err error)) (t turn, err error) {
	const tries = 3
	for try := 1; ; try++ {
		t, err = e.changeOnce(cause)
		if !errors.Is(err, errEarly) || try == tries {
			return t, err
		}
		log.Printf("%s: %v; the machine is too busy for its session; again", e.path, err)
		e.close()
		if err := os.Remove(e.stamps); err != nil {
			return t, err
		}
		if err := (elections{e}).open(); err != nil {
			return t, err
		}
		time.Sleep(settle)
	}
}

func (e *election) changeOnce(cause func(leader *member, command life) (at int64, err error)) (t turn, err error) {
	all, err := e.lives()
	if err != nil || len(all) == 0 {
		return t, fmt.Errorf("nobody of %s leads: %w", e.label, err)
	}
	n := len(all)
	leader := e.members[0]
	if err := e.steady(); err != nil {
		return t, err
	}
	if t.cause, err = cause(leader, all[n-1]); err != nil {
		return t, err
	}
	if all, err = e.awaitLives(n + 1); err != nil {
		return t, err
	}
	old := all[n-1]
	t.end, t.begin = old.end, all[n].begin
	if t.begin < t.cause {
		return t, errEarly
	}
	t.overlapped = alive(old.pid) || old.end > t.begin
	return t, e.leave(leader, old)
}

// leave ends the member that led.
func (e *election) leave(m *member, command life) error {
	e.members = e.members[1:]
	if m.proxy == nil { // it may have something left to say
		select {
		case <-m.done:
		case <-time.After(5 * time.Second):
		}
	}
	m.kill()
	<-m.done
	if alive(command.pid) {
		_ = syscall.Kill(command.pid, syscall.SIGKILL) // it may have ended just now
	}
	if m.proxy != nil {
		m.proxy.Close()
	}
	return nil
}

// close ends all members.
func (e *election) close() {
	all, _ := e.lives()
	for i := len(e.members) - 1; i >= 0; i-- { // the leader last: nobody follows
		e.members[i].kill()
		<-e.members[i].done
		if p := e.members[i].proxy; p != nil {
			p.Close()
		}
	}
	if n := len(all); n > 0 && alive(all[n-1].pid) {
		_ = syscall.Kill(all[n-1].pid, syscall.SIGKILL)
	}
	e.members = nil
}

// elections are several, of a contender each.
type elections []*election

// open brings up a leader and a waiter each.
func (es elections) open() error {
	if err := es.each(func(e *election) error { return e.open() }); err != nil {
		return err
	}
	return es.refill()
}

// refill has waiters join, one after the other, wherever too few are.
func (es elections) refill() error {
	return es.each(func(e *election) error {
		for {
			if err := e.awaitQueue(len(e.members)); err != nil || len(e.members) > max(e.waiting, 1) {
				return err
			}
			if err := e.enter(); err != nil {
				return err
			}
		}
	})
}

func (es elections) close() {
	for _, e := range es {
		e.close()
	}
}

// each does something with all of them at the same time.
func (es elections) each(f func(*election) error) error {
	errs := make(chan error, len(es))
	for _, e := range es {
		go func() { errs <- f(e) }()
	}
	var all error
	for range es {
		all = errors.Join(all, <-errs)
	}
	return all
}
