package zkelect_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"zkelect/zkelect"
)

// A Latch leads beside what a program does otherwise, as Curator's LeaderLatch.
func ExampleLatch() {
	servers, stop := startZooKeeper()
	defer stop()
	ctx := context.Background()
	latch := func(id string) *zkelect.Latch {
		l, err := zkelect.NewLatch(zkelect.CandidateConfig{
			Config:      zkelect.Config{Servers: servers, Path: "/jobs/billing", SessionTimeout: 10 * time.Second},
			ID:          id,
			StopTimeout: time.Second, // for NotLeader, where leadership is lost
		})
		if err != nil {
			log.Fatal(err)
		}
		return l
	}

	first := latch("web1")
	led := make(chan *zkelect.Leadership, 1)
	remove := first.AddListener(zkelect.Listener{
		IsLeader:  func(d *zkelect.Leadership) { led <- d },
		NotLeader: func(d *zkelect.Leadership) { fmt.Println(d.ID, "has ended its work, so another may lead") },
	})
	defer remove()
	if err := first.Start(ctx); err != nil {
		log.Fatal(err)
	}
	if _, err := first.Await(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println("web1 has leadership:", first.HasLeadership())
	fmt.Println("told so, of", (<-led).Path)

	// Await with a time-out: somebody else leads.
	second := latch("web2")
	if err := second.Start(ctx); err != nil {
		log.Fatal(err)
	}
	short, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	if _, err := second.Await(short); errors.Is(err, context.DeadlineExceeded) {
		fmt.Println("web2 has leadership:", second.HasLeadership())
	}

	leader, err := second.Leader(ctx)
	if err != nil {
		log.Fatal(err)
	}
	queue, err := second.Participants(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("leader:", leader.ID)
	for _, p := range queue {
		fmt.Println("participant:", p.ID, p.Leader)
	}

	// NotLeader is called, and its return awaited, before web2 can lead.
	if err := first.Close(zkelect.CloseNotifyLeader); err != nil {
		log.Fatal(err)
	}
	d, err := second.Await(ctx)
	if err != nil {
		log.Fatal(err)
	}
	// Nobody else leads before Do has returned. Its context ends with leadership.
	err = d.Do(func(ctx context.Context) error {
		fmt.Println(d.ID, "works, token given:", d.Token > 0)
		return ctx.Err()
	})
	fmt.Println(err)
	fmt.Println(second.Close(zkelect.CloseSilent), second.State())
	// Output:
	// web1 has leadership: true
	// told so, of /jobs/billing
	// web2 has leadership: false
	// leader: web1
	// participant: web1 true
	// participant: web2 false
	// web1 has ended its work, so another may lead
	// web2 works, token given: true
	// <nil>
	// <nil> closed
}

// A Candidate with a function and RequeueAlways takes turns, as Curator's
// LeaderSelector with autoRequeue: the function is its takeLeadership.
func ExampleCandidate() {
	servers, stop := startZooKeeper()
	defer stop()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	selector := func(id string, requeue zkelect.Requeue) *zkelect.Candidate {
		c, err := zkelect.NewCandidate(zkelect.CandidateConfig{
			Config: zkelect.Config{
				Servers: servers, Path: "/jobs/billing", SessionTimeout: 10 * time.Second,
				Recipe: zkelect.RecipeSelector, // so that Curator's selectors may stand in the same queue
			},
			ID:          id,
			Requeue:     requeue,
			StopTimeout: time.Second, // for takeLeadership to return
		})
		if err != nil {
			log.Fatal(err)
		}
		return c
	}

	turns, ended := make(chan string), make(chan zkelect.Cause)
	takeLeadership := zkelect.WorkFunc(func(ctx context.Context, t zkelect.Term) error {
		turns <- t.ID
		<-ctx.Done() // leadership is kept until this returns
		return nil
	})
	first := selector("web1", zkelect.RequeueAlways)
	go func() {
		out, err := first.Run(ctx, takeLeadership)
		if err != nil {
			log.Fatal(err)
		}
		ended <- out.Cause
	}()
	fmt.Println(<-turns, "has leadership:", first.HasLeadership())

	// Without requeue it has one turn.
	second := selector("web2", zkelect.RequeueNever)
	go func() {
		for range 2 { // Run once more is a requeue by hand
			out, err := second.Run(ctx, takeLeadership)
			if err != nil {
				log.Fatal(err)
			}
			ended <- out.Cause
		}
	}()
	bothQueue := func() {
		for {
			queue, err := first.Participants(ctx)
			if err != nil {
				log.Fatal(err)
			}
			if len(queue) == 2 {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	bothQueue()
	leader, err := second.Leader(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("leader:", leader.ID)

	// Interrupt ends the turn; who requeues stands at the back of the queue then.
	fmt.Println(first.Interrupt(), second.Interrupt())
	fmt.Println(<-turns, "has leadership:", second.HasLeadership())
	bothQueue()
	fmt.Println(second.Interrupt(), <-ended)
	fmt.Println(<-turns, "has leadership:", first.HasLeadership())
	bothQueue()
	first.Interrupt()
	fmt.Println(<-turns, "has leadership:", second.HasLeadership())

	cancel() // closes both
	fmt.Println(<-ended, <-ended)
	// Output:
	// web1 has leadership: true
	// leader: web1
	// true false
	// web2 has leadership: true
	// true resigned
	// web1 has leadership: true
	// web2 has leadership: true
	// stopped stopped
}
