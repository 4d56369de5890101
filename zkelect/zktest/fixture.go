package zktest

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// Start gives the test a server of its own.
func Start(tb testing.TB, opts ...Option) *Server {
	tb.Helper()
	// The folder first: clean-ups run in reverse, and the server must be dead
	// before its files go.
	s, err := Launch(tb.TempDir(), opts...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		showLog(tb, s)
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

// StartEnsemble gives the test n servers of its own, one of them leading.
func StartEnsemble(tb testing.TB, n int, opts ...Option) *Ensemble {
	tb.Helper()
	e, err := LaunchEnsemble(tb.TempDir(), n, opts...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		for _, s := range e.Servers {
			showLog(tb, s)
		}
		if err := e.Close(); err != nil {
			tb.Error(err)
		}
	})
	return e
}

// showLog prints the end of the server's log where the test has failed.
func showLog(tb testing.TB, s *Server) {
	tb.Helper()
	if tb.Failed() {
		tb.Logf("log of server %s ends:\n%s", s.Addr(), s.LogTail(40))
	}
}

// shared is the one server of this process.
var shared struct {
	mu     sync.Mutex
	server *Server
	dir    string
	err    error
}

// Shared returns the one server of this test process, started by the first who
// asks and killed with the process. Tests share it, so give each a [Server.Chroot]
// and leave the server itself alone: one that is to be stopped or killed comes
// from [Start]. Where a test of the package uses it, TestMain must be
// os.Exit(Main(m)), so that its folder goes too.
func Shared(tb testing.TB) *Server {
	tb.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.server == nil && shared.err == nil {
		shared.server, shared.err = launchShared()
	}
	if shared.err != nil {
		tb.Fatal(shared.err)
	}
	tb.Cleanup(func() { showLog(tb, shared.server) })
	return shared.server
}

func launchShared() (_ *Server, err error) {
	shared.dir, err = os.MkdirTemp("", "zktest-shared-")
	if err != nil {
		return nil, err
	}
	return Launch(filepath.Join(shared.dir, "server"))
}

// A Runner runs the tests: *testing.M.
type Runner interface{ Run() int }

// Main runs the tests, ends the shared server, removes its folder, and returns
// the code for os.Exit.
func Main(m Runner) int {
	defer closeShared() // deferred: a panic of the run passes here too
	return m.Run()
}

// M wraps a Runner in Main, for those who call Run themselves:
//
//	testscript.Main(zktest.M{Runner: m}, commands)
type M struct{ Runner }

// Run is [Main] of the wrapped Runner.
func (m M) Run() int { return Main(m.Runner) }

func closeShared() {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.server != nil {
		_ = shared.server.Close() // its parent-death signal stands behind this
	}
	if shared.dir != "" {
		_ = os.RemoveAll(shared.dir)
	}
}
