package zktest

import "os/exec"

// A Host is where a server runs that is not to run on the loopback of this
// process: in a network namespace of its own, say, so that its cable can be cut
// for real. All servers of an ensemble use the same three ports there, which
// nobody else may.
type Host struct {
	IP string
	// Start starts a command there.
	Start func(*exec.Cmd) error
}

const (
	hostClientPort   = 2181
	hostQuorumPort   = 2888
	hostElectionPort = 3888
)

// Hosts puts the servers of an ensemble on these hosts, in this order.
func Hosts(hosts ...Host) Option { return func(c *config) { c.hosts = hosts } }

// at is the configuration of the server with this id.
func (c config) at(id int) config {
	if len(c.hosts) > 0 {
		h := c.hosts[id-1]
		c.host, c.start = h.IP, h.Start
	}
	return c
}

// away tells whether the server runs on a host of its own.
func (c config) away() bool { return c.start != nil }
