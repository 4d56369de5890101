package zkelect

import (
	"flag"
	"os"
	"testing"

	"zkelect/zkelect/zktest"
)

// TestMain ends the shared ZooKeeper server, and lets more tests run side by
// side than there are processors: most of them wait for sessions and timers.
func TestMain(m *testing.M) {
	if connect := os.Getenv(electorVar); connect != "" {
		electorMain(connect)
	}
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		_ = flag.Set("test.parallel", "8")
	}
	os.Exit(zktest.Main(m))
}
