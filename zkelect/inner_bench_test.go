package zkelect

import (
	"context"
	"fmt"
	"testing"
	"time"

	"zkelect/zkelect/zktest"
)

// benchRecord is a side node's data with all that a running election has there.
func benchRecord() *record {
	since, until := someTime(1), someTime(2)
	code := 0
	return &record{Format: recordFormat, Recipe: RecipeLatch.String(),
		Term: &termRecord{Node: latchName(newUUID(true), 41), ID: "host-1:4711", Host: "host-1", PID: 4711, Session: "0x100000a1b2c0003",
			Lease: 30_000, Since: &until, Token: 1 << 33},
		Last: &endRecord{ID: "host-2:815", Cause: CauseExited, ExitCode: &code, Since: &since, Until: &until}}
}

// BenchmarkRecord is what a leader does with the side node's data at the ends of a term.
func BenchmarkRecord(b *testing.B) {
	r := benchRecord()
	data := r.encode()
	b.Run("encode", func(b *testing.B) {
		for b.Loop() {
			r.encode()
		}
	})
	b.Run("parse", func(b *testing.B) {
		for b.Loop() {
			if _, err := parseRecord(data, RecipeLatch, sidePath); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkQueue is to find the order of so many children.
func BenchmarkQueue(b *testing.B) {
	for _, n := range []int{3, 100, 10_000} {
		b.Run(fmt.Sprintf("children=%d", n), func(b *testing.B) {
			children := make([]string, n)
			for i := range children { // 7919 is a prime: in no order
				children[i] = latchName(newUUID(true), int64((i*7919)%n))
			}
			for b.Loop() {
				newQueue(children, familyLatch)
			}
		})
	}
}

// BenchmarkLease is the arithmetic of one acknowledged heartbeat.
func BenchmarkLease(b *testing.B) {
	l := &lease{budget: defaults}
	for now := time.Hour; b.Loop(); now += l.heartbeat() {
		answered(l, now, now+time.Millisecond)
		l.stopAfter(l.deadline - now)
	}
}

// BenchmarkHeartbeat is a leader's heartbeat, as a server of its own answers it: one after
// the other.
func BenchmarkHeartbeat(b *testing.B) {
	for _, fsync := range []bool{false, true} {
		b.Run(fmt.Sprintf("fsync=%v", fsync), func(b *testing.B) {
			var opts []zktest.Option
			if fsync {
				opts = append(opts, zktest.Fsync())
			}
			e := newElection(b, zktest.Start(b, opts...))
			cfg := e.config("a")
			cfg.SessionTimeout = 30 * time.Second
			ctx := context.Background()
			s, err := newSession(ctx, &cfg.Config)
			noError(b, err)
			defer s.close(time.Second)
			noError(b, e.ensure(ctx, s, e.latch))
			check := []any{check(e.latch), check(e.latch)} // as much as own node and live node
			for b.Loop() {
				_, err := s.multi(ctx, check...)
				noError(b, err)
			}
		})
	}
}
