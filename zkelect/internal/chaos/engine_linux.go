package chaos

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"zkelect/zkelect/zktest"
)

// engine is one run from inside its world.
type engine struct {
	cured  int // servers were started anew since they committed nothing
	cfg    Config
	out    io.Writer
	begun  int64
	wires  *wires
	lacks  map[kind]string // kinds that are not possible here, and why
	census *census
	eyes   []*eye

	servers    []*host
	ensemble   *zktest.Ensemble
	contenders [][]*contender // by election and index

	mu         sync.Mutex
	violations []Violation
	deeds      []*deed
	resigns    map[int]int    // exit codes of resign
	ends       map[string]int // how contenders ended
	calms      []time.Duration
}

// run does the whole run and returns what it found. What keeps the harness
// itself from working is a violation too, so that no run is good by accident.
func (e *engine) run() *Report {
	e.begun = zktest.Stamp()
	err := e.build()
	if err == nil {
		err = e.rounds()
	}
	if err != nil {
		e.blame("harness", -1, "%v", err)
	}
	e.tearDown()
	return e.report()
}

// build makes the world and starts everybody.
func (e *engine) build() error {
	var err error
	if e.wires, err = newWires(e.cfg.Wired); err != nil {
		return err
	}
	if e.census, err = newCensus(e.cfg.Dir, e.cfg.Elections); err != nil {
		return err
	}
	e.census.blame, e.census.onTerm = e.blame, func(t *term) {
		for _, eye := range e.eyes {
			eye.follow(t, e.cfg.Elections[t.election])
		}
	}
	go e.census.serve()
	if err := e.startServers(); err != nil {
		return err
	}
	e.findLacks()
	for i, election := range e.cfg.Elections {
		var all []*contender
		for n := range e.cfg.Contenders {
			name := fmt.Sprintf("%c%d", 'a'+i, n)
			h, err := e.wires.add(name)
			if err != nil {
				return err
			}
			all = append(all, &contender{
				host: h, election: i, index: n, cfg: &e.cfg, servers: e.ensemble.Connect(), blame: e.blame, ended: e.ended,
				rnd: rand.New(rand.NewPCG(e.cfg.Seed, uint64(100*i+n+1))), over: make(chan struct{}),
			})
		}
		e.contenders = append(e.contenders, all)
		for _, c := range all {
			go c.run()
		}
		fmt.Fprintf(e.out, "election %d: %s, recipe %s, sessions of %v, %s\n", i, election.Path, election.Recipe, election.Session, election.Nature)
	}
	return e.calm()
}

func (e *engine) startServers() error {
	// A follower that hears nothing for so many ticks gives up, and so does a leader.
	opts := []zktest.Option{zktest.TickTime(500 * time.Millisecond), zktest.SyncLimit(cmp.Or(e.cfg.SyncLimit, 5))}
	var hosts []zktest.Host
	for n := range e.cfg.Servers {
		h, err := e.wires.add(fmt.Sprintf("server%d", n+1))
		if err != nil {
			return err
		}
		e.servers = append(e.servers, h)
		hosts = append(hosts, zktest.Host{IP: h.ip, Start: h.start})
	}
	if e.cfg.Wired {
		opts = append(opts, zktest.Hosts(hosts...))
	}
	var err error
	if e.ensemble, err = zktest.LaunchEnsemble(filepath.Join(e.cfg.Dir, "servers"), e.cfg.Servers, opts...); err != nil {
		return err
	}
	for _, s := range e.ensemble.Servers {
		eye, err := openEye(s.Addr(), e.census.gone)
		if err != nil {
			return err
		}
		e.eyes = append(e.eyes, eye)
	}
	return nil
}

// findLacks says which kinds of faults are left out here.
func (e *engine) findLacks() {
	e.lacks = map[kind]string{}
	if e.cfg.Wired {
		e.lacks = e.servers[0].lacking()
	}
	for _, k := range slices.Concat(electionKinds, ensembleKinds) {
		switch {
		case k.onLink() && !e.cfg.Wired:
			e.lacks[k] = "no network namespaces for this user"
		case k.onGuard() && !e.cfg.Guarded, k == stopElector && !e.cfg.Guarded:
			e.lacks[k] = "this zkelect has no guard"
		case k == stepClock && e.cfg.Clocked == "":
			e.lacks[k] = "no binary with a clock to step"
		case k.group() == servers && e.cfg.Servers < 3:
			e.lacks[k] = "fewer than three servers"
		}
	}
}

// rounds does rounds of faults until the time is over. After each all is healed,
// and the elections must come to rest.
func (e *engine) rounds() error {
	plan := newPlan(e.cfg, e.lacks)
	for n := 0; ; n++ {
		var faults []fault
		switch {
		case e.cfg.Rounds != nil && n == len(e.cfg.Rounds):
			return nil
		case e.cfg.Rounds != nil:
			faults = e.cfg.Rounds[n]
		case time.Duration(zktest.Stamp()-e.begun) > e.cfg.For:
			return nil
		default:
			faults = plan.round()
		}
		printRound(e.out, n+1, faults)
		if err := e.round(faults); err != nil {
			return err
		}
		if err := e.calm(); err != nil {
			return err
		}
	}
}

func (e *engine) round(faults []fault) error {
	begun := time.Now()
	errs := make(chan error, len(faults))
	for _, f := range faults {
		d := &deed{fault: f}
		go func() {
			time.Sleep(time.Until(begun.Add(f.At)))
			err := e.do(d)
			if errors.Is(err, errMissed) {
				d.missed, err = err.Error(), nil
			}
			if err != nil {
				err = fmt.Errorf("%v: %w", f, err)
			}
			e.mu.Lock()
			e.deeds = append(e.deeds, d)
			e.mu.Unlock()
			errs <- err
		}()
	}
	var err error
	for range faults {
		err = errors.Join(err, <-errs)
	}
	return err
}

// calm waits until every election has a leader again, all servers serving and
// every fault healed, and looks at what is left of earlier terms.
func (e *engine) calm() error {
	if err := e.serversBack(); err != nil {
		return err
	}
	begun := time.Now()
	for i := range e.cfg.Elections {
		for {
			if t, _ := e.census.leader(i); t != nil {
				break
			}
			if waited := time.Since(begun); waited > e.cfg.Bound {
				committing := e.committing()
				if !slices.Contains(committing, true) && e.cured < cures {
					// Seen once in some twenty runs after a time without a quorum: all
					// three say that they serve, and commit nothing. Nobody can lead then.
					if err := e.cure(); err != nil {
						return err
					}
					begun = time.Now()
					continue
				}
				e.blame("queue", i, "nobody leads %v after the last fault was healed; which servers commit: %v", waited.Round(time.Second), committing)
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	e.mu.Lock()
	e.calms = append(e.calms, time.Since(begun))
	e.mu.Unlock()
	for _, p := range e.census.leftovers(false) {
		e.blame("leftover", e.census.paths[p.Path], "pid %d (%s) of %s (token %d) is alive beside a later term", p.pid, p.Role, p.ID, p.Token)
	}
	return nil
}

// cures is how often in a run servers may be restarted that commit nothing.
const cures = 2

// cure starts servers anew that have stopped to commit by themselves.
func (e *engine) cure() error {
	e.cured++
	for _, s := range e.ensemble.Servers {
		if err := s.Respawn(); err != nil {
			return err
		}
	}
	return e.serversBack()
}

// tearDown ends everybody and looks at what is left.
func (e *engine) tearDown() {
	var stopping sync.WaitGroup
	for _, all := range e.contenders {
		for _, c := range all {
			stopping.Go(func() { c.stop(20 * time.Second) })
		}
	}
	stopping.Wait()
	if e.census != nil {
		e.lookForLeftovers()
		e.census.compareStamps()
		e.census.listener.Close()
	}
	for _, all := range e.contenders {
		for _, c := range all {
			if bad := c.unheardOf(); bad != "" {
				e.blame("panic", c.election, "%s wrote: %s", c.name(), bad)
			}
		}
	}
	for _, eye := range e.eyes {
		eye.close()
	}
	if e.ensemble != nil {
		_ = e.ensemble.Close()
		// Their own folders go with the namespaces.
		for i, s := range e.ensemble.Servers {
			_ = os.WriteFile(filepath.Join(e.cfg.Out, e.servers[i].name+".log"), []byte(s.LogTail(20000)), 0o644)
		}
	}
}

// lookForLeftovers: with every contender gone nothing of ours may live. A guard or
// survivor may have a moment to close the term.
func (e *engine) lookForLeftovers() {
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		left := e.census.leftovers(true)
		strays := e.strays()
		if len(left)+len(strays) == 0 {
			return
		}
		if time.Now().After(deadline) {
			for _, p := range left {
				e.blame("leftover", e.census.paths[p.Path], "at the end: pid %d (%s) of %s (token %d)", p.pid, p.Role, p.ID, p.Token)
				kill(p.pid, 9)
			}
			for pid, line := range strays {
				e.blame("leftover", -1, "at the end: pid %d: %s", pid, line)
				kill(pid, 9)
			}
			return
		}
	}
}

// strays are processes of the machine that are zkelect's or a worker's of this
// run, by the name of the program and its folder.
func (e *engine) strays() map[int]string {
	found := map[int]string{}
	entries, _ := os.ReadDir("/proc")
	for _, entry := range entries {
		exe, err := os.Readlink("/proc/" + entry.Name() + "/exe")
		if err != nil {
			continue
		}
		for _, ours := range []string{e.cfg.Binary, e.cfg.Clocked, e.cfg.Worker} {
			if ours != "" && strings.TrimSuffix(exe, " (deleted)") == ours {
				line, _ := os.ReadFile("/proc/" + entry.Name() + "/cmdline")
				pid := 0
				if _, err := fmt.Sscan(entry.Name(), &pid); err == nil {
					found[pid] = strings.ReplaceAll(string(line), "\x00", " ")
				}
			}
		}
	}
	return found
}

func (e *engine) named(name string) *contender {
	for _, all := range e.contenders {
		for _, c := range all {
			if c.name() == name {
				return c
			}
		}
	}
	return nil
}

// ended counts how contenders end. Their command can be executed, so that it can't
// be is a breach too. 125 is not: who starts in a cut meets nobody in time.
func (e *engine) ended(c *contender, ws syscall.WaitStatus) {
	how := fmt.Sprintf("exit %d", ws.ExitStatus())
	if ws.Signaled() {
		how = ws.Signal().String()
	}
	e.mu.Lock()
	if e.ends == nil {
		e.ends = map[string]int{}
	}
	e.ends[how]++
	e.mu.Unlock()
	if code := ws.ExitStatus(); code == 2 || code == 126 || code == 127 {
		e.blame("exit", c.election, "%s ended: %s; see its log", c.name(), how)
	}
}

func (e *engine) resigned(code int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.resigns == nil {
		e.resigns = map[int]int{}
	}
	e.resigns[code]++
}

// blame notes a violation, named by its check.
func (e *engine) blame(check string, election int, format string, args ...any) {
	v := Violation{Check: check, Election: election, At: zktest.Stamp() - e.begun, Text: fmt.Sprintf(format, args...)}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.violations = append(e.violations, v)
	fmt.Fprintf(e.out, "VIOLATION %v\n", v)
}

// doneDeeds are the faults so far that struck, by their beginning.
func (e *engine) doneDeeds() []*deed {
	e.mu.Lock()
	defer e.mu.Unlock()
	done := slices.DeleteFunc(slices.Clone(e.deeds), func(d *deed) bool { return d.missed != "" })
	slices.SortFunc(done, func(a, b *deed) int { return cmp.Compare(a.from, b.from) })
	return done
}
