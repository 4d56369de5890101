package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"zkelect/zkelect/zktest"
)

// interopKind is a kind of program that elects by ZooKeeper and is not ours.
type interopKind struct {
	name   string
	recipe string // of the zkelects that may stand beside it
	start  func(interopRoom) []string
	// leader tells whether it can say who leads, participants what it says of the
	// others: their ids, the paths of their nodes, or nothing.
	leader       bool
	participants string
	resigns      bool // zkelect resign can ask it
}

// interopKinds are those of testdata/interop.
var interopKinds = []interopKind{
	{name: "curator-latch", recipe: "latch", start: interopJava("Latch"), leader: true, participants: "ids"},
	{name: "curator-selector", recipe: "selector", start: interopJava("Selector"), leader: true, participants: "ids"},
	{name: "curator-mutex", recipe: "selector", start: interopJava("Mutex"), participants: "paths"},
	{name: "curator-revocable", recipe: "selector", start: interopJava("Revocable"), participants: "paths", resigns: true},
	{name: "kazoo-election", recipe: "kazoo", start: interopPython("election.py"), participants: "ids"},
	{name: "kazoo-lock", recipe: "kazoo", start: interopPython("lock.py"), participants: "ids"},
	{name: "gozookeeper-lock", recipe: "selector", start: interopGo},
}

// TestInterop has zkelects beside programs of other people, which are in testdata/interop.
func TestInterop(t *testing.T) {
	t.Parallel()
	room := newInteropRoom(t)
	t.Run("handovers", func(t *testing.T) {
		t.Parallel()
		for _, kind := range interopKinds {
			t.Run(kind.name, func(t *testing.T) {
				t.Parallel()
				interopHandover(t, room, kind)
			})
		}
	})
	t.Run("cut off", func(t *testing.T) {
		t.Parallel()
		for _, kind := range interopKinds {
			t.Run(kind.name, func(t *testing.T) {
				t.Parallel()
				interopCut(t, room, kind)
			})
		}
	})
	t.Run("pairings", func(t *testing.T) {
		t.Parallel()
		for _, row := range interopRows {
			t.Run(row.name, func(t *testing.T) {
				t.Parallel()
				interopPairing(t, room, row)
			})
		}
	})
}

// interopPython3 is the interpreter that sees Debian's packages.
const interopPython3 = "/usr/bin/python3"

// interopNeeds are the files without which the programs can't be built or run.
var interopNeeds = []string{
	"/usr/share/java/curator-recipes.jar", // its manifest names the rest
	"/usr/share/java/slf4j-simple.jar",
	interopPython3,
	"/usr/lib/python3/dist-packages/kazoo/__init__.py",
}

const interopInstall = "apt-get install -y --no-install-recommends " +
	"libcurator-recipes-java libslf4j-java default-jdk-headless python3-kazoo"

func interopJars() string { return strings.Join(interopNeeds[:2], ":") }

// interopRoom is where the programs are built.
type interopRoom struct {
	dir string
	// offset is from the clock that Java knows to the one of our stamps.
	offset int64
}

func newInteropRoom(t *testing.T) interopRoom {
	t.Helper()
	_, err := exec.LookPath("javac")
	for _, file := range interopNeeds {
		_, missing := os.Stat(file)
		err = errors.Join(err, missing)
	}
	if err != nil {
		t.Fatalf("%v; run: %s", err, interopInstall)
	}
	r := interopRoom{dir: t.TempDir(), offset: 1 << 62}
	for range 100 { // the least has not been interrupted between the two
		now := zktest.Now()
		r.offset = min(r.offset, now.Boot-now.Mono)
	}
	sources, err := filepath.Glob("testdata/interop/*.java")
	if err != nil {
		t.Fatal(err)
	}
	for _, build := range [][]string{
		append([]string{"javac", "-cp", interopJars(), "-d", r.dir}, sources...),
		{"go", "build", "-o", filepath.Join(r.dir, "golock"), "./testdata/interop/golock"},
	} {
		if out, err := exec.Command(build[0], build[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", strings.Join(build, " "), err, out)
		}
	}
	return r
}

func interopJava(class string) func(interopRoom) []string {
	return func(r interopRoom) []string {
		return []string{
			"java", "-Xmx64m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto", "-XX:-UsePerfData",
			"-Dstamps.offset=" + strconv.FormatInt(r.offset, 10),
			"-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
			"-cp", r.dir + ":" + interopJars(), class,
		}
	}
}

func interopPython(script string) func(interopRoom) []string {
	return func(interopRoom) []string {
		return []string{interopPython3, "-B", filepath.Join("testdata/interop", script)}
	}
}

func interopGo(r interopRoom) []string { return []string{filepath.Join(r.dir, "golock")} }

// foreigner is a running program of such a kind.
type foreigner struct {
	id      string
	job     *job
	in      io.WriteCloser
	answers int
}

// foreign starts a program of this kind in the election.
func (r interopRoom) foreign(kind interopKind, files, servers, path, id, stamps string, session time.Duration) (*foreigner, error) {
	args := append(kind.start(r), servers, path, id, strconv.FormatInt(session.Milliseconds(), 10), stamps)
	cmd := exec.Command(args[0], args[1:]...)
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	j, err := startJob(files, cmd)
	if err != nil {
		return nil, err
	}
	return &foreigner{id: id, job: j, in: in}, nil
}

// ask gives it a command and returns the answer.
func (f *foreigner) ask(command string) (string, error) {
	if _, err := fmt.Fprintln(f.in, command); err != nil {
		return "", fmt.Errorf("%s of %s: %w", command, f.id, err)
	}
	f.answers++
	for deadline := time.Now().Add(bound); ; time.Sleep(2 * time.Millisecond) {
		out, err := os.ReadFile(f.job.out)
		if err != nil {
			return "", err
		}
		var answers []string
		for line := range bytes.Lines(out) {
			if a, ok := bytes.CutPrefix(line, []byte("= ")); ok && bytes.HasSuffix(a, []byte("\n")) {
				answers = append(answers, string(bytes.TrimRight(a, "\n")))
			}
		}
		if len(answers) >= f.answers {
			answer := answers[f.answers-1]
			if strings.HasPrefix(answer, "error ") {
				return "", fmt.Errorf("%s of %s: %s", command, f.id, answer)
			}
			return answer, nil
		}
		if time.Now().After(deadline) {
			return "", fmt.Errorf("%s of %s: no answer in %v", command, f.id, bound)
		}
	}
}

// wrote is the end of all that it has said.
func (f *foreigner) wrote() string {
	var b strings.Builder
	for _, file := range []string{f.job.out, f.job.err} {
		text, _ := os.ReadFile(file)
		b.Write(text[max(0, len(text)-2000):])
	}
	return b.String()
}
