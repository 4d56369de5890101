package chaos

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"zkelect/zkelect/zktest"
)

// strikeServers does a fault to one server, or to so many that no quorum is left.
// Half of the time the one is the ensemble's leader.
func (e *engine) strikeServers(d *deed) (heal func() error, err error) {
	all := e.ensemble.Servers
	first := int(d.Pick/2) % len(all)
	if d.Pick%2 == 0 {
		for i, s := range all {
			if s == e.ensemble.Leader() {
				first = i
			}
		}
	}
	d.servers = []int{first}
	if d.Kind == noQuorum {
		for n := 1; len(d.servers) <= len(all)/2; n++ {
			d.servers = append(d.servers, (first+n)%len(all))
		}
	}
	d.from = zktest.Stamp()
	switch d.Kind {
	case serverKilled:
		return e.each(d, (*zktest.Server).Kill, (*zktest.Server).Respawn)
	case serverStopped:
		return e.each(d, (*zktest.Server).Stop, (*zktest.Server).Cont)
	case serverAgain:
		return nil, e.ensemble.Servers[first].Respawn()
	case serverParted:
		var others []*host
		for i, h := range e.servers {
			if i != first {
				others = append(others, h)
			}
		}
		return e.servers[first].part(others)
	case noQuorum:
		if d.Pick/8%2 == 0 {
			return e.each(d, (*zktest.Server).Stop, (*zktest.Server).Cont)
		}
		return e.each(d, (*zktest.Server).Kill, (*zktest.Server).Respawn)
	}
	return nil, errors.New("unknown kind " + string(d.Kind))
}

func (e *engine) each(d *deed, strike, undo func(*zktest.Server) error) (heal func() error, err error) {
	for _, i := range d.servers {
		err = errors.Join(err, strike(e.ensemble.Servers[i]))
	}
	return func() (err error) {
		for _, i := range d.servers {
			err = errors.Join(err, undo(e.ensemble.Servers[i]))
		}
		return err
	}, err
}

// serversBack waits until all servers serve again.
func (e *engine) serversBack() error { return e.ensemble.Await(60 * time.Second) }

// cutWithServer cuts a contender off together with its server, a follower, from
// the others. The follower goes on answering reads for as long as its syncLimit lets
// it; the others delete the session's nodes meanwhile.
func (e *engine) cutWithServer(d *deed, c *contender) (heal func() error, err error) {
	follower, err := e.ontoFollower(c)
	if err != nil {
		return nil, err
	}
	others := slices.Delete(slices.Clone(e.servers), follower, follower+1)
	d.servers, d.from = []int{follower}, zktest.Stamp()
	healServer, err := e.servers[follower].part(others)
	if err != nil {
		return nil, err
	}
	healClient, err := c.host.part(others)
	if err != nil {
		return nil, errors.Join(err, healServer())
	}
	return func() error { return errors.Join(healServer(), healClient()) }, nil
}

// ontoFollower sees to it that a contender is connected to a follower, and says to
// which: another connection is reset, after which the next server is tried.
func (e *engine) ontoFollower(c *contender) (int, error) {
	for range 20 {
		for i, h := range e.servers {
			if e.ensemble.Servers[i] != e.ensemble.Leader() && connected(c.pid(), h.ip) {
				return i, nil
			}
		}
		if err := c.host.reset(); err != nil {
			return 0, err
		}
		time.Sleep(700 * time.Millisecond) // for a check or two over the next one
	}
	return 0, missed("it comes to no follower")
}

// connected tells whether a process's host has a connection to a server.
func connected(pid int, ip string) bool {
	// As in /proc/net/tcp: remote address and port, then 01 for established.
	want := fmt.Sprintf(" %08X:", binary.NativeEndian.Uint32(net.ParseIP(ip).To4()))
	table, _ := os.ReadFile(fmt.Sprintf("/proc/%d/net/tcp", pid))
	for line := range strings.Lines(string(table)) {
		if _, rest, ok := strings.Cut(line, want); ok && len(rest) > 6 && rest[4:7] == " 01" {
			return true
		}
	}
	return false
}
