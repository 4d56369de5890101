// Bench measures zkelect, as a user runs it, beside what a user would pick instead and
// beside the least that anybody must do: `make bench`. It starts the servers, builds
// what it compares, measures all of it in turn, so that what else the machine does
// strikes all alike, and writes what it finds between the markers of
// docs/performance.md, with the plots beside it.
//
// From the repository's root, with bin/zkelect built:
//
//	go run ./testdata/bench          all of it
//	go run ./testdata/bench check    whether zkelect is slower or larger, beside the
//	                                 floor, than what recorded.json has
//	go run ./testdata/bench record   writes recorded.json, and its table in the page
//
// BENCH_N is how many times as many repetitions there are, 1 by default, which takes
// about twelve minutes; less than 0.1 is one or two of each, all at once and of few, to
// see whether it works. BENCH_PHASES names the phases to run (for a check, its parts),
// BENCH_WITHOUT contenders to leave out, BENCH_ZKELECT another zkelect, BENCH_PAGE another
// page to write, with the blocks of the phases that were run, and BENCH_RECORDED another
// recorded.json.
package main

import (
	"cmp"
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/go-zookeeper/zk"

	"zkelect/zkelect/zktest"
)

// sources is where this program's are.
const sources = "testdata/bench"

type bench struct {
	dir        string // of what is built and of all that the servers keep
	zkelect    string
	env        []string
	factor     float64 // of the repetitions
	small      bool    // a look at whether all of it works
	contenders []*contender
	zk         *zktest.Server
	conn       *zk.Conn
	etcd       *etcdServer
	mu         sync.Mutex
	samples    map[string]map[string][]float64 // by contender and measure
	notes      map[string][]string             // what was left out, by block
	machine    machine
	files      uint64 // that a server may have open
	version    string // of ZooKeeper
	page       string
	recorded   recorded
	serial     int
	ends       []func()
}

// phases in the order in which they run, with the blocks of the page that they fill.
var phases = []struct {
	name string
	run  func(*bench) error
}{
	{"run", (*bench).runs},
	{"timeline", (*bench).timeline},
	{"exchange", (*bench).exchanges},
	{"handover", (*bench).handovers},
	{"memory", (*bench).memories},
	{"traffic", (*bench).traffic},
	{"kill", (*bench).kills},
	{"loss", (*bench).losses},
	{"queue", (*bench).queues},
	{"elections", (*bench).ledAtOnce},
	{"three", (*bench).onThree},
	{checkPhase, (*bench).records},
}

// checkPhase is what is recorded for checks.
const checkPhase = "check"

func main() {
	log.SetFlags(0)
	log.SetPrefix("bench: ")
	mode := "page"
	if len(os.Args) == 2 {
		mode = os.Args[1]
	}
	if len(os.Args) > 2 || !slices.Contains([]string{"page", "check", "record"}, mode) {
		log.Fatal("usage: bench [check|record], see the head of its main.go")
	}
	if err := run(mode); err != nil {
		log.Fatal(err)
	}
}

func run(mode string) (err error) {
	began := time.Now()
	b := &bench{env: environment(), factor: 1, samples: map[string]map[string][]float64{}, notes: map[string][]string{},
		page: cmp.Or(os.Getenv("BENCH_PAGE"), "docs/performance.md")}
	if n := os.Getenv("BENCH_N"); n != "" {
		if b.factor, err = strconv.ParseFloat(n, 64); err != nil || b.factor <= 0 {
			return fmt.Errorf("BENCH_N is %q; give a factor such as 3 or 0.1", n)
		}
	}
	b.small = b.factor < 0.1
	chosen, err := choose(mode)
	if err != nil {
		return err
	}
	b.files = raiseFiles()
	defer b.end()
	go b.endOnSignal()
	b.contenders = slices.DeleteFunc(contenders(), func(c *contender) bool {
		checked := c.label == floorLabel || c.label == zkelectLabel
		return mode != "page" && !checked || slices.Contains(strings.Split(os.Getenv("BENCH_WITHOUT"), ","), c.label)
	})
	if err := b.build(); err != nil {
		return err
	}
	b.machine = b.look()
	if mode == "check" {
		return b.check(chosen)
	}
	if mode == "page" {
		if err := b.serve(); err != nil {
			return err
		}
	}
	done, err := b.runPhases(chosen)
	return errors.Join(err, b.report(done, time.Since(began)))
}

// runPhases runs one after the other, or, where it is only to be seen whether they work,
// all at once, since they mostly wait. It returns those that did not fail.
func (b *bench) runPhases(chosen []string) (done []string, err error) {
	var running sync.WaitGroup
	var mu sync.Mutex
	for _, p := range phases {
		if !slices.Contains(chosen, p.name) {
			continue
		}
		one := func() {
			since := time.Now()
			failure := p.run(b)
			mu.Lock()
			defer mu.Unlock()
			if failure != nil {
				err = errors.Join(err, fmt.Errorf("%s: %w", p.name, failure))
				return
			}
			log.Printf("%s: %v", p.name, time.Since(since).Round(100*time.Millisecond))
			done = append(done, p.name)
		}
		if b.small {
			running.Go(one)
		} else if one(); err != nil {
			break
		}
	}
	running.Wait()
	return done, err
}

// choose returns the phases to run, of a check its parts.
func choose(mode string) (chosen []string, err error) {
	var all []string
	switch mode {
	case "record":
		return []string{checkPhase}, nil
	case "check":
		for _, p := range parts {
			all = append(all, p.name)
		}
	default:
		for _, p := range phases {
			all = append(all, p.name)
		}
	}
	list := os.Getenv("BENCH_PHASES")
	if list == "" {
		return all, nil
	}
	chosen = strings.Split(list, ",")
	for _, name := range chosen {
		if !slices.Contains(all, name) {
			return nil, fmt.Errorf("BENCH_PHASES: unknown %q: %s", name, strings.Join(all, ","))
		}
	}
	return chosen, nil
}

// rounds is how often something is done that is done n times by default.
func (b *bench) rounds(n int) int { return max(1, int(float64(n)*b.factor+0.5)) }

// warmUp is how many rounds come before the first that counts: in it parents are made and
// files are read.
func (b *bench) warmUp() int {
	if b.small {
		return 0
	}
	return 1
}

// session is all contenders', but where it is named; etcd's lease is as long.
const session = 6 * time.Second

// tick is the servers'. The ends of sessions are multiples of it; production has 2 s.
func (b *bench) tick() time.Duration {
	if b.small {
		return 500 * time.Millisecond
	}
	return 2 * time.Second
}

// serve starts the servers that all share.
func (b *bench) serve() (err error) {
	if b.zk, err = b.launchZooKeeper("zookeeper", b.tick()); err != nil {
		return err
	}
	if b.conn, err = b.connect(b.zk.Addr()); err != nil {
		return err
	}
	answer, err := b.zk.FourLetter("srvr")
	if err != nil {
		return err
	}
	// Zookeeper version: 3.8.0-…
	_, version, _ := strings.Cut(answer, "version: ")
	b.version, _, _ = strings.Cut(version, "-")
	if b.contender("etcd") != nil {
		b.etcd, err = b.launchEtcd()
	}
	return err
}

// build makes what is compared, and what measures.
func (b *bench) build() (err error) {
	if b.zkelect, err = filepath.Abs(cmp.Or(os.Getenv("BENCH_ZKELECT"), "bin/zkelect")); err != nil {
		return err
	}
	if _, err := os.Stat(b.zkelect); err != nil {
		return fmt.Errorf("%w; run: make build", err)
	}
	// Beside the repository, where a disk is: /tmp may be memory, where fsync costs nothing.
	if err := os.MkdirAll("bin", 0o755); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("bin", "bench-")
	if err != nil {
		return err
	}
	if b.dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	b.onEnd(func() { _ = os.RemoveAll(b.dir) })
	goBuild := []string{"go", "build", "-trimpath", "-ldflags", "-s -w", "-o", b.dir + "/"}
	programs := []string{"./" + sources + "/floor"}
	if b.contender("golock") != nil { // a page, not a check
		programs = append(programs, "./"+sources+"/golock", "./"+sources+"/crowd")
	}
	commands := [][]string{
		{"gcc", "-O2", "-static", "-o", b.built("probe"), filepath.Join(sources, "probe/probe.c")},
		append(goBuild, programs...),
	}
	if b.contender("latch") != nil || b.contender("selector") != nil {
		commands = append(commands, []string{"javac", "-cp", jars, "-d", b.dir, filepath.Join(sources, "Run.java")})
	}
	for _, argv := range commands {
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s(.ci/install bench installs what is missing)", strings.Join(argv, " "), err, out)
		}
	}
	return nil
}

func (b *bench) built(name string) string { return filepath.Join(b.dir, name) }

// contender is the one with that label, nil where it is left out.
func (b *bench) contender(label string) *contender {
	for _, c := range b.contenders {
		if c.label == label {
			return c
		}
	}
	return nil
}

// add notes one value of a measure.
func (b *bench) add(label, measure string, v float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.samples[label] == nil {
		b.samples[label] = map[string][]float64{}
	}
	b.samples[label][measure] = append(b.samples[label][measure], v)
}

// values are those of a measure so far.
func (b *bench) values(label, measure string) []float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.samples[label][measure])
}

// drop forgets a measure's values.
func (b *bench) drop(label, measure string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.samples[label], measure)
}

func millis(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

func (b *bench) onEnd(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ends = append(b.ends, f)
}

// end undoes what was set up, the last first.
func (b *bench) end() {
	for _, f := range slices.Backward(b.ends) {
		f()
	}
	b.ends = nil
}

// endOnSignal leaves the rest to the kernel, which kills what this has started.
func (b *bench) endOnSignal() {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	<-c
	if b.dir != "" {
		_ = os.RemoveAll(b.dir)
	}
	os.Exit(130)
}
