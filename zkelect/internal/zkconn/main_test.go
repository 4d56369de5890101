package zkconn

import (
	"os"
	"testing"

	"zkelect/zkelect/zktest"
)

func TestMain(m *testing.M) { os.Exit(zktest.Main(m)) }
