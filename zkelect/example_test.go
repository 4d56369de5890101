package zkelect_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
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
	out, err := c.Run(context.Background(), zkelect.WorkFunc(func(ctx context.Context, t zkelect.Term) error {
		// Give t.Token to the resource, so that it can refuse a smaller one.
		fmt.Printf("%s leads %s, token given: %v\n", t.ID, t.Path, t.Token > 0)
		return errors.New("no paper")
	}))
	fmt.Println(out.Cause, out.Err, err)
	// Output:
	// web1 leads /jobs/billing, token given: true
	// exited no paper <nil>
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
		out, err := c.Run(ctx, zkelect.WorkFunc(func(ctx context.Context, _ zkelect.Term) error {
			ready <- struct{}{}
			<-ctx.Done() // work goes on until its term ends
			return nil
		}))
		if err != nil {
			log.Fatal(err)
		}
		ended <- out.Cause
	}()
	<-ready
	return ended
}
