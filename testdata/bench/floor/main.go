// Floor does what nobody who elects by ZooKeeper can do without, and nothing else:
//
//	floor ADDR[,ADDR…] PATH SESSION_MS CMD [ARG...]
//
// A session, an ephemeral sequential node below PATH (which must exist), a list; where
// another is first, a watch on the one before and another list; then CMD; then the end
// of the session. There is no lease, no guard, no reconnection: it is what the others
// are compared with, not a thing to use.
//
//	floor serve ADDR[,ADDR…] PATH SESSION_MS CMD [ARG...]
//
// does all of that once for each line of its input, and answers with the nanoseconds
// that it took, without the start of a program.
package main

import (
	"bufio"
	"fmt"
	"os"
	"path"
	"strconv"
	"time"

	"zkelect/testdata/bench/wire"
)

func main() {
	args := os.Args[1:]
	if len(args) > 0 && args[0] == "serve" {
		serve(args[1:])
		return
	}
	code, err := once(args)
	if err != nil {
		fmt.Fprintln(os.Stderr, "floor:", err)
		os.Exit(125)
	}
	os.Exit(code)
}

func serve(args []string) {
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		began := time.Now()
		if _, err := once(args); err != nil {
			fmt.Fprintln(os.Stderr, "floor:", err)
			os.Exit(125)
		}
		fmt.Println(time.Since(began).Nanoseconds())
	}
}

func once(args []string) (code int, err error) {
	if len(args) < 4 {
		return 0, fmt.Errorf("usage: floor [serve] ADDR PATH SESSION_MS CMD [ARG...]")
	}
	session, err := strconv.Atoi(args[2])
	if err != nil {
		return 0, err
	}
	c, err := wire.Connect(args[0], time.Duration(session)*time.Millisecond)
	if err != nil {
		return 0, err
	}
	own, err := c.Join(args[1] + "/floor-")
	if err != nil {
		return 0, err
	}
	if err := c.AwaitTurn(args[1], path.Base(own), func() {}); err != nil {
		return 0, err
	}
	stop := c.KeepAlive()
	process, err := os.StartProcess(args[3], args[3:], &os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
	if err != nil {
		return 0, err
	}
	state, err := process.Wait()
	if err != nil {
		return 0, err
	}
	stop()
	return state.ExitCode(), c.Close()
}
