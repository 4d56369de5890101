package child

import (
	"testing"
	"time"
)

// BenchmarkGuardStart is from nothing to a guard that knows its will.
func BenchmarkGuardStart(b *testing.B) {
	for b.Loop() {
		g := benchGuard(b, IsolateAuto)
		b.StopTimer()
		g.Close()
		<-g.Over()
		b.StartTimer()
	}
}

// BenchmarkGuardClose is the end of a guard that has nothing to do any more.
func BenchmarkGuardClose(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		g := benchGuard(b, IsolateAuto)
		b.StartTimer()
		g.Close()
		g.Wait()
	}
}

// BenchmarkChildStart is from the word to the guard that leadership is certain to
// the command's running.
func BenchmarkChildStart(b *testing.B) {
	for _, level := range []Isolation{IsolateNone, IsolateAuto} {
		b.Run(level.String(), func(b *testing.B) {
			g := benchGuard(b, level)
			defer g.Close()
			for b.Loop() {
				p := benchStart(b, g)
				b.StopTimer()
				<-p.Done()
				b.StartTimer()
			}
		})
	}
}

// BenchmarkChildRun is the same, up to the proof that nothing is left of true.
func BenchmarkChildRun(b *testing.B) {
	for _, level := range []Isolation{IsolateNone, IsolateAuto} {
		b.Run(level.String(), func(b *testing.B) {
			g := benchGuard(b, level)
			defer g.Close()
			for b.Loop() {
				<-benchStart(b, g).Done()
			}
		})
	}
}

// BenchmarkRun is all that a run of true costs besides what is said to servers.
func BenchmarkRun(b *testing.B) {
	for _, level := range []Isolation{IsolateNone, IsolateAuto} {
		b.Run(level.String(), func(b *testing.B) {
			for b.Loop() {
				g := benchGuard(b, level)
				<-benchStart(b, g).Done()
				g.Close()
				b.StopTimer()
				<-g.Over()
				b.StartTimer()
			}
		})
	}
}

func benchGuard(b *testing.B, level Isolation) *Guard {
	b.Helper()
	g, err := NewGuard(GuardOptions{Isolate: level})
	if err == nil {
		err = g.Await(nil)
	}
	if err == nil {
		err = g.Will("true", []byte("none"), nil)
	}
	if err != nil {
		b.Fatal(err)
	}
	now := bootTime()
	g.Lease(now+time.Minute, now+2*time.Minute, now+3*time.Minute, now+3*time.Minute)
	return g
}

func benchStart(b *testing.B, g *Guard) *Process {
	b.Helper()
	p, err := g.Start(Command{Path: "/bin/true"})
	if err != nil {
		b.Fatal(err)
	}
	return p
}
