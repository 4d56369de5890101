package chaos

// A kind of fault.
type kind string

const (
	// of processes
	killElector kind = "kill elector"
	stopElector kind = "stop elector"
	killGuard   kind = "kill guard"
	stopGuard   kind = "stop guard"
	killBoth    kind = "kill both"
	stopBoth    kind = "stop both"
	killChild   kind = "kill child"
	stopChild   kind = "stop child"
	// of a contender's link
	cutBoth  kind = "cut both ways"
	cutUp    kind = "cut up"
	cutDown  kind = "cut down"
	slowLink kind = "slow link"
	reset    kind = "reset"
	// of hands
	deleteNode kind = "delete node"
	deleteCut  kind = "delete node in a cut"
	deleteLive kind = "delete live"
	resign     kind = "resign"
	resignTo   kind = "resign --to"
	stepClock  kind = "step wall clock"
	// of the servers
	serverKilled  kind = "server killed"
	serverStopped kind = "server stopped"
	serverParted  kind = "server cut off"
	serverAgain   kind = "server restarted"
	noQuorum      kind = "no quorum"

	// cutWithServer is none of those that are drawn: it is for one test.
	cutWithServer kind = "cut off with a follower"
)

// electionKinds strike one election, ensembleKinds all.
var (
	electionKinds = []kind{
		killElector, stopElector, killGuard, stopGuard, killBoth, stopBoth, killChild, stopChild,
		cutBoth, cutUp, cutDown, slowLink, reset,
		deleteNode, deleteCut, deleteLive, resign, resignTo, stepClock,
	}
	ensembleKinds = []kind{serverKilled, serverStopped, serverParted, serverAgain, noQuorum}
)

// A group is how kinds are coloured.
type group struct {
	name, colour string
}

var (
	processes = group{"process killed or stopped", "#d62728"}
	links     = group{"link cut, slow or reset", "#1f77b4"}
	hands     = group{"node deleted, resign, clock", "#9467bd"}
	servers   = group{"servers", "#7f7f7f"}
)

func (k kind) group() group {
	switch k {
	case killElector, stopElector, killGuard, stopGuard, killBoth, stopBoth, killChild, stopChild:
		return processes
	case cutBoth, cutUp, cutDown, slowLink, reset, cutWithServer:
		return links
	case deleteNode, deleteCut, deleteLive, resign, resignTo, stepClock:
		return hands
	}
	return servers
}

// onLink tells whether the kind needs real links between hosts.
func (k kind) onLink() bool {
	return k.group() == links || k == deleteCut || k == serverParted || k == cutWithServer
}

// onGuard tells whether the kind strikes the guard.
func (k kind) onGuard() bool {
	return k == killGuard || k == stopGuard || k == killBoth || k == stopBoth
}

// passes tells whether the kind is a moment, with nothing to heal.
func (k kind) passes() bool {
	switch k {
	case killElector, killGuard, killBoth, killChild, reset, deleteNode, deleteLive, resign, resignTo, stepClock:
		return true
	}
	return false
}
