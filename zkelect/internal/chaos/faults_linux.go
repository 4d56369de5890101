package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"github.com/go-zookeeper/zk"

	"zkelect/zkelect/zktest"
)

// A deed is a fault that was done, for the report and the timeline.
type deed struct {
	fault
	span
	contender *contender // whom it struck; nil for servers
	servers   []int      // which it struck
	missed    string     // why it was not done after all
}

// errMissed: whom the fault was for was not there.
var errMissed = errors.New("missed")

func missed(why string, args ...any) error {
	return fmt.Errorf("%w: %s", errMissed, fmt.Sprintf(why, args...))
}

// do does a fault and heals it.
func (e *engine) do(d *deed) error {
	d.from = zktest.Stamp()
	defer func() { d.to = zktest.Stamp() }()
	heal, err := e.strike(d)
	if err != nil {
		return err
	}
	time.Sleep(d.For)
	if heal != nil {
		return heal()
	}
	return nil
}

// strike does a fault and returns what heals it.
func (e *engine) strike(d *deed) (heal func() error, err error) {
	if d.Kind.group() == servers {
		return e.strikeServers(d)
	}
	t, p, err := e.aim(d)
	if err != nil {
		return nil, err
	}
	c := d.contender
	d.from = zktest.Stamp()
	switch d.Kind {
	case killElector, stopElector, killGuard, stopGuard, killBoth, stopBoth, killChild, stopChild:
		return e.strikeProcess(d, p)
	case cutBoth:
		return c.host.cut(true, true)
	case cutUp:
		return c.host.cut(true, false)
	case cutDown:
		return c.host.cut(false, true)
	case slowLink:
		return e.slow(d)
	case reset:
		return nil, c.host.reset()
	case deleteNode, deleteLive:
		return nil, e.deleteByHand(d, t)
	case deleteCut:
		heal, err := c.host.cut(true, true)
		if err != nil {
			return nil, err
		}
		if err := e.deleteByHand(d, t); err != nil {
			return nil, errors.Join(err, heal())
		}
		return heal, nil
	case cutWithServer:
		return e.cutWithServer(d, c)
	case resign:
		return nil, e.resign(d, nil)
	case resignTo:
		to := e.waiter(d.Election, c, d.Pick)
		if to == nil {
			return nil, missed("nobody waits")
		}
		return nil, e.resign(d, to)
	case stepClock:
		return nil, stepTo(c.clock(), d.Pick)
	}
	return nil, fmt.Errorf("unknown kind %q", d.Kind)
}

// aim finds whom a fault strikes: the leader is waited for a little.
func (e *engine) aim(d *deed) (*term, *process, error) {
	if d.Target >= 0 {
		d.contender = e.contenders[d.Election][d.Target]
		return nil, nil, nil
	}
	for deadline := time.Now().Add(6 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		t, p := e.census.leader(d.Election)
		var leading *contender
		if t != nil {
			leading = e.named(t.id)
		}
		switch {
		case d.Target == theLeader && leading != nil && leading.pid() != 0 && (!e.alone(d) || e.census.claim(t)):
			d.contender = leading
			return t, p, nil
		case d.Target == aWaiter:
			if d.contender = e.waiter(d.Election, leading, d.Pick); d.contender != nil {
				return nil, nil, nil
			}
		}
		if time.Now().After(deadline) {
			return nil, nil, missed("nobody there")
		}
	}
}

// alone tells whether no second fault of its like may strike the same term: one on
// the elector and one on the guard are a blow to both, which a tree that
// daemonises outlives unless it is isolated.
func (e *engine) alone(d *deed) bool {
	return e.cfg.Elections[d.Election].Nature == family && (d.Kind.onGuard() || d.Kind == killElector || d.Kind == stopElector)
}

// waiter is a contender that runs and does not lead.
func (e *engine) waiter(election int, leading *contender, pick uint32) *contender {
	var waiting []*contender
	for _, c := range e.contenders[election] {
		if c != leading && c.pid() != 0 {
			waiting = append(waiting, c)
		}
	}
	if len(waiting) == 0 {
		return nil
	}
	return waiting[int(pick)%len(waiting)]
}

func (e *engine) strikeProcess(d *deed, p *process) (heal func() error, err error) {
	c := d.contender
	elector, guard, child := c.pid(), 0, 0
	if d.Kind.onGuard() {
		if guard = c.guard(); guard == 0 {
			return nil, missed("no guard")
		}
	}
	if p != nil {
		child = p.pid
	}
	var struck []int
	switch d.Kind {
	case killElector, stopElector:
		struck = []int{elector}
	case killGuard, stopGuard:
		struck = []int{guard}
	case killBoth, stopBoth:
		struck = []int{guard, elector}
		if d.Pick%2 == 0 {
			struck = []int{elector, guard}
		}
	case killChild, stopChild:
		struck = []int{child}
	}
	signal := syscall.SIGSTOP
	if d.Kind.passes() {
		signal = syscall.SIGKILL
	}
	for _, pid := range struck {
		kill(pid, signal)
	}
	return func() error {
		for _, pid := range struck {
			kill(pid, syscall.SIGCONT)
		}
		return nil
	}, nil
}

// slow is done once at a time to a link.
func (e *engine) slow(d *deed) (heal func() error, err error) {
	c := d.contender
	c.mu.Lock()
	was := c.slowed
	c.slowed = true
	c.mu.Unlock()
	if was {
		return nil, missed("slow already")
	}
	undo, err := c.host.slow(300 + int(d.Pick%1200))
	return func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.slowed = false
		return undo()
	}, err
}

// deleteByHand deletes a node as somebody with a shell would: the node in the
// queue, of the leader or a waiter, or the leader's live.
func (e *engine) deleteByHand(d *deed, t *term) error {
	var ops []any
	switch {
	case t != nil && !e.census.byHand(t, d.Kind == deleteLive):
		return missed("the term has lost a node already")
	case d.Kind == deleteLive:
		// While the queue node stands, live is this term's and no other's.
		ops = []any{&zk.CheckVersionRequest{Path: t.node, Version: -1}, &zk.DeleteRequest{Path: e.cfg.Elections[t.election].live(), Version: -1}}
	case t != nil:
		ops = []any{&zk.DeleteRequest{Path: t.node, Version: -1}}
	default:
		return e.deleteWaiter(d)
	}
	return e.byOneEye(func(conn *zk.Conn) error {
		_, err := conn.Multi(ops...)
		return err
	})
}

// deleteWaiter deletes the node of one that waits; it may have begun to lead.
func (e *engine) deleteWaiter(d *deed) error {
	latch := e.cfg.Elections[d.Election].Path
	return e.byOneEye(func(conn *zk.Conn) error {
		names, _, err := conn.Children(latch)
		if err != nil {
			return err
		}
		for _, name := range names {
			node := latch + "/" + name
			data, _, err := conn.Get(node)
			if err != nil || string(data) != d.contender.name() {
				continue
			}
			// What leads by now is marked before it is struck.
			if !e.census.nodeByHand(node) {
				return missed("the term has lost its live already")
			}
			return conn.Delete(node, -1)
		}
		return missed("not in the queue")
	})
}

// byOneEye asks the servers by one of our own sessions, whichever answers. What
// is not there any more was missed.
func (e *engine) byOneEye(ask func(*zk.Conn) error) error {
	answers := make(chan error, len(e.eyes))
	for _, i := range rand.Perm(len(e.eyes)) {
		eye := e.eyes[i]
		go func() { answers <- ask(eye.conn) }()
		select {
		case err := <-answers:
			switch {
			case err == nil:
				return nil
			case errors.Is(err, zk.ErrNoNode):
				return missed("gone already")
			case errors.Is(err, errMissed):
				return err
			}
		case <-time.After(time.Second):
		}
	}
	return missed("no server answers")
}

// resign asks the leader to hand over. Any answer will do: what counts are the
// trees.
func (e *engine) resign(d *deed, to *contender) error {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	args := []string{"resign", "-s", e.ensemble.Connect(), "-p", e.cfg.Elections[d.Election].Path, "--timeout", "5s"}
	if to != nil {
		args = append(args, "--to", to.name())
	}
	cmd := exec.CommandContext(ctx, e.cfg.Binary, args...)
	cmd.Env = environment()
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return fmt.Errorf("resign lives 15 s with a time-out of 5: %s", out)
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return err
	}
	code := cmd.ProcessState.ExitCode()
	e.resigned(code)
	if code == 0 || code == 1 || code == 2 || code == 124 {
		return nil
	}
	return fmt.Errorf("resign exits %d: %s", code, out)
}

// stepTo steps the wall clock of a contender, by up to a day either way.
func stepTo(file string, pick uint32) error {
	seconds := int64(pick)%(2*86400) - 86400
	next := file + ".new"
	if err := os.WriteFile(next, []byte(strconv.FormatInt(seconds, 10)), 0o644); err != nil {
		return err
	}
	return os.Rename(next, file)
}
