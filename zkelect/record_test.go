package zkelect

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

const sidePath = "/jobs/.zkelect-x"

func someTime(minute int) time.Time { return time.Date(2026, 11, 22, 12, minute, 1, 204e6, time.UTC) }

func parsed(t *testing.T, data string) *record {
	t.Helper()
	r, err := parseRecord([]byte(data), RecipeLatch, sidePath)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// reread is what the next reader gets of the record.
func reread(t *testing.T, r *record) *record {
	t.Helper()
	return parsed(t, string(r.encode()))
}

func sameRecord(t *testing.T, got, want *record) {
	t.Helper()
	if len(got.unknown) == 0 && len(want.unknown) == 0 {
		got.unknown = want.unknown // nil or empty
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %s\nwant %s", got.encode(), want.encode())
	}
}

func someTerm(node string) termRecord {
	return termRecord{Node: node, ID: "web1:4121", Host: "web1", PID: 4121, Session: "0x1000a3c5e2b0003", Lease: 30_000}
}

func TestRecordRoundTrip(t *testing.T) {
	since, until, code := someTime(1), someTime(2), 3
	term := someTerm("_c_1")
	term.Since, term.Token, term.Begun = &since, 4294967341, &begun{Request: "r", By: "b", To: "t"}
	full := &record{
		Format: recordFormat, Recipe: "latch", Term: &term,
		Last:    &endRecord{ID: "web3:77", Cause: CauseExited, ExitCode: &code, Since: &since, Until: &until},
		Unclean: []termRecord{someTerm("_c_2"), someTerm("_c_3")}, Missing: true,
		Runs: (&runsRecord{}).with(&runRecord{ID: "web3:77", Token: 7, Cause: CauseExited, ExitCode: new(int), Began: since, Ended: &until}),
		Hold: &holdRecord{Key: "k", ID: "web9:7", Host: "web9", PID: 7, Reason: "<upgrade>", For: 60_000, Since: &since},
	}
	for name, r := range map[string]*record{
		"full": full, "fresh": {Format: recordFormat, Recipe: "latch"},
		"odd id": {Format: recordFormat, Recipe: "latch", Term: &termRecord{Node: "n", ID: "<ä\u2028\"\\>", Lease: 1}},
	} {
		t.Run(name, func(t *testing.T) { sameRecord(t, reread(t, r), r) })
	}
	sameRecord(t, parsed(t, ""), &record{Format: recordFormat, Recipe: "latch"})
	for _, field := range []string{"format", "recipe", "term", "last", "unclean", "missing", "node", "id", "host", "pid", "session", "lease_ms", "since", "token", "clean", "begun", "cause", "exit_code", "until", "runs", "succeeded", "began", "ended", "hold", "key", "reason", "for_ms"} {
		if !strings.Contains(string(full.encode()), `"`+field+`":`) {
			t.Errorf("no field %q in %s", field, full.encode())
		}
	}
}

// Every writer keeps what it does not know.
func TestRecordKeepsUnknown(t *testing.T) {
	const later = `{"until":"2026-11-22T13:00:00Z","reason":"<upgrade>","n":12345678901234567890}`
	r := parsed(t, `{"later":`+later+`,"recipe":"latch","format":1,"x":null,"term":{"node":"n","id":"i","lease_ms":4000,"clean":false}}`)
	end := endRecord{ID: "i", Cause: CauseExited}
	for name, written := range map[string]*record{
		"none": r, "open": r.open(someTerm("m")), "begin": r.begin(begun{Request: "r"}), "close": r.close(end, time.Hour),
		"all": r.open(someTerm("m")).begin(begun{Request: "r"}).close(end, time.Hour),
	} {
		var got map[string]json.RawMessage
		if err := json.Unmarshal(written.encode(), &got); err != nil {
			t.Fatal(name, err)
		}
		var want, kept any
		if json.Unmarshal([]byte(later), &want) != nil || json.Unmarshal(got["later"], &kept) != nil || !reflect.DeepEqual(want, kept) {
			t.Errorf("%s: it became %s", name, got["later"])
		}
		if x, ok := got["x"]; !ok || string(x) != "null" {
			t.Errorf("%s: x became %q", name, x)
		}
	}
	if parsed(t, `{"format":1,"recipe":"latch"}`).open(someTerm("m")).unknown["term"] != nil {
		t.Error("a known field taken for an unknown one")
	}
}

func TestRecordRefused(t *testing.T) {
	for _, c := range []struct {
		data string
		is   error
		says string
	}{
		{"10.0.0.7", ErrNode, `"10.0.0.7"`}, // what a bare zkCli.sh writes
		{"null", ErrNode, ""},
		{"{}", ErrNode, ""},
		{"[]", ErrNode, ""},
		{`{"format":1`, ErrNode, ""},
		{`{"format":1,"recipe":"latch"} x`, ErrNode, ""},
		{`{"format":"1","recipe":"latch"}`, ErrNode, ""},
		{`{"format":1,"recipe":"latch","term":{"lease_ms":1e30}}`, ErrNode, ""},
		{`{"format":1,"recipe":"latch","term":[]}`, ErrNode, ""},
		{`{"format":1,"recipe":"latch","hold":"me"}`, ErrNode, ""},
		{`{"format":1,"recipe":"latch","hold":{"for_ms":"1h"}}`, ErrNode, ""},
		{"\x00\x1b[2J" + strings.Repeat("x", 1<<20), ErrNode, `\x00\x1b`},
		{`{"format":2,"recipe":"latch"}`, ErrUnsafe, "format 2"},
		{`{"format":-1,"recipe":"latch"}`, ErrUnsafe, "format -1"},
		{`{"format":1,"recipe":"kazoo"}`, ErrUnsafe, "--recipe kazoo"},
		{`{"format":1}`, ErrUnsafe, `recipe ""`},
	} {
		r, err := parseRecord([]byte(c.data), RecipeLatch, sidePath)
		if !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), sidePath) {
			t.Errorf("%.60q: %+v, %v; want %v, the path and %q", c.data, r, err, c.is, c.says)
		}
		if err != nil && len(err.Error()) > 400 {
			t.Errorf("%.60q: an error of %d bytes", c.data, len(err.Error()))
		}
	}
}

func TestRecordStamped(t *testing.T) {
	at, later, zxid := someTime(5), someTime(9), int64(0x100000007)
	r := &record{Term: &termRecord{Node: "n"}}
	r.stamped(at, zxid)
	if r.Term.Since == nil || *r.Term.Since != at || r.Term.Token != zxid {
		t.Errorf("the opening: %+v", r.Term)
	}
	r.stamped(later, zxid+1) // another writer's answer is not the opening's
	if *r.Term.Since != at || r.Term.Token != zxid {
		t.Errorf("stamped again: %+v", r.Term)
	}
	r = r.close(endRecord{ID: "i"}, 0)
	r.stamped(later, zxid+1)
	if r.Last.Until == nil || *r.Last.Until != later || *r.Term.Since != at || r.Term.Token != zxid {
		t.Errorf("the closing: %+v, %+v", r.Term, r.Last)
	}
	r.stamped(at, 1)
	if *r.Last.Until != later {
		t.Errorf("the end moved: %+v", r.Last)
	}
	// An unclean end before an open term has no known end, and must not get the
	// time of somebody else's write.
	r = r.open(someTerm("a")).open(someTerm("b"))
	r.stamped(at, 7)
	if r.Last.Cause != CauseUnclean || r.Last.Until != nil {
		t.Errorf("an unclean end: %+v", r.Last)
	}
	fresh := &record{}
	fresh.stamped(at, 7)
	sameRecord(t, fresh, &record{})
}

func TestRecordLife(t *testing.T) {
	fresh := parsed(t, "")
	first := fresh.open(someTerm("a"))
	if fresh.Term != nil || !first.names("a") || first.names("b") || first.Term.Clean || first.Last != nil || fresh.names("") {
		t.Fatalf("opened: %s", first.encode())
	}
	marked := first.begin(begun{Request: "r", To: "b"})
	if first.Term.Begun != nil || marked.Term.Begun.To != "b" || marked.Term.Clean {
		t.Fatalf("begun: %s", marked.encode())
	}
	code := 7
	closed := marked.close(endRecord{ID: "i", Cause: CauseResigned, ExitCode: &code}, time.Second)
	if marked.Term.Clean || !closed.Term.Clean || *closed.Last.ExitCode != 7 || len(closed.Unclean) != 0 {
		t.Fatalf("closed: %s", closed.encode())
	}
	second := closed.open(someTerm("b"))
	if len(second.Unclean) != 0 || second.Last.Cause != CauseResigned || second.Term.Begun != nil {
		t.Errorf("after a clean end: %s", second.encode())
	}
	third := second.open(someTerm("c"))
	if len(third.Unclean) != 1 || third.Unclean[0].Node != "b" || third.Last.Cause != CauseUnclean || third.Last.ID != "web1:4121" || len(second.Unclean) != 0 {
		t.Errorf("after no end: %s", third.encode())
	}
}

// A closing marks its own term clean; what came before it stays unclean until
// it is older than its lease.
func TestRecordUnclean(t *testing.T) {
	r := parsed(t, "")
	for i, lease := range []time.Duration{4 * time.Second, 30 * time.Second, 10 * time.Second} {
		term := someTerm(fmt.Sprint("t", i))
		term.Lease = lease.Milliseconds()
		r = r.open(term)
	}
	r = r.open(someTerm("last"))
	for _, c := range []struct {
		waited time.Duration
		left   string
	}{
		{0, "t0 t1 t2"},
		{4 * time.Second, "t0 t1 t2"},      // not longer than the lease
		{4*time.Second + 8*ms, "t0 t1 t2"}, // but both clocks' rates
		{4*time.Second + 8*ms + 1, "t1 t2"},
		{11 * time.Second, "t1"},
		{time.Minute, ""},
	} {
		closed := reread(t, r.close(endRecord{}, c.waited))
		var left []string
		for _, u := range closed.Unclean {
			left = append(left, u.Node)
		}
		if got := strings.Join(left, " "); got != c.left {
			t.Errorf("after %v: %q, want %q", c.waited, got, c.left)
		}
		if next := closed.open(someTerm("next")); len(next.Unclean) != len(closed.Unclean) {
			t.Errorf("after %v: the next opening made %d of %d", c.waited, len(next.Unclean), len(closed.Unclean))
		}
	}
	if len(r.Unclean) != 3 {
		t.Errorf("closing changed what it was given: %s", r.encode())
	}
}

// A missing record is carried as an unclean term is, with the lease of whoever
// waits for it.
func TestTakeoverRecordMissing(t *testing.T) {
	r := reread(t, parsed(t, "").open(someTerm("a"))) // its lease is 30 s
	if !r.Missing {
		t.Fatalf("opened: %s", r.encode())
	}
	for waited, missing := range map[time.Duration]bool{0: true, 30*time.Second + 60*ms: true, 30*time.Second + 60*ms + 1: false} {
		closed := reread(t, r.close(endRecord{}, waited))
		if next := reread(t, closed.open(someTerm("b"))); closed.Missing != missing || next.Missing != missing {
			t.Errorf("after %v: %s", waited, closed.encode())
		}
	}
	if r = parsed(t, `{"format":1,"recipe":"latch","unclean":[{"node":"x"}]}`).open(someTerm("a")); !r.Missing || len(r.Unclean) != 1 {
		t.Errorf("without a term: %s", r.encode())
	}
}

// What is believed of a lease in the record.
func TestTakeoverOutlived(t *testing.T) {
	for lease, want := range map[int64]time.Duration{
		4000: 4*time.Second + 8*ms, 1: ms + 2*time.Microsecond, 0: 10*time.Second + 20*ms, -1: 10*time.Second + 20*ms,
		-1 << 63: 10*time.Second + 20*ms, 1<<63 - 1: 24*time.Hour + 48*3600*ms,
	} {
		if got := (termRecord{Lease: lease}).outlived(10 * time.Second); (got - want).Abs() > time.Microsecond {
			t.Errorf("%d ms: %v, want %v", lease, got, want)
		}
	}
}

// The ends that a candidate knows clear their own terms and nothing else.
func TestTakeoverRecordConcluded(t *testing.T) {
	r := parsed(t, "")
	for _, node := range []string{"a", "b", "c", "d"} {
		r = r.open(someTerm(node))
	}
	before := string(r.encode())
	ends := map[string]conclusion{"b": {}, "d": {endRecord: endRecord{ID: "i", Cause: CauseLost}}, "x": {}}
	got := r.concluded(ends)
	if len(got.Unclean) != 2 || got.Unclean[0].Node != "a" || got.Unclean[1].Node != "c" || !got.Term.Clean || got.Last.Cause != CauseLost || !got.Missing {
		t.Errorf("concluded: %s", got.encode())
	}
	if string(r.encode()) != before {
		t.Errorf("changed what it was given: %s", r.encode())
	}
	if next := r.concluded(map[string]conclusion{"a": {}}).open(someTerm("e")); len(next.Unclean) != 3 || next.Last.Cause != CauseUnclean {
		t.Errorf("opened: %s", next.encode())
	}
}

func TestRecordUncleanBounded(t *testing.T) {
	r := parsed(t, "")
	longest := int64(0)
	for i := range 3 * maxUnclean {
		term := someTerm(fmt.Sprint("t", i))
		if term.Lease = int64(4000 + i%7); i == 5 {
			term.Lease = 40_000
		}
		longest = max(longest, term.Lease)
		before := r.encode()
		next := r.open(term)
		if string(r.encode()) != string(before) {
			t.Fatalf("opening %d changed the record that it was given", i)
		}
		r = next
	}
	if len(r.Unclean) != maxUnclean {
		t.Fatalf("%d entries", len(r.Unclean))
	}
	if last := r.Unclean[maxUnclean-1].Node; last != fmt.Sprint("t", 3*maxUnclean-2) {
		t.Errorf("the newest is %s", last)
	}
	kept := int64(0)
	for _, u := range r.Unclean {
		kept = max(kept, u.Lease)
	}
	if kept != longest {
		t.Errorf("the longest lease is %d, was %d: a drop shortened the wait", kept, longest)
	}
	if size := len(r.encode()); size > sendBuffer/4 {
		t.Errorf("a record of %d bytes", size)
	}
}

func FuzzParseRecord(f *testing.F) {
	for _, seed := range []string{
		"", "null", "{}", "10.0.0.7", `{"format":1,"recipe":"latch"}`, `{"format":1,"recipe":"latch","hold":{"x":[1e999]}}`,
		`{"format":1,"recipe":"latch","Term":{"node":"a"},"UNCLEAN":[{}]}`, `{"format":1,"recipe":"latch","unclean":[null]}`,
		`{"format":1,"recipe":"latch","term":{"node":"n","since":"0000-01-01T00:00:00+23:59","begun":{}},"last":{"until":"9999-12-31T23:59:59.999999999-23:59"}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Add(parsedSeed().encode())
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parseRecord(data, RecipeLatch, sidePath)
		if err != nil {
			if !errors.Is(err, ErrNode) && !errors.Is(err, ErrUnsafe) {
				t.Fatalf("%v", err)
			}
			return
		}
		again := reread(t, r)
		if string(again.encode()) != string(r.encode()) {
			t.Fatalf("%s became %s", r.encode(), again.encode())
		}
		r.stamped(someTime(1), 5)
		opened := r.open(someTerm("mine"))
		closed := reread(t, reread(t, opened.begin(begun{Request: "r"})).close(endRecord{ID: "i"}, 0))
		if !closed.names("mine") || !closed.Term.Clean {
			t.Fatalf("not ours after all: %s", closed.encode())
		}
		for name := range r.unknown {
			if _, ok := closed.unknown[name]; !ok {
				t.Fatalf("%q is lost in %s", name, closed.encode())
			}
		}
	})
}

func parsedSeed() *record {
	r := (&record{Format: recordFormat, Recipe: "latch"}).open(someTerm("a")).open(someTerm("b"))
	r.stamped(someTime(3), 77)
	return r.begin(begun{Request: "r"}).close(endRecord{ID: "b", Cause: CauseLost}, 0)
}
