package zkelect_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"syscall"
	"time"

	"zkelect/zkelect"
	"zkelect/zkelect/zktest"
)

// startZooKeeper gives an example a server of its own: its connect string, and
// how to end it.
func startZooKeeper() (servers string, stop func()) {
	dir, err := os.MkdirTemp("", "zkelect-example-")
	if err != nil {
		log.Fatal(err)
	}
	server, err := zktest.Launch(dir)
	if err != nil {
		log.Fatal(err)
	}
	return server.Connect(), func() {
		_ = server.Close()
		_ = os.RemoveAll(dir)
	}
}

// job is work in a goroutine. Go cannot end one from outside, so it must look at
// ctx often enough; a Candidate waits for its end before it lets another lead.
type job struct {
	cancel context.CancelFunc
	done   chan struct{}
	code   int
}

func startJob(work func(context.Context) int) *job {
	ctx, cancel := context.WithCancel(context.Background())
	j := &job{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(j.done)
		j.code = work(ctx)
	}()
	return j
}

func (j *job) Stop()                         { j.cancel() }
func (j *job) Kill()                         { j.cancel() }
func (j *job) Exited() <-chan struct{}       { return j.done }
func (j *job) Done() <-chan struct{}         { return j.done }
func (j *job) Status() (int, syscall.Signal) { return j.code, 0 }

// untilStopped is work that goes on until its term ends.
func untilStopped(ctx context.Context) int { <-ctx.Done(); return 0 }

// A Candidate runs work of its own only while it leads.
func Example() {
	servers, stop := startZooKeeper()
	defer stop()

	c, err := zkelect.NewCandidate(zkelect.CandidateConfig{
		Config:      zkelect.Config{Servers: servers, Path: "/jobs/billing", SessionTimeout: 10 * time.Second},
		ID:          "web1",
		StopTimeout: time.Second,
	})
	if err != nil {
		log.Fatal(err)
	}
	out, err := c.Run(context.Background(), func(t zkelect.Term) (zkelect.Work, error) {
		return startJob(func(ctx context.Context) int {
			// Give t.Token to the resource, so that it can refuse a smaller one.
			fmt.Printf("%s leads %s, token given: %v\n", t.ID, t.Path, t.Token > 0)
			return 3
		}), nil
	})
	fmt.Println(out.Cause, out.Code, err)
	// Output:
	// web1 leads /jobs/billing, token given: true
	// exited 3 <nil>
}

// Run runs a command while it leads. The command's environment names the term.
func ExampleRun() {
	servers, stop := startZooKeeper()
	defer stop()

	cfg := zkelect.RunConfig{
		CandidateConfig: zkelect.CandidateConfig{
			Config:      zkelect.Config{Servers: servers, Path: "/jobs/nightly", SessionTimeout: 10 * time.Second},
			Wait:        time.Minute, // for leadership
			StopTimeout: time.Second,
		},
		Command: []string{"sh", "-c", `test "$ZKELECT_PATH" = /jobs/nightly && test "$ZKELECT_FENCING_TOKEN" -gt 0 && exit 7`},
	}
	out, err := zkelect.Run(context.Background(), cfg)
	if errors.Is(err, zkelect.ErrNotLeader) {
		fmt.Println("led by", out.Leader)
		return
	}
	fmt.Println(out.Cause, out.Code, err)
	// Output:
	// exited 7 <nil>
}

// An Inspector reads an election and joins nothing.
func ExampleInspector() {
	servers, stop := startZooKeeper()
	defer stop()
	ctx, cancel := context.WithCancel(context.Background())
	cfg := zkelect.Config{Servers: servers, Path: "/jobs/billing", SessionTimeout: 10 * time.Second}
	ended := contend(ctx, cfg, "web1")

	i, err := zkelect.Open(ctx, cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer i.Close()
	e, err := i.Inspect(ctx, cfg.Path)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(e.Leader.ID, "leads", e.Path, "among", len(e.Participants))

	// A server that is cut off from the others goes on answering reads. Holds
	// asks a quorum.
	holds, _, err := i.Holds(ctx, cfg.Path, zkelect.Condition{LeaderIs: "web1", Token: e.Leader.FencingToken})
	fmt.Println("proved:", holds, err)

	cancel()
	<-ended
	err = i.Watch(context.Background(), cfg.Path, func(e *zkelect.Election) bool {
		if e.Leader == nil {
			fmt.Println("nobody leads;", e.Last.ID, e.Last.Cause)
		}
		return e.Leader != nil // go on
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// web1 leads /jobs/billing among 1
	// proved: true <nil>
	// nobody leads; web1 stopped
}

// Resign moves leadership by hand: the old work is dead before the new one
// starts.
func ExampleResign() {
	servers, stop := startZooKeeper()
	defer stop()
	ctx, cancel := context.WithCancel(context.Background())
	cfg := zkelect.Config{Servers: servers, Path: "/jobs/billing", SessionTimeout: 10 * time.Second}
	first := contend(ctx, cfg, "web1")
	second := contend(ctx, cfg, "web2")
	third := contend(ctx, cfg, "web3")

	done, err := zkelect.Resign(ctx, zkelect.ResignConfig{Config: cfg, To: "web3", Timeout: 20 * time.Second})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(*done.Old, "->", *done.New)
	fmt.Println("web1:", <-first)

	cancel()
	fmt.Println("web2:", <-second)
	fmt.Println("web3:", <-third)
	// Output:
	// web1 -> web3
	// web1: resigned
	// web2: stopped
	// web3: stopped
}

// contend runs a candidate until ctx is done; it returns once that leads or
// waits, with a channel that gets why it ended.
func contend(ctx context.Context, cfg zkelect.Config, id string) <-chan zkelect.Cause {
	ready := make(chan struct{}, 100)
	cfg.Observer = func(e zkelect.Event) {
		if e.Kind == zkelect.EventWaiting {
			ready <- struct{}{}
		}
	}
	c, err := zkelect.NewCandidate(zkelect.CandidateConfig{Config: cfg, ID: id, StopTimeout: time.Second})
	if err != nil {
		log.Fatal(err)
	}
	ended := make(chan zkelect.Cause, 1)
	go func() {
		out, err := c.Run(ctx, func(zkelect.Term) (zkelect.Work, error) {
			ready <- struct{}{}
			return startJob(untilStopped), nil
		})
		if err != nil {
			log.Fatal(err)
		}
		ended <- out.Cause
	}()
	<-ready
	return ended
}
