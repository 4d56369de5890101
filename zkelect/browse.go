package zkelect

import (
	"cmp"
	"context"
	"errors"
	"path"
	"slices"
	"strings"
	"sync"
)

// Below is one node below another, as somebody who looks for an election sees it.
type Below struct {
	Path     string
	Election bool // participants stand there, or a zkelect has led there
	Folder   bool // other nodes are below it, perhaps elections
}

// looksInto is how many nodes Browse asks for their children; the rest are shown as
// they are.
const looksInto = 200

// Browse shows what is directly below dir and begins with prefix, in the order of
// names. Participants, what zkelect keeps, and what is ZooKeeper's own are left out.
// A dir that is missing, or may not be read, has nothing below it.
func (i *Inspector) Browse(ctx context.Context, dir, prefix string) ([]Below, error) {
	f, err := i.readable(ctx, dir)
	if err != nil {
		return nil, err
	}
	led := map[string]bool{} // a node beside them says so
	for _, name := range f.children {
		if election, ok := strings.CutPrefix(name, sidePrefix); ok {
			led[election] = true
		}
	}
	var found []Below
	for _, n := range parseQueue(f.children) {
		if n.family == familyUnknown && !strings.HasPrefix(n.name, sidePrefix) && !led[n.name] && (dir != "/" || n.name != "zookeeper") {
			found = append(found, Below{Path: path.Join(dir, n.name)})
		}
	}
	for name := range led { // also where the path itself is gone: a container that was reaped
		found = append(found, Below{Path: path.Join(dir, name), Election: true})
	}
	found = slices.DeleteFunc(found, func(b Below) bool { return !strings.HasPrefix(path.Base(b.Path), prefix) })
	slices.SortFunc(found, func(a, b Below) int { return cmp.Compare(a.Path, b.Path) })
	return found, i.lookInto(ctx, found)
}

// lookInto tells of each whether participants stand there, and whether there is more
// below.
func (i *Inspector) lookInto(ctx context.Context, found []Below) error {
	errs := make([]error, min(len(found), looksInto))
	var wg sync.WaitGroup
	slots := make(chan struct{}, underWay)
	for n := range errs {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			var f listing
			f, errs[n] = i.readable(ctx, found[n].Path)
			more := false
			for _, c := range parseQueue(f.children) {
				found[n].Election = found[n].Election || c.family != familyUnknown
				more = more || c.family == familyUnknown
			}
			found[n].Election = found[n].Election || isEphemeral(f.own)
			found[n].Folder = more && !found[n].Election // a stranger in a queue is nothing to look for
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (i *Inspector) readable(ctx context.Context, path string) (f listing, err error) {
	if err = i.list(ctx, path, false, &f); errors.Is(err, ErrDenied) {
		err = nil
	}
	return f, err
}
