package chaos

import (
	"cmp"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"time"
)

// A nature is what the trees of an election are like, the same for all of its
// contenders, so that a schedule can be drawn before anybody leads.
type nature string

const (
	single   nature = "one process"
	family   nature = "forks and daemons that ignore TERM"
	isolated nature = "daemons in a PID namespace"
)

// Whom a fault strikes.
const (
	theLeader = -1 // whoever leads when it strikes
	aWaiter   = -2 // one that does not
	theServer = -3 // Pick says which
)

// A fault is one thing that is done.
type fault struct {
	At       time.Duration `json:"at"`       // since the round began
	Election int           `json:"election"` // -1: it strikes the servers
	Kind     kind          `json:"kind"`
	Target   int           `json:"target"` // theLeader, aWaiter, or a contender's index
	For      time.Duration `json:"for"`    // until it is healed; 0: nothing to heal
	Pick     uint32        `json:"pick"`   // what else is left to chance
}

func (f fault) String() string {
	whom := fmt.Sprintf("contender %d", f.Target)
	switch f.Target {
	case theLeader:
		whom = "the leader"
	case aWaiter:
		whom = "a waiter"
	case theServer:
		whom = "the servers"
	}
	s := fmt.Sprintf("%5.1fs  %s: %s", f.At.Seconds(), f.Kind, whom)
	if f.Election >= 0 {
		s += fmt.Sprintf(" of election %d", f.Election)
	}
	if f.For > 0 {
		s += fmt.Sprintf(" for %.1fs", f.For.Seconds())
	}
	return s
}

// Faults begin within the burst of a round and are healed by its end.
const (
	burst    = 7 * time.Second
	roundEnd = 11 * time.Second
	// Of each election, in each round.
	faultsAtOnce = 4
)

// deck gives every kind as often as every other.
type deck struct {
	kinds, left []kind
	rnd         *rand.Rand
}

func (d *deck) draw() kind {
	if len(d.left) == 0 {
		d.left = slices.Clone(d.kinds)
		d.rnd.Shuffle(len(d.left), func(i, j int) { d.left[i], d.left[j] = d.left[j], d.left[i] })
	}
	k := d.left[0]
	d.left = d.left[1:]
	return k
}

// A plan draws round after round from a seed: the same rounds from the same
// seed, wherever the same kinds are possible.
type plan struct {
	rnd      *rand.Rand
	cfg      Config
	ensemble deck
	decks    []deck // of the elections
}

func newPlan(cfg Config, lacks map[kind]string) *plan {
	p := &plan{cfg: cfg, rnd: rand.New(rand.NewPCG(cfg.Seed, 0))}
	possible := func(kinds []kind, in Election) []kind {
		n := in.Nature
		return slices.DeleteFunc(slices.Clone(kinds), func(k kind) bool {
			_, lacking := lacks[k]
			// See the package's comment for what is spared.
			return lacking || n == family && (k == killBoth || k == stopBoth) ||
				!cfg.Guarded && n == family && k == killElector ||
				// A deletion by name may strike another's node.
				in.onOneNode() && (k == deleteNode || k == deleteCut || k == deleteLive || k == resignTo)
		})
	}
	p.ensemble = deck{kinds: possible(ensembleKinds, Election{Nature: single}), rnd: p.rnd}
	for _, e := range cfg.Elections {
		p.decks = append(p.decks, deck{kinds: possible(electionKinds, e), rnd: p.rnd})
	}
	return p
}

// round draws the faults of the next round, in the order in which they strike.
func (p *plan) round() []fault {
	var faults []fault
	if len(p.ensemble.kinds) > 0 {
		faults = append(faults, p.server(p.ensemble.draw()))
	}
	for e := range p.decks {
		for range faultsAtOnce {
			faults = append(faults, p.fault(e, p.decks[e].draw()))
		}
	}
	slices.SortStableFunc(faults, func(a, b fault) int { return cmp.Compare(a.At, b.At) })
	return faults
}

func (p *plan) server(k kind) fault {
	f := fault{Election: -1, Kind: k, Target: theServer, Pick: p.rnd.Uint32(), At: p.between(0, burst/2)}
	if !k.passes() {
		f.For = p.between(time.Second, roundEnd-f.At-time.Second)
	}
	if k == serverAgain {
		f.For = 0
	}
	return f
}

func (p *plan) fault(e int, k kind) fault {
	f := fault{Election: e, Kind: k, Target: theLeader, Pick: p.rnd.Uint32(), At: p.between(0, burst)}
	odds := p.rnd.Float64()
	switch {
	case k == stepClock:
		f.Target = p.cfg.clocked()
	case k == killElector && odds < 0.2, k.group() == links && odds < 0.3, k == deleteNode && odds < 0.2, k == stopElector && odds < 0.2:
		f.Target = aWaiter
	}
	if k.passes() {
		return f
	}
	// Either well within a lease or longer than the session.
	session := p.cfg.Elections[e].Session
	if p.rnd.IntN(2) == 0 {
		f.For = p.between(200*time.Millisecond, session/3)
	} else {
		f.For = p.between(session, session+3*time.Second)
		f.At = min(f.At, roundEnd-f.For)
	}
	return f
}

func (p *plan) between(least, most time.Duration) time.Duration {
	const step = 100 * time.Millisecond
	return least + time.Duration(p.rnd.Int64N(int64(max(most-least, step)/step)))*step
}

func printRound(w io.Writer, n int, faults []fault) {
	fmt.Fprintf(w, "round %d\n", n)
	for _, f := range faults {
		fmt.Fprintf(w, "  %v\n", f)
	}
}
