package chaos

import (
	"path"
	"time"
)

// Config is one run. It reaches the process that does it as JSON.
type Config struct {
	Seed uint64        `json:"seed"`
	For  time.Duration `json:"for"` // no round begins later

	Elections  []Election `json:"elections"`
	Contenders int        `json:"contenders"` // of each election
	Servers    int        `json:"servers"`
	// SyncLimit is for how many ticks, of 500 ms, a server goes on that hears
	// nothing from the others; 0: 5.
	SyncLimit int `json:"sync_limit"`
	// Plain contenders have no options but those of their election, and their
	// commands live until they are ended.
	Plain bool `json:"plain"`
	// Rounds, if given, are done in place of a schedule from the seed.
	Rounds [][]fault     `json:"rounds"`
	Bound  time.Duration `json:"bound"` // until somebody leads, after each round

	Binary string `json:"binary"` // zkelect
	// Clocked is zkelect with a wall clock that can be stepped; "" for none.
	// The last contender of each election runs it.
	Clocked string `json:"clocked"`
	Worker  string `json:"worker"`
	Guarded bool   `json:"guarded"` // zkelect starts a guard
	Out     string `json:"out"`     // the folder for report, timeline and logs

	Dir   string `json:"dir"`   // for all that goes with the run
	Wired bool   `json:"wired"` // in namespaces, with cables to be cut
}

// Election is one of the elections of a run.
type Election struct {
	Path    string        `json:"path"`
	Recipe  string        `json:"recipe"`
	Session time.Duration `json:"session"`
	Nature  nature        `json:"nature"`
}

// onOneNode tells whether the election is about a node of one name for all.
func (e Election) onOneNode() bool { return e.Recipe == "plain" }

// live is the node that stands for a tree that may be alive.
func (e Election) live() string {
	return path.Join(path.Dir(e.Path), ".zkelect-"+path.Base(e.Path), "live")
}

// clocked is the index of the contender whose wall clock is stepped.
func (c Config) clocked() int { return c.Contenders - 1 }
