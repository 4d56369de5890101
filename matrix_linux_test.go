package main

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"zkelect/zkelect/zktest"
)

// The times of a cell. With the shared server's tick of half a second, a lease of
// 3.1 s comes out.
const (
	matrixSession = 4 * time.Second
	matrixGrace   = 200 * time.Millisecond
)

// matrixUps is how many processes of a kind say that they are up.
var matrixUps = map[string]int{"plain": 1, "deaf": 1, "daemons": 4, "thousand": 11, "respawner": 9}

// matrixDaemons is how many daemons there are of a kind.
var matrixDaemons = map[string]int{"daemons": 3, "thousand": 1000}

// TestMatrix kills and stops zkelect's own processes in every way, and looks at what
// becomes of the command's. make test runs one cell of each row, make matrix all of
// them, which writes the table into $ZKELECT_MATRIX.
func TestMatrix(t *testing.T) {
	t.Parallel()
	table := os.Getenv("ZKELECT_MATRIX")
	cells := matrixSampled()
	if table != "" {
		cells = matrixCells()
	}
	room := matrixRoom(t)
	var mu sync.Mutex
	results := map[matrixCell]string{}
	heavy := make(chan struct{}, 2) // as many at a time of those that need a CPU each
	t.Run("cells", func(t *testing.T) {
		for _, c := range cells {
			t.Run(c.String(), func(t *testing.T) {
				t.Parallel()
				if c.kind == "thousand" || c.kind == "respawner" {
					heavy <- struct{}{}
					defer func() { <-heavy }()
				}
				m := &matrixRun{t: t, cell: c, room: room}
				result := m.run()
				if result != "" {
					t.Log(c, result)
				}
				mu.Lock()
				defer mu.Unlock()
				results[c] = result
			})
		}
	})
	if table == "" {
		return
	}
	text := matrixTable(results)
	t.Log("\n" + text)
	if !t.Failed() {
		if err := matrixWrite(table, text); err != nil {
			t.Error(err)
		}
	}
}

// matrixWrite puts the table between the markers of a page.
func matrixWrite(page, table string) error {
	const begin, end = "<!-- matrix: written by make matrix -->\n", "<!-- end of matrix -->"
	old, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	before, rest, found := strings.Cut(string(old), begin)
	_, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		return fmt.Errorf("%s lacks the lines %s%s", page, begin, end)
	}
	return os.WriteFile(page, []byte(before+begin+"\n"+table+"\n"+end+after), 0o644)
}

// matrixRun is one cell under way.
type matrixRun struct {
	t     *testing.T
	cell  matrixCell
	room  string
	dir   string
	place matrixPlace
	pipe  *matrixPipe
	job   *job
	root  string // of the cell on the server

	elector, guard, init int    // the latter only in a PID namespace
	main                 string // what the main process has said
	lease                time.Duration

	fault  int64 // when it was
	deadAt int64 // when the last of the tree was dead; 0 while one lives
}

// run returns what the table shows: "" for a cell that this machine cannot run.
func (m *matrixRun) run() string {
	t := m.t
	place, whyNot := newMatrixPlace(t, m.cell.user, m.cell.isolate)
	if whyNot != "" {
		matrixLeftOut(t, whyNot)
		return ""
	}
	m.place = place
	m.dir = filepath.Join(m.room, m.cell.String())
	if err := os.Mkdir(m.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	var err error
	if m.pipe, err = newMatrixPipe(m.dir + "/fifo"); err != nil {
		t.Fatal(err)
	}
	defer m.pipe.close()
	defer m.end()
	m.start()
	gone := m.watch()
	m.strike()

	// The last to act is the kernel's timer for the elector, a second or so after
	// the lease.
	const settled = matrixSession + 2*time.Second
	at, dead := m.pipe.dead(settled)
	if dead {
		m.deadAt = at
	}
	survivors := m.survivors()
	for name, deleted := range gone {
		select {
		case treeDead := <-deleted:
			if !treeDead && m.cell.want != "live" {
				t.Errorf("the tree lived when %s was deleted", name)
			}
		case <-time.After(bound):
			t.Errorf("%s is never deleted", name)
		}
	}
	return m.judge(survivors)
}

func (m *matrixRun) fatal(format string, args ...any) {
	m.t.Helper()
	log := ""
	if m.job != nil {
		text, _ := os.ReadFile(m.job.err)
		log = "\n" + string(text)
	}
	m.t.Fatalf(format+"%s", append(args, log)...)
}

// start starts zkelect and returns when the whole tree is up.
func (m *matrixRun) start() {
	t := m.t
	server := zktest.Shared(t)
	connect := server.Chroot(t)
	_, chroot, _ := strings.Cut(connect, "/")
	m.root = "/" + chroot
	cmd := m.place.limited(m.room+"/zkelect", "run", "-s", connect, "-p", "/jobs/e", "--id", "a",
		"--session-timeout", matrixSession.String(), "--stop-timeout", matrixGrace.String(), "--isolate", m.cell.isolate,
		"--", m.room+"/child", m.cell.kind, m.dir)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), matrixMark+"="+m.dir, "HOME=/")
	var err error
	if cmd.SysProcAttr, err = m.place.attr(); err != nil {
		t.Fatal(err)
	}
	m.job, err = startJob(filepath.Join(m.room, m.cell.String()), cmd)
	if cmd.SysProcAttr.UseCgroupFD {
		_ = syscall.Close(cmd.SysProcAttr.CgroupFD)
	}
	if err != nil {
		t.Fatal(err)
	}
	// The main process is up before the others are let loose.
	if m.main, err = m.pipe.await(1, m.job.done); err != nil {
		m.fatal("%v", err)
	}
	procs := matrixMarked(m.dir)
	for _, p := range procs {
		switch p.comm {
		case "zkelect":
			m.elector = p.pid
		case "zkelect-guard":
			m.guard = p.pid
		case "zkelect-init":
			m.init = p.pid
		}
	}
	if m.elector != m.job.cmd.Process.Pid || m.guard == 0 || (m.init != 0) != (m.cell.isolate == "pidns") {
		m.fatal("not the processes that are wanted: %+v", procs)
	}
	if err := m.place.limit(procs); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(m.dir+"/go", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := m.pipe.await(matrixUps[m.cell.kind], m.job.done); err != nil {
		m.fatal("%v", err)
	}
	m.pipe.drop()
}

var (
	matrixNode  = regexp.MustCompile(`msg=leading node=(\S+)`)
	matrixLease = regexp.MustCompile(`msg="lease budget" .*\bdeadline=(\S+)`)
	matrixLevel = regexp.MustCompile(`msg=started .*\bisolate=(\S+)`)
)

// logged waits for a word in the log.
func (m *matrixRun) logged(re *regexp.Regexp) string {
	m.t.Helper()
	for deadline := time.Now().Add(bound); ; time.Sleep(5 * time.Millisecond) {
		log, _ := os.ReadFile(m.job.err)
		if found := re.FindSubmatch(log); found != nil {
			return string(found[1])
		}
		if time.Now().After(deadline) {
			m.fatal("no %v in the log", re)
		}
	}
}

// watch returns for each of the nodes that must outlive the tree a channel that
// tells whether the tree was dead when the node was deleted.
func (m *matrixRun) watch() map[string]<-chan bool {
	t := m.t
	if level := m.logged(matrixLevel); level != m.cell.isolate {
		m.fatal("isolated by %s", level)
	}
	lease, err := time.ParseDuration(m.logged(matrixLease))
	if err != nil {
		t.Fatal(err)
	}
	m.lease = lease
	gone := map[string]<-chan bool{}
	for _, node := range []string{m.logged(matrixNode), "/jobs/.zkelect-e/live"} {
		deleted := zktest.Shared(t).DeletedAt(t, path.Join(m.root, node))
		treeDead := make(chan bool, 1)
		go func() {
			if _, ok := <-deleted; ok {
				_, dead := m.pipe.dead(0)
				treeDead <- dead
			}
		}()
		gone[path.Base(node)] = treeDead
	}
	return gone
}

// strike applies the fault.
func (m *matrixRun) strike() {
	var pids []int
	switch m.cell.whom {
	case "elector":
		pids = []int{m.elector}
	case "guard":
		pids = []int{m.guard}
	case "both":
		pids = []int{m.elector, m.guard}
	case "all":
		for _, p := range matrixMarked(m.dir) {
			if p.ours() {
				pids = append(pids, p.pid)
			}
		}
	}
	m.fault = zktest.Stamp()
	if m.cell.fault == "stop" || len(pids) > 1 {
		m.signal(pids, syscall.SIGSTOP)
	}
	if m.cell.fault == "kill" {
		// One blow: none of them can do anything about the other's death.
		if len(pids) > 1 {
			for _, pid := range pids {
				m.stands(pid)
			}
			m.fault = zktest.Stamp()
		}
		m.signal(pids, syscall.SIGKILL)
	}
}

func (m *matrixRun) signal(pids []int, sig syscall.Signal) {
	for _, pid := range pids {
		if err := syscall.Kill(pid, sig); err != nil {
			m.fatal("%v for %d: %v", sig, pid, err)
		}
	}
}

func (m *matrixRun) stands(pid int) {
	for deadline := time.Now().Add(bound); ; time.Sleep(time.Millisecond) {
		if p, ok := matrixStat(pid); ok && p.state == 'T' {
			return
		}
		if time.Now().After(deadline) {
			m.fatal("%d does not stop", pid)
		}
	}
}

// survivors is what lives of the tree.
func (m *matrixRun) survivors() []matrixProc {
	if m.deadAt != 0 {
		return nil
	}
	return slices.DeleteFunc(matrixMarked(m.dir), matrixProc.ours)
}

// judge holds what came out against what was to be.
func (m *matrixRun) judge(survivors []matrixProc) string {
	t := m.t
	took := time.Duration(m.deadAt - m.fault)
	// How much more than it should take on a busy machine.
	slack := time.Second
	if m.cell.kind == "respawner" || m.cell.kind == "thousand" {
		slack = 3 * time.Second
	}
	most := map[string]time.Duration{"now": 0, "grace": matrixGrace, "lease": m.lease}
	switch {
	case m.cell.want == "live" && m.deadAt != 0:
		t.Errorf("all dead after %v: known were survivors", took)
	case m.cell.want == "live":
		if n := len(survivors); n != matrixDaemons[m.cell.kind] && m.cell.kind != "respawner" {
			t.Errorf("%d live: %s", n, matrixSum(survivors))
		}
		for _, p := range survivors {
			if fmt.Sprintf("up main %d", p.pid) == m.main {
				t.Errorf("the main process outlived its guard: %+v", p)
			}
		}
	case m.deadAt == 0:
		t.Errorf("alive %v after the fault: %s", time.Duration(zktest.Stamp()-m.fault), matrixSum(survivors))
	case took > most[m.cell.want]+slack:
		t.Errorf("dead only after %v, want %v", took, m.cell.want)
	}
	if m.deadAt == 0 {
		return "**daemons live**"
	}
	return fmt.Sprintf("%d ms", took.Round(time.Millisecond).Milliseconds())
}

// end ends everything, and tells of a zkelect that didn't by itself.
func (m *matrixRun) end() {
	if m.job == nil {
		return
	}
	_ = os.Remove(m.dir + "/go")
	var ours []matrixProc
	for deadline := time.Now().Add(bound / 4); time.Now().Before(deadline) && !m.t.Failed(); time.Sleep(20 * time.Millisecond) {
		ours = slices.DeleteFunc(matrixMarked(m.dir), func(p matrixProc) bool { return !p.ours() })
		if len(ours) == 0 {
			break
		}
	}
	if len(ours) > 0 {
		m.t.Errorf("of zkelect there is still: %+v", ours)
	}
	matrixEnd(m.t, m.dir)
	if log, _ := os.ReadFile(m.job.err); m.t.Failed() {
		m.t.Logf("the log:\n%s", log)
	}
}
