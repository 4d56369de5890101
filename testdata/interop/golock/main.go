// Golock is a participant by the Lock of go-zookeeper. Started as
//
//	golock SERVERS PATH ID SESSION_MS STAMPS
//
// it stands in one election, tells on standard output what becomes of it, and takes
// the command release from standard input, answered by a line that begins with "= ".
// At the end of its input it exits, without a farewell.
package main

import (
	"bufio"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"
	"golang.org/x/sys/unix"
)

func main() {
	if len(os.Args) != 6 {
		log.Fatal("usage: golock SERVERS PATH ID SESSION_MS STAMPS")
	}
	addr, chroot, _ := strings.Cut(os.Args[1], "/")
	id := os.Args[3]
	session, err := strconv.Atoi(os.Args[4])
	if err != nil {
		log.Fatal(err)
	}
	s := &stamps{dir: os.Args[5], id: id}
	go s.beat()
	conn, _, err := zk.Connect([]string{addr}, time.Duration(session)*time.Millisecond,
		zk.WithEventCallback(func(e zk.Event) {
			// A program that may have lost leadership has to stop working.
			if e.Type == zk.EventSession && e.State == zk.StateDisconnected {
				fmt.Println("connection", e.State)
				s.end()
			}
		}))
	if err != nil {
		log.Fatal(err)
	}
	released := make(chan struct{}, 1)
	go hold(zk.NewLock(conn, "/"+chroot+os.Args[2], zk.WorldACL(zk.PermAll)), id, s, released)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		if in.Text() != "release" {
			fmt.Println("= error unknown command", in.Text())
			continue
		}
		released <- struct{}{}
		fmt.Println("= ")
	}
}

func hold(lock *zk.Lock, id string, s *stamps, released <-chan struct{}) {
	for {
		if err := lock.LockWithData([]byte(id)); err != nil {
			log.Fatal(err)
		}
		s.begin()
		fmt.Println("leading")
		<-released
		s.end()
		fmt.Println("released")
		if err := lock.Unlock(); err != nil {
			log.Fatal(err)
		}
	}
}

// stamps are the signs of life of a leader: a file for each time of leadership, with
// the times of the first and the last of them, in the format that the tests' own
// commands write.
type stamps struct {
	dir, id string

	mu    sync.Mutex
	first int64
	file  *os.File
}

func now() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		log.Fatal(err)
	}
	return ts.Nano()
}

func (s *stamps) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.first = now()
	name := fmt.Sprintf("%d-%d", s.first, os.Getpid())
	var err error
	if s.file, err = os.Create(filepath.Join(s.dir, "new-"+name)); err != nil {
		log.Fatal(err)
	}
	s.stamp()
	// Whoever sees the file sees a stamp in it.
	if err := os.Rename(s.file.Name(), filepath.Join(s.dir, "term-"+name)); err != nil {
		log.Fatal(err)
	}
}

func (s *stamps) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file != nil {
		s.stamp()
		s.file.Close()
		s.file = nil
	}
}

func (s *stamps) beat() {
	for range time.Tick(2 * time.Millisecond) {
		s.mu.Lock()
		if s.file != nil {
			s.stamp()
		}
		s.mu.Unlock()
	}
}

func (s *stamps) stamp() {
	line := fmt.Appendf(nil, "%020d %020d %020d %07d %s\n", s.first, now(), 0, os.Getpid(), s.id)
	if _, err := s.file.WriteAt(line, 0); err != nil {
		log.Fatal(err)
	}
}
