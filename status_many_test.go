package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/go-zookeeper/zk"

	"zkelect/zkelect/zktest"
)

// forest makes elections of all families below a root, by multis.
type forest struct {
	*testing.T
	conn  *zk.Conn
	ops   []any
	made  int      // nodes
	lines []string // what status -r shows: path, leader, waiting, recipe
}

func (f *forest) add(path, data string, flags int32) {
	f.ops = append(f.ops, &zk.CreateRequest{Path: path, Data: []byte(data), Acl: zk.WorldACL(zk.PermAll), Flags: flags})
	f.made++
	if len(f.ops) == 500 {
		f.flush()
	}
}

func (f *forest) flush() {
	if _, err := f.conn.Multi(f.ops...); err != nil {
		f.Fatal(err)
	}
	f.ops = nil
}

// plant makes n elections, each kind in a folder of its own, as programs do, and the
// last ones in folders of their own.
func (f *forest) plant(root string, n int) {
	kinds := []struct {
		recipe, prefix string
		queue          int
	}{
		{"hadoop", "", 1}, {"kazoo", "6d1166b6bdbc4a49845acbb9226d8d0b__lock__", 2}, {"latch", "_c_f261bcda-2df8-4bf0-b67e-063205c27182-latch-", 3},
		{"plain", "", 1}, {"selector", "_c_38553bd6d1d57f710ae70ddcc3d24715-lock-", 2}, {"support", "n_", 2}, {"zkelect", "", 0},
	}
	f.add(root, "", 0)
	for k, kind := range kinds {
		dir := root + "/" + kind.recipe
		f.add(dir, "", 0)
		for i := n * k / len(kinds); i < n*(k+1)/len(kinds); i++ {
			path, leader, recipe := fmt.Sprintf("%s/e%05d", dir, i), fmt.Sprintf("web%d", i), kind.recipe
			switch kind.recipe {
			case "plain":
				f.add(path, leader, zk.FlagEphemeral)
			case "hadoop":
				f.add(path, "", 0)
				f.add(path+"/ActiveBreadCrumb", "nn", 0)
				f.add(path+"/ActiveStandbyElectorLock", leader, zk.FlagEphemeral)
			case "zkelect": // nobody is there now
				leader, recipe = "-", "latch"
				f.add(path, "", 0)
				side := fmt.Sprintf("%s/.zkelect-e%05d", dir, i)
				f.add(side, `{"format":1,"recipe":"latch"}`, 0)
				f.add(side+"/resign", "", 0)
				f.add(side+"/transfer", "", 0)
			case "support":
				f.add(path, "", 0)
				path += "/leader" // below a folder that holds nothing else
				fallthrough
			default:
				f.add(path, "", 0)
				for p := range kind.queue {
					f.add(path+"/"+kind.prefix, fmt.Sprintf("web%d", i+p), zk.FlagEphemeralSequential)
				}
			}
			f.lines = append(f.lines, fmt.Sprintf("%s %s %d %s", path, leader, max(0, kind.queue-1), recipe))
		}
	}
	f.flush()
}

// received is how many requests a server has got.
func received(t *testing.T, s *zktest.Server) int {
	t.Helper()
	answer, err := s.FourLetter("mntr")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(answer) {
		if n, ok := strings.CutPrefix(line, "zk_packets_received\t"); ok {
			v, err := strconv.Atoi(strings.TrimSpace(n))
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	t.Fatalf("no packets in %s", answer)
	return 0
}

// peak runs the real binary and returns what it prints, how long it takes, and the
// most that it holds at a time, in kB. The kernel's usage of a child that has ended
// tells of its parent as well, before the exec.
func peak(t *testing.T, args ...string) (lines []string, took time.Duration, kB int) {
	t.Helper()
	cmd := exec.Command("bin/zkelect", args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v; run: make build", err)
	}
	ended := make(chan struct{})
	watched := make(chan int)
	go func() {
		most := 0
		for {
			status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid)) // gone at the end
			if _, after, ok := strings.Cut(string(status), "VmHWM:"); ok {
				var now int
				if _, err := fmt.Sscanf(after, "%d kB", &now); err == nil {
					most = max(most, now)
				}
			}
			select {
			case <-ended:
				watched <- most
				return
			case <-time.After(2 * time.Millisecond):
			}
		}
	}()
	for s := bufio.NewScanner(out); s.Scan(); {
		lines = append(lines, s.Text())
	}
	err = cmd.Wait()
	took = time.Since(began)
	close(ended)
	if kB = <-watched; err != nil {
		t.Fatal(err)
	}
	return lines, took, kB
}

// Thousands of elections are shown in one pass: the servers are asked no more than
// once for each node, and what is kept does not grow with the elections.
func TestStatusOfThousands(t *testing.T) {
	t.Parallel()
	server := zktest.Start(t)
	conn := server.Client(t)
	few, many := &forest{T: t, conn: conn}, &forest{T: t, conn: conn}
	few.plant("/few", 500)
	many.plant("/many", 5000)

	show := func(root string, want []string) (requests int, took time.Duration, kB int) {
		before := received(t, server)
		lines, took, kB := peak(t, "status", "-r", "-s", server.Addr(), "--timeout", "60s", root)
		requests = received(t, server) - before
		var got []string
		for _, line := range lines[min(1, len(lines)):] {
			f := strings.Fields(line)
			got = append(got, strings.Join([]string{f[0], f[1], f[len(f)-2], f[len(f)-1]}, " "))
		}
		if !slices.Equal(got, want) {
			for i := range want {
				if i >= len(got) || got[i] != want[i] {
					t.Fatalf("%d elections of %d; line %d is not %q: %q", len(got), len(want), i, want[i], got[min(i, len(got)):min(i+3, len(got))])
				}
			}
			t.Fatalf("%d elections, want %d", len(got), len(want))
		}
		return requests, took, kB
	}
	_, _, small := show("/few", few.lines)
	requests, took, large := show("/many", many.lines)
	t.Logf("5000 elections, %d nodes: %d requests, %v, %d kB at the most; 500 elections: %d kB", many.made, requests, took.Round(time.Millisecond), large, small)
	// The constant: the session, the pings of both, and the wrong guesses where one
	// kind of nodes follows another.
	if requests > many.made+100 {
		t.Errorf("%d requests for %d nodes", requests, many.made)
	}
	if large > small+4<<10 {
		t.Errorf("%d kB for 5000 elections, %d kB for 500", large, small)
	}
}

// A queue of thousands, and data that are nobody's name.
func TestStatusOfOddities(t *testing.T) {
	t.Parallel()
	const waiters = 20_000
	server := zktest.Start(t)
	f := &forest{T: t, conn: server.Client(t)}
	f.add("/huge", "", 0)
	for n := range waiters {
		f.add("/huge/6d1166b6bdbc4a49845acbb9226d8d0b__lock__", fmt.Sprintf("web%d", n), zk.FlagEphemeralSequential)
	}
	f.flush()
	lines, took, kB := peak(t, "status", "-s", server.Addr(), "--timeout", "60s", "/huge")
	t.Logf("%d in one queue: %v, %d kB at the most", waiters, took.Round(time.Millisecond), kB)
	if last := strings.Fields(lines[len(lines)-1]); last[0] != strconv.Itoa(waiters) || last[1] != fmt.Sprintf("web%d", waiters-1) || last[2] != "waits" {
		t.Errorf("the last line: %q", last)
	}

	f.add("/odd", "", 0)
	f.add("/odd/ActiveStandbyElectorLock", strings.Repeat("\x00\x1b[2J\n\xff", 140_000), zk.FlagEphemeral)
	f.flush()
	for n := range 1000 { // children that are nothing
		f.add(fmt.Sprintf("/odd/\u00e4 %d \\", n), strings.Repeat("x", 1000), 0)
	}
	f.flush()
	for _, output := range []string{"table", "id", "json"} {
		for _, flag := range []string{"", "-r"} {
			args := []string{"status", "-s", server.Addr(), "-o", output, "/odd"}
			if flag != "" {
				args = append(args, flag)
			}
			lines, _, _ := peak(t, args...)
			text := strings.Join(lines, "\n")
			if len(text) > 20_000 || !utf8.ValidString(text) || strings.ContainsAny(text, "\x00\x1b") || !strings.Contains(text, `x00`) && output != "json" || len(lines) > 10 {
				t.Errorf("-o %s %s: %d lines, %d bytes: %.200q", output, flag, len(lines), len(text), text)
			}
		}
	}
}
