package zkconn

import (
	"os"
	"testing"

	"zkelect/zkelect/internal/zktest"
)

func TestMain(m *testing.M) { os.Exit(zktest.Main(m)) }
