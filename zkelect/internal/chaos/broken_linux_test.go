package chaos

import (
	"slices"
	"testing"
	"time"
)

// A breach is a way to break the promise, what brings it to light, and the check
// that must see it.
type breach struct {
	tag    string // of the build that has it
	fault  fault
	nature nature
	check  string
}

var breaches = []breach{
	{"broken_nolease", fault{Kind: cutBoth, For: 8 * time.Second}, single, "overlap"},
	{"broken_noguard", fault{Kind: killElector}, family, "outlived"},
	{"broken_release", fault{Kind: resign}, family, "outlived"},
	{"broken_nolive", fault{Kind: deleteCut, For: 5 * time.Second}, single, "overlap"},
}

// shortRun is a run of one election, one server and these faults, one a round.
func shortRun(t testing.TB, binary string, n nature, faults ...fault) Config {
	cfg := newConfig(t)
	if binary != "" {
		cfg.Binary = binary
	}
	cfg.Contenders, cfg.Servers, cfg.Plain = 2, 1, true
	cfg.Elections = []Election{{Path: "/jobs/billing", Session: 4 * time.Second, Nature: n}}
	for _, f := range faults {
		f.At, f.Target = time.Second, theLeader
		cfg.Rounds = append(cfg.Rounds, []fault{f})
	}
	return cfg
}

// TestBrokenBuildsAreCaught: each build that is broken on purpose is found out, by
// the check that is for it.
func TestBrokenBuildsAreCaught(t *testing.T) {
	t.Parallel()
	for _, b := range breaches {
		t.Run(b.tag, func(t *testing.T) {
			t.Parallel()
			if b.fault.Kind.onLink() && namespaces() != nil {
				leftOut(t, "cuts links between network namespaces")
				return
			}
			binary := compile(t, b.tag, "zkelect", "-tags", b.tag)
			// A machine that is busy can delay the one or the other so that for once
			// the promise is not broken, although nothing keeps it.
			for attempt := 1; ; attempt++ {
				r := result(t, shortRun(t, binary, b.nature, b.fault), true)
				switch found := r.found(); {
				case slices.Contains(found, b.check) && !slices.Contains(found, "harness"):
					return
				case attempt == 3:
					t.Fatalf("want %s, found %v:\n%v", b.check, found, r)
				}
			}
		})
	}
}

// TestSoundBuildIsNotBlamed: the same faults find nothing in what is shipped.
func TestSoundBuildIsNotBlamed(t *testing.T) {
	t.Parallel()
	var faults []fault
	for _, b := range breaches {
		if !b.fault.Kind.onLink() || namespaces() == nil {
			faults = append(faults, b.fault)
		}
	}
	r := result(t, shortRun(t, "", family, faults...), false)
	if len(r.Violations) > 0 {
		t.Errorf("%v", r)
	}
	if len(r.Missed) > 0 {
		t.Errorf("missed: %v", r.Missed)
	}
}
