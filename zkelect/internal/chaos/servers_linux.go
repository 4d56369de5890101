package chaos

import (
	"errors"
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
