package chaos

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
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

// cutWithServer leaves a contender with one server, a follower, and then cuts the
// two off from the others together. The follower goes on answering reads for as
// long as its syncLimit lets it; the others delete the session's nodes meanwhile.
func (e *engine) cutWithServer(d *deed, c *contender) (heal func() error, err error) {
	follower := -1
	var others []*host
	for i, s := range e.ensemble.Servers {
		if follower < 0 && s != e.ensemble.Leader() {
			follower = i
		} else {
			others = append(others, e.servers[i])
		}
	}
	healClient, err := c.host.part(others)
	if err != nil {
		return nil, err
	}
	if err := awaitConnection(c.pid(), e.servers[follower].ip); err != nil {
		return nil, errors.Join(err, healClient())
	}
	d.servers, d.from = []int{follower}, zktest.Stamp()
	healServer, err := e.servers[follower].part(others)
	if err != nil {
		return nil, errors.Join(err, healClient())
	}
	return func() error { return errors.Join(healServer(), healClient()) }, nil
}

// awaitConnection waits until a process's host has a connection to a server.
func awaitConnection(pid int, ip string) error {
	// As in /proc/net/tcp: remote address and port, then 01 for established.
	want := fmt.Sprintf(" %08X:", binary.NativeEndian.Uint32(net.ParseIP(ip).To4()))
	for deadline := time.Now().Add(4 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		table, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/tcp", pid))
		if err != nil {
			return missed("it has ended")
		}
		for line := range strings.Lines(string(table)) {
			if _, rest, ok := strings.Cut(line, want); ok && len(rest) > 6 && rest[4:7] == " 01" {
				time.Sleep(500 * time.Millisecond) // for a check or two over it
				return nil
			}
		}
	}
	return missed("it has not come to the one server that is left")
}
