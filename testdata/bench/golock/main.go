// Golock runs a command under the Lock of go-zookeeper, as the shortest program that
// somebody would write:
//
//	golock ADDR[,ADDR…] PATH SESSION_MS CMD [ARG...]
package main

import (
	"errors"
	"log"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"
)

func main() {
	if len(os.Args) < 5 {
		log.Fatal("usage: golock ADDR[,ADDR…] PATH SESSION_MS CMD [ARG...]")
	}
	session, err := strconv.Atoi(os.Args[3])
	if err != nil {
		log.Fatal(err)
	}
	conn, _, err := zk.Connect(strings.Split(os.Args[1], ","), time.Duration(session)*time.Millisecond, zk.WithLogInfo(false))
	if err != nil {
		log.Fatal(err)
	}
	lock := zk.NewLock(conn, os.Args[2], zk.WorldACL(zk.PermAll))
	if err := lock.Lock(); err != nil {
		log.Fatal(err)
	}
	cmd := exec.Command(os.Args[4], os.Args[5:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		log.Print(err)
	}
	if err := lock.Unlock(); err != nil {
		log.Fatal(err)
	}
	conn.Close()
	os.Exit(cmd.ProcessState.ExitCode())
}
