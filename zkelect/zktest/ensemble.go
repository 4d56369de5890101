package zktest

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// An Ensemble is several servers that elect a leader among themselves.
type Ensemble struct {
	Servers []*Server // ordered by their id, the first is 1

	quorum []port // held for the servers to talk to one another
}

// LaunchEnsemble starts n servers that keep their files below dir, and returns
// once all of them serve. The caller must Close it.
func LaunchEnsemble(dir string, n int, opts ...Option) (*Ensemble, error) {
	e := &Ensemble{}
	if err := e.start(dir, n, newConfig(opts)); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

func (e *Ensemble) start(dir string, n int, cfg config) error {
	members := map[string]string{}
	for id := 1; id <= n; id++ {
		s, err := newServer(filepath.Join(dir, fmt.Sprintf("server%d", id)), cfg.at(id))
		if err != nil {
			return err
		}
		s.id, s.members = id, members
		e.Servers = append(e.Servers, s)
		if s.cfg.away() {
			members[fmt.Sprintf("server.%d", id)] = fmt.Sprintf("%s:%d:%d", s.cfg.host, hostQuorumPort, hostElectionPort)
			continue
		}

		var pair [2]int // followers to leader; the election
		for i := range pair {
			p, err := reserve("127.0.0.1")
			if err != nil {
				return err
			}
			e.quorum = append(e.quorum, p)
			pair[i] = p.number
		}
		members[fmt.Sprintf("server.%d", id)] = fmt.Sprintf("127.0.0.1:%d:%d", pair[0], pair[1])
	}
	for _, s := range e.Servers {
		if err := s.Respawn(); err != nil {
			return err
		}
	}
	return e.Await(startBound)
}

// Close kills all servers and gives their ports back. Their files stay.
func (e *Ensemble) Close() error {
	var errs []error
	for _, s := range e.Servers {
		errs = append(errs, s.Close())
	}
	for _, p := range e.quorum {
		p.release()
	}
	return errors.Join(errs...)
}

// Await returns once every server serves, one as leader.
func (e *Ensemble) Await(bound time.Duration) error {
	for _, s := range e.Servers {
		if err := s.Await(bound); err != nil {
			return err
		}
	}
	if len(e.Servers) == 1 {
		return nil // it stands alone, with nobody to lead
	}
	_, err := e.AwaitLeader(bound)
	return err
}

// Connect returns the connect string that names all servers.
func (e *Ensemble) Connect() string { return e.connect((*Server).Addr) }

// SecureConnect is Connect for the secure ports of servers with [TLS].
func (e *Ensemble) SecureConnect() string { return e.connect((*Server).SecureAddr) }

func (e *Ensemble) connect(addr func(*Server) string) string {
	addrs := make([]string, len(e.Servers))
	for i, s := range e.Servers {
		addrs[i] = addr(s)
	}
	return strings.Join(addrs, ",")
}

// Leader returns the server that says it leads, nil where none does just now
// (after the leader's end it takes a new one about a second).
func (e *Ensemble) Leader() *Server {
	if leaders := e.inMode("leader"); len(leaders) > 0 {
		return leaders[0]
	}
	return nil
}

// Followers returns the servers that say they follow.
func (e *Ensemble) Followers() []*Server { return e.inMode("follower") }

// AwaitLeader waits until a server leads.
func (e *Ensemble) AwaitLeader(bound time.Duration) (*Server, error) {
	for deadline := time.Now().Add(bound); ; time.Sleep(20 * time.Millisecond) {
		if s := e.Leader(); s != nil {
			return s, nil
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("zktest: ensemble without a leader after %v", bound)
		}
	}
}

// inMode asks all servers at once, so that a stopped one costs its bound once.
func (e *Ensemble) inMode(mode string) []*Server {
	modes := make([]string, len(e.Servers))
	var asked sync.WaitGroup
	for i, s := range e.Servers {
		asked.Go(func() { modes[i] = s.Mode() })
	}
	asked.Wait()
	var found []*Server
	for i, s := range e.Servers {
		if modes[i] == mode {
			found = append(found, s)
		}
	}
	return found
}
