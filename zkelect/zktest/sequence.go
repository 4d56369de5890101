package zktest

import (
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"
)

// sequenceServer is a main class around ZooKeeper's own, whose counters can be set.
//
//go:embed SequenceServer.java
var sequenceServer []byte

const (
	sequenceClass  = "org.apache.zookeeper.server.SequenceServer"
	installJavac   = "apt-get install -y --no-install-recommends default-jdk-headless"
	sequenceSource = "SequenceServer.java"
)

// Sequences makes [Server.SetSequence] possible, for a server that stands alone. It
// is compiled at its start, which takes a second.
func Sequences() Option {
	return func(c *config) { c.sequences = true }
}

// compile puts the classes of sequenceServer below dir, once.
func compile(dir string) (classes string, err error) {
	classes = filepath.Join(dir, "classes")
	if _, err := os.Stat(classes); err == nil {
		return classes, nil
	}
	javac, err := exec.LookPath("javac")
	if err != nil {
		return "", fmt.Errorf("no javac: %w; run: %s", err, installJavac)
	}
	source := filepath.Join(dir, sequenceSource)
	if err := os.WriteFile(source, sequenceServer, 0o644); err != nil {
		return "", err
	}
	out, err := exec.Command(javac, "-nowarn", "-cp", strings.Join(jars, ":"), "-d", classes, source).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("compile %s: %w\n%s", sequenceSource, err, out)
	}
	return classes, nil
}

// SetSequence has the next sequential child of a node get this number. The counter
// can only rise; after 2147483647 it stays. Nothing of it is written to disk before
// that child is made.
func (s *Server) SetSequence(path string, next int32) error {
	s.mu.Lock()
	stdin := s.stdin
	s.mu.Unlock()
	if stdin == nil {
		return s.named("set a sequence on", errors.New("it was started without Sequences"))
	}
	if _, err := fmt.Fprintf(stdin, "%d %s\n", next, path); err != nil {
		return s.named("set a sequence on", err)
	}
	c, err := dial(10*time.Second, s.Addr())
	if err != nil {
		return err
	}
	defer c.close()
	for deadline := time.Now().Add(startBound / 4); ; time.Sleep(5 * time.Millisecond) {
		there, stat, err := c.Exists(path)
		switch {
		case err != nil:
			return s.named("set a sequence on", err)
		case there && counter(stat) == next:
			return nil
		case time.Now().After(deadline):
			return s.named("set a sequence on", fmt.Errorf("not done; its log ends:\n%s", s.LogTail(5)))
		}
	}
}

// counter is the sequence counter from what the server tells of a node, where it
// counts each child that comes and each that goes (DataNode.copyStat).
func counter(stat *zk.Stat) int32 { return int32(uint32(stat.Cversion+stat.NumChildren) / 2) }

// sequences prepares the start of a server of ours: the folder of its classes and the
// input of the process that is to be started. All is empty without [Sequences].
func (s *Server) sequences() (classes string, stdin *os.File, err error) {
	if !s.cfg.sequences {
		return "", nil, nil
	}
	if classes, err = compile(s.dir); err != nil {
		return "", nil, err
	}
	s.stdin.Close() // of the process before; nil does no harm
	stdin, s.stdin, err = os.Pipe()
	return classes, stdin, err
}
