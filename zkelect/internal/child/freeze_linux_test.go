package child

import (
	"fmt"
	"os"
	"testing"
	"time"
)

// Freeze stops all of the tree, whatever group it is in; Thaw wakes what Freeze has
// stopped and nothing else; a frozen tree can be stopped and killed.
func TestFreeze(t *testing.T) {
	levels(t, func(t *testing.T, level Isolation) {
		dir := t.TempDir()
		script := fmt.Sprintf(`cd %s; tick() { while :; do echo . >>$1; sleep 0.02; done; }; tick a & (setsid sh -c 'while :; do echo . >>b; sleep 0.02; done' &)
			sh -c 'echo >e; kill -STOP $$; echo woken >c' & tick d`, dir)
		_, p := guarded(t, level, script)
		size := func() (n int64) {
			for _, name := range []string{"a", "b", "d"} {
				info, err := os.Stat(dir + "/" + name)
				if err != nil {
					return 0
				}
				n += info.Size()
			}
			return n
		}
		eventually(t, "all of it runs", func() bool { _, err := os.Stat(dir + "/e"); return err == nil && size() > 0 })
		time.Sleep(100 * time.Millisecond) // by then one has stopped itself
		for range 2 {
			p.Freeze()
			eventually(t, "it stands", func() bool {
				before := size()
				time.Sleep(100 * time.Millisecond)
				return size() == before
			})
			p.Thaw()
			was := size()
			eventually(t, "it goes on", func() bool { return size() > was+20 })
		}
		if _, err := os.Stat(dir + "/c"); err == nil {
			t.Error("what had stopped itself was woken")
		}
		p.Freeze()
		p.Stop()
		within(t, "Exited", p.Exited())
		p.Kill()
		within(t, "Done", p.Done())
	})
}

func TestFrozenKilled(t *testing.T) {
	levels(t, func(t *testing.T, level Isolation) {
		_, p := guarded(t, level, `sleep 601 & sleep 602`)
		p.Freeze()
		time.Sleep(20 * time.Millisecond)
		p.Kill()
		within(t, "Done", p.Done())
	})
}
