//go:build !race

package zkelect

import (
	"bytes"
	"context"
	"io"
	"testing"
	"time"

	"zkelect/zkelect/zktest"
)

// BenchmarkSurvivor measures the time from the death of an elector whose tree is
// dead to the deletion of its queue node, which wakes the next one.
func BenchmarkSurvivor(b *testing.B) {
	for _, way := range []struct {
		name string
		run  func(testing.TB, *Candidate, string)
	}{
		{"session", func(tb testing.TB, c *Candidate, name string) {
			w, err := readWill(bytes.NewReader(c.will(name)))
			noError(tb, err)
			noError(tb, execute(context.Background(), w))
		}},
		{"process", func(tb testing.TB, c *Candidate, name string) {
			noError(tb, survivorProcess(tb, c.will(name), io.Discard).Wait())
		}},
	} {
		b.Run(way.name, func(b *testing.B) {
			e := newElection(b, zktest.Shared(b))
			var took []time.Duration
			for b.Loop() {
				b.StopTimer()
				a := e.opened(e.steady("a"))
				gone := e.server.DeletedAt(b, e.abs(e.node(a.name)))
				b.StartTimer()
				died := zktest.Stamp()
				a.die()
				way.run(b, a.c, a.name)
				took = append(took, time.Duration((<-gone).Boot-died))
			}
			b.ReportMetric(float64(median(took).Microseconds())/1000, "median-ms")
		})
	}
}
