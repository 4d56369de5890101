package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"

	"zkelect/zkelect/zktest"
)

// serverOptions are a server's as production has it: with fsync, all of the compiler, and
// room.
func (b *bench) serverOptions(tick time.Duration) []zktest.Option {
	return []zktest.Option{zktest.Fsync(), zktest.TickTime(tick),
		zktest.JavaFlags("-Xmx1g", "-XX:TieredStopAtLevel=4", "-Dzookeeper.preAllocSize=65536")}
}

func (b *bench) launchZooKeeper(name string, tick time.Duration) (*zktest.Server, error) {
	s, err := zktest.Launch(filepath.Join(b.dir, name), b.serverOptions(tick)...)
	if err != nil {
		return nil, err
	}
	b.onEnd(func() { _ = s.Close() }) // its parent-death signal stands behind this
	return s, nil
}

// launchThree starts three servers that elect a leader among themselves, all on this
// machine and on its one disk.
func (b *bench) launchThree(name string) (at *place, stop func(), err error) {
	e, err := zktest.LaunchEnsemble(filepath.Join(b.dir, name), 3, b.serverOptions(b.tick())...)
	if err != nil {
		return nil, nil, err
	}
	b.onEnd(func() { _ = e.Close() })
	conn, err := b.connect(e.Connect())
	return &place{e.Connect(), conn}, func() { conn.Close(); _ = e.Close() }, err
}

// launchOwn starts one more for what would disturb the others, to be ended by stop.
func (b *bench) launchOwn(name string) (s *zktest.Server, stop func(), err error) {
	if b.small {
		return b.zk, func() {}, nil
	}
	s, err = b.launchZooKeeper(name, b.tick())
	return s, func() { _ = s.Close() }, err
}

// connect makes a session of our own.
func (b *bench) connect(addr string) (*zk.Conn, error) {
	conn, events, err := zk.Connect(strings.Split(addr, ","), 30*time.Second, zk.WithLogInfo(false), zk.WithLogger(quiet{}))
	if err != nil {
		return nil, err
	}
	b.onEnd(conn.Close)
	for timeout := time.After(patience); ; {
		select {
		case e := <-events:
			if e.State == zk.StateHasSession {
				return conn, nil
			}
		case <-timeout:
			return nil, fmt.Errorf("no session with %s", addr)
		}
	}
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}

// makeNode makes a node and its parents.
func makeNode(conn *zk.Conn, path string) error {
	for i := 1; i <= len(path); i++ {
		if i < len(path) && path[i] != '/' {
			continue
		}
		_, err := conn.Create(path[:i], nil, 0, zk.WorldACL(zk.PermAll))
		if err != nil && !errors.Is(err, zk.ErrNodeExists) {
			return fmt.Errorf("create %s: %w", path[:i], err)
		}
	}
	return nil
}

// counters are a ZooKeeper server's numbers about itself.
type counters map[string]float64

func readCounters(s *zktest.Server) (counters, error) {
	var answer string
	// A server that has much else to do answers late.
	err := await("mntr of "+s.Addr(), patience, func() (bool, error) {
		var err error
		answer, err = s.FourLetter("mntr")
		return err == nil, nil
	})
	if err != nil {
		return nil, err
	}
	c := counters{}
	for line := range strings.Lines(answer) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "\t")
		if v, err := strconv.ParseFloat(value, 64); err == nil {
			c[name] = v
		}
	}
	if _, ok := c["zk_cnt_updatelatency"]; !ok {
		return nil, fmt.Errorf("no count of writes in mntr of %s", s.Addr())
	}
	return c, nil
}

// etcdServer is one server of etcd.
type etcdServer struct{ addr string }

func (b *bench) launchEtcd() (*etcdServer, error) {
	var urls []string
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		urls = append(urls, "http://"+l.Addr().String())
		if err := l.Close(); err != nil {
			return nil, err
		}
	}
	p, err := b.launch([]string{"etcd", "--name", "bench", "--data-dir", filepath.Join(b.dir, "etcd"), "--log-level", "error",
		"--listen-client-urls", urls[0], "--advertise-client-urls", urls[0],
		"--listen-peer-urls", urls[1], "--initial-advertise-peer-urls", urls[1], "--initial-cluster", "bench=" + urls[1]})
	if err != nil {
		return nil, fmt.Errorf("%w (install it by .ci/install bench)", err)
	}
	b.onEnd(func() {
		p.kill()
		<-p.done
	})
	e := &etcdServer{addr: strings.TrimPrefix(urls[0], "http://")}
	return e, await("etcd serves", patience, func() (bool, error) {
		if p.ended() {
			return false, fmt.Errorf("etcd has ended: %s", &p.said)
		}
		_, err := e.queue("/nobody")
		return err == nil, nil
	})
}

// queue is how many stand in the queue of that lock.
func (e *etcdServer) queue(path string) (int, error) {
	// The fields are bytes, which JSON has in base64.
	question, err := json.Marshal(map[string]any{"key": []byte(path + "/"), "range_end": []byte(path + "0"), "count_only": true})
	if err != nil {
		return 0, err
	}
	reply, err := http.Post("http://"+e.addr+"/v3/kv/range", "application/json", bytes.NewReader(question))
	if err != nil {
		return 0, err
	}
	defer reply.Body.Close()
	text, err := io.ReadAll(reply.Body)
	if err != nil {
		return 0, err
	}
	var answer struct{ Count string }
	if err := json.Unmarshal(text, &answer); err != nil {
		return 0, fmt.Errorf("etcd says %s: %w", text, err)
	}
	n, _ := strconv.Atoi(answer.Count) // absent for none
	return n, nil
}

// flocks is how many have or want the lock on that file.
func flocks(file string) (n int, err error) {
	info, err := os.Stat(file)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	locks, err := os.ReadFile("/proc/locks")
	if err != nil {
		return 0, err
	}
	inode := fmt.Sprintf(":%d ", inodeOf(info))
	for line := range strings.Lines(string(locks)) {
		if strings.Contains(line, "FLOCK") && strings.Contains(line, inode) {
			n++
		}
	}
	return n, nil
}
