// Package resident keeps a waiter small: what its start has touched of the program's
// file, and waiting does not need, is unmapped.
package resident

import (
	"runtime/debug"
	"sync"
	"time"

	"zkelect/zkelect"
	"zkelect/zkelect/role"
)

// quiet is how long nothing has to have happened to a waiter.
const quiet = time.Second

// Keeper follows a candidate. Its zero value is that of one that has not begun.
type Keeper struct {
	mu    sync.Mutex
	timer *time.Timer
}

// Observe takes an event and the state after it. It returns at once.
//
// A leader keeps what it has: it should wait for no page, least of all for a disk. So does
// the next in the queue, whom the mapping would cost a millisecond or two of its turn.
func (k *Keeper) Observe(_ zkelect.Event, s role.State) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.timer != nil {
		k.timer.Stop()
		k.timer = nil
	}
	if s.Role == role.Waiting && s.Ahead > 1 {
		k.timer = time.AfterFunc(quiet, Shrink)
	}
}

// Shrink gives back what can be had again: free memory, and the pages that are as they
// stand in the program's file.
func Shrink() {
	debug.FreeOSMemory()
	unmap()
}
