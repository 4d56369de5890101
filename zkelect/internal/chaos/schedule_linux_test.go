package chaos

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"reflect"
	"testing"
	"time"

	"zkelect/zkelect/zktest"
)

func someConfig(seed uint64) Config {
	return Config{Seed: seed, Contenders: 3, Servers: 3, Guarded: true, Elections: []Election{
		{Path: "/a", Session: 4 * time.Second, Nature: single},
		{Path: "/b", Session: 5 * time.Second, Nature: family},
		{Path: "/c", Session: 6 * time.Second, Nature: isolated},
	}}
}

// A seed that was printed gives the same faults again, and only that one.
func TestSeedGivesTheSameFaults(t *testing.T) {
	rounds := func(seed uint64) (all [][]fault) {
		p := newPlan(someConfig(seed), nil)
		for range 20 {
			all = append(all, p.round())
		}
		return all
	}
	if !reflect.DeepEqual(rounds(1), rounds(1)) {
		t.Error("two schedules from one seed")
	}
	if reflect.DeepEqual(rounds(1), rounds(2)) {
		t.Error("one schedule from two seeds")
	}
}

// In the 120 rounds of half an hour each kind comes up often enough, each fault
// is healed by the end of its round, and what is known to be beyond the promise
// is left out.
func TestScheduleIsEvenAndWithinBounds(t *testing.T) {
	count := map[kind]int{}
	cfg := someConfig(3)
	p := newPlan(cfg, map[kind]string{reset: "not here"})
	for range 120 {
		for _, f := range p.round() {
			count[f.Kind]++
			if f.At < 0 || f.At+f.For > roundEnd {
				t.Errorf("beyond its round: %v", f)
			}
			if f.Kind.passes() != (f.For == 0) && f.Kind != serverAgain {
				t.Errorf("a time to heal: %v", f)
			}
			if (f.Kind == killBoth || f.Kind == stopBoth) && cfg.Elections[f.Election].Nature == family {
				t.Errorf("what no guard can help: %v", f)
			}
		}
	}
	for _, kinds := range [][]kind{electionKinds, ensembleKinds} {
		for _, k := range kinds {
			if n := count[k]; (k == reset) != (n == 0) || n != 0 && n < 20 {
				t.Errorf("%q: %d times", k, n)
			}
		}
	}
}

// The timeline is XML in which everybody has a lane, for a long run too.
func TestTimelineIsWellFormed(t *testing.T) {
	begun := zktest.Stamp() - int64(250*time.Second)
	at := func(s int64) int64 { return begun + s*int64(time.Second) }
	e := &engine{cfg: someConfig(4), begun: begun, census: &census{}, servers: []*host{{name: "server1"}}}
	for i := range e.cfg.Elections {
		c := &contender{host: &host{name: string(rune('a'+i)) + "0"}, election: i, lives: []span{{at(1), at(130)}, {from: at(131)}}}
		e.contenders = append(e.contenders, []*contender{c})
		e.census.terms = append(e.census.terms, &term{
			election: i, id: c.name(), token: 7, first: at(100),
			processes: []*process{{Role: "main", died: at(125), seen: at(125)}}, liveGone: at(126),
		})
		e.deeds = append(e.deeds, &deed{fault: fault{Kind: killElector, Election: i}, span: span{at(125), at(125)}, contender: c})
	}
	e.deeds = append(e.deeds, &deed{fault: fault{Kind: serverKilled}, span: span{at(3), at(9)}, servers: []int{0}})
	var svg bytes.Buffer
	if err := e.drawTimeline(&svg); err != nil {
		t.Fatal(err)
	}
	text := svg.String()
	for _, want := range []string{">server1<", ">c0<", ">kill elector<", ">server killed<", "token 7", ">240s<"} {
		if !bytes.Contains(svg.Bytes(), []byte(want)) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	for d := xml.NewDecoder(&svg); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
	}
}
