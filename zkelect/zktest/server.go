package zktest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// startBound is how long a server may take until it serves. It takes half a
// second; the rest is for a machine where every test starts one at once.
const startBound = 60 * time.Second

// A Server is one ZooKeeper server, alone or a member of an [Ensemble]. Its
// ports and its data stay the same through Kill and Restart. Its methods may be
// called from several goroutines.
type Server struct {
	cfg     config
	dir     string
	id      int  // the N of server.N, 0 if it stands alone
	client  port // where clients connect
	secure  port // where they do by TLS
	members map[string]string

	mu   sync.Mutex
	proc *process // nil before the first start; may have exited
	// stdin is what SetSequence writes to; nil without Sequences.
	stdin *os.File
}

// Launch starts a server that keeps its files in dir, and returns once it
// serves. The caller must Close it.
func Launch(dir string, opts ...Option) (*Server, error) {
	s, err := newServer(dir, newConfig(opts))
	if err != nil {
		return nil, err
	}
	if err := s.Restart(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// newServer prepares a server without starting it.
func newServer(dir string, cfg config) (*Server, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, dir: dir, client: port{number: hostClientPort}, secure: port{number: hostSecurePort}}
	if cfg.away() {
		return s, nil
	}
	if s.client, err = reserve(cfg.host); err != nil {
		return nil, err
	}
	if s.secure, err = reserve(cfg.host); err != nil {
		s.client.release()
		return nil, err
	}
	return s, nil
}

// Close kills the server and gives its port back. Its files stay.
func (s *Server) Close() error {
	err := s.Kill()
	s.client.release()
	s.secure.release()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stdin.Close() // nil does no harm
	return err
}

// Addr returns the server's client address, host:port.
func (s *Server) Addr() string { return s.cfg.clientAddr(s.client.number) }

// Connect returns the connect string of this server alone.
func (s *Server) Connect() string { return s.Addr() }

// Dir returns the folder of the server's files.
func (s *Server) Dir() string { return s.dir }

// Pid returns the process id, 0 while the server is down.
func (s *Server) Pid() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.proc.alive() {
		return 0
	}
	return s.proc.pid
}

// Stop freezes the server (SIGSTOP), and returns when it stands. Its sockets
// stay open: connections are accepted, nothing is answered.
func (s *Server) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.named("stop", s.proc.stop())
}

// Cont lets a frozen server go on.
func (s *Server) Cont() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.named("continue", s.proc.cont())
}

// Kill ends the server by SIGKILL and waits for its end. A server that is down
// stays down.
func (s *Server) Kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.named("kill", s.proc.kill())
}

// Restart starts the server again on the same ports with the same data, killing
// it first where it runs, and returns once it serves. A member serves only with
// a quorum: to bring up several at once, Respawn each, then Await each.
func (s *Server) Restart() error {
	if err := s.Respawn(); err != nil {
		return err
	}
	return s.Await(startBound)
}

// Respawn is Restart without the wait.
func (s *Server) Respawn() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.proc.kill(); err != nil {
		return s.named("restart", err)
	}
	java, err := findJava()
	if err != nil {
		return err
	}
	cfgFile, err := s.writeFiles()
	if err != nil {
		return s.named("start", err)
	}
	classes, stdin, err := s.sequences()
	if err != nil {
		return s.named("start", err)
	}
	s.proc, err = spawn(s.cfg.start, stdin, s.logFile(), java, s.cfg.javaArgs(cfgFile, classes)...)
	stdin.Close() // the server's own now; nil does no harm
	return s.named("start", err)
}

// Change has a server that is down start with further options the next time.
func (s *Server) Change(opts ...Option) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range opts {
		o(&s.cfg)
	}
}

// Wipe deletes the data of a server that is down, as a lost disk would.
func (s *Server) Wipe() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc.alive() {
		return s.named("wipe", errors.New("it runs; kill it first"))
	}
	return s.named("wipe", os.RemoveAll(s.dataDir()))
}

// Await returns once the server serves clients, or with an error that holds the
// end of its log once it has exited or the bound has passed.
func (s *Server) Await(bound time.Duration) error {
	s.mu.Lock()
	proc := s.proc
	s.mu.Unlock()
	// A question that comes while the server opens its port is now and then never
	// answered, so the first ones are short.
	patience := probeBound / 10
	for deadline := time.Now().Add(bound); ; time.Sleep(15 * time.Millisecond) {
		asked := time.Now()
		if s.mode(patience) != "" && s.secureAccepts(patience) {
			return nil
		}
		if time.Since(asked) >= patience {
			patience = min(2*patience, probeBound)
		}
		if !proc.alive() {
			return s.named("await", fmt.Errorf("it is down; its log ends:\n%s", s.LogTail(30)))
		}
		if time.Now().After(deadline) {
			return s.named("await", fmt.Errorf("not serving after %v; its log ends:\n%s", bound, s.LogTail(30)))
		}
	}
}

// LogTail returns the last lines of what the server wrote.
func (s *Server) LogTail(lines int) string {
	b, err := os.ReadFile(s.logFile())
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// writeFiles writes what the server reads at its start. It does so at every
// start, since Wipe has taken myid along.
func (s *Server) writeFiles() (cfgFile string, err error) {
	if err := os.MkdirAll(s.dataDir(), 0o755); err != nil {
		return "", err
	}
	if s.id != 0 {
		myid := filepath.Join(s.dataDir(), "myid")
		if err := os.WriteFile(myid, []byte(strconv.Itoa(s.id)+"\n"), 0o644); err != nil {
			return "", err
		}
	}
	secure, err := s.secureLines()
	if err != nil {
		return "", err
	}
	cfgFile = filepath.Join(s.dir, "zoo.cfg")
	text := s.cfg.zooCfg(s.dataDir(), s.client.number, s.members, secure)
	return cfgFile, os.WriteFile(cfgFile, []byte(text), 0o644)
}

func (s *Server) dataDir() string { return filepath.Join(s.dir, "data") }
func (s *Server) logFile() string { return filepath.Join(s.dir, "zookeeper.log") }

// named says in an error what was done to which server.
func (s *Server) named(verb string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("zktest: %s server %s: %w", verb, s.Addr(), err)
}
