package main

import (
	"fmt"
	"log"
	"path"
	"time"

	"zkelect/testdata/bench/wire"
	"zkelect/zkelect/zktest"
)

// floor is a participant that does the least (see ../floor), again and again: a session
// each time, as that of a program that ends and is started again.
func (c *crowd) floor(servers, election string, session time.Duration, settle func()) {
	for {
		if err := c.floorOnce(servers, election, session, settle); err != nil {
			log.Fatalf("floor: %v", err)
		}
	}
}

func (c *crowd) floorOnce(servers, election string, session time.Duration, settle func()) error {
	conn, err := wire.Connect(servers, session)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	own, err := conn.Join(election + "/floor-")
	if err != nil {
		return err
	}
	if err := conn.AwaitTurn(election, path.Base(own), func() {
		c.say("waiting")
		settle()
	}); err != nil {
		return err
	}
	stop := conn.KeepAlive()
	c.say("started %d", zktest.Stamp())
	settle()
	<-c.end
	c.say("ended %d", zktest.Stamp())
	stop()
	return conn.Close()
}
