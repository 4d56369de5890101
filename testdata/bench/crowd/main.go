// Crowd is many participants of zkelect's library in one process, each with a session
// of its own:
//
//	crowd -servers ADDR -path PATH -n N [-session 60s] [-apart] [-floor]
//
// They all stand in the election of that path, or, apart, each leads one of its own
// below it. A participant's work goes on until a line comes on standard input, and then
// the participant queues again. Lines on standard output tell what happens, with
// CLOCK_BOOTTIME in nanoseconds: "waiting", "started T", "ended T", "lost". With -floor they
// are not the library's, but do the least that there is to do; PATH must exist then.
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"zkelect/zkelect"
	"zkelect/zkelect/zktest"
)

func main() {
	servers := flag.String("servers", "", "the server")
	path := flag.String("path", "", "the election, or the folder of the elections")
	n := flag.Int("n", 1, "how many participants")
	session := flag.Duration("session", time.Minute, "the session timeout")
	apart := flag.Bool("apart", false, "each in an election of its own")
	atOnce := flag.Int("at-once", 16, "how many join at a time")
	floor := flag.Bool("floor", false, "the least instead of the library")
	flag.Parse()
	// Thousands of sessions have gigabytes of the client library's buffers, of which
	// little is ever touched: garbage is not to grow by as much before it is collected.
	debug.SetGCPercent(10)

	c := crowd{out: bufio.NewWriter(os.Stdout), end: make(chan struct{}), settled: make(chan struct{}, *n)}
	go c.read()
	var running sync.WaitGroup
	for i := range *n {
		settle := sync.OnceFunc(func() { c.settled <- struct{}{} })
		if i >= *atOnce {
			<-c.settled
		}
		if *floor {
			running.Go(func() { c.floor(*servers, *path, *session, settle) })
			continue
		}
		cfg := zkelect.CandidateConfig{Config: zkelect.Config{
			Servers: *servers, Path: *path, SessionTimeout: *session, ConnectTimeout: time.Minute,
		}, ID: fmt.Sprintf("p%d:%d", os.Getpid(), i), Requeue: zkelect.RequeueAlways}
		if *apart {
			cfg.Path = fmt.Sprintf("%s/e%d-%d", *path, os.Getpid(), i)
		}
		cfg.Observer = func(e zkelect.Event) {
			switch e.Kind {
			case zkelect.EventWaiting:
				c.say("waiting")
				settle()
			case zkelect.EventLost, zkelect.EventExpired:
				c.say("lost")
			}
		}
		candidate, err := zkelect.NewCandidate(cfg)
		if err != nil {
			log.Fatal(err)
		}
		running.Go(func() {
			_, err := candidate.Run(context.Background(), zkelect.WorkFunc(func(ctx context.Context, _ zkelect.Term) error {
				c.say("started %d", zktest.Stamp())
				settle()
				select {
				case <-c.end:
				case <-ctx.Done():
				}
				c.say("ended %d", zktest.Stamp())
				return nil
			}))
			if err != nil {
				log.Fatal(err)
			}
		})
	}
	running.Wait()
}

type crowd struct {
	mu      sync.Mutex
	out     *bufio.Writer
	end     chan struct{} // one for each line of the input
	settled chan struct{} // one for each participant that has joined
}

func (c *crowd) say(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fmt.Fprintf(c.out, format+"\n", args...)
	if err := c.out.Flush(); err != nil { // nobody listens any more
		os.Exit(1)
	}
}

func (c *crowd) read() {
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		c.end <- struct{}{}
	}
	os.Exit(0)
}
