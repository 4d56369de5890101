package zkelect

import (
	"encoding/json"
	"time"

	"github.com/go-zookeeper/zk"
)

// Holds in a fakeWorld. All of this is called with the world's lock held.

// holdOf is the hold in the side node's record, as the next reader sees it.
func (w *fakeWorld) holdOf(side fakeNode) *holdRecord {
	rec, err := parseAnyRecord(side.data, w.place.side)
	if err != nil { // garbage, which nobody opens a term on
		return nil
	}
	rec.stamped(msTime(side.mtime), side.mzxid)
	return rec.Hold
}

// checkHeld: nobody opens a term while a hold is in force. This is about the opening
// that replaced the record of the side node.
func (w *fakeWorld) checkHeld(s *fakeSession, hold *holdRecord, side fakeNode) {
	if hold != nil && !hold.view().Over(time.Now()) {
		w.violated("%s opens a term in spite of the hold of %.300s", s.name, side.data)
	}
	if w.holdOf(w.store.nodes[w.place.side]) != nil {
		w.violated("%s carries a hold that is over into its term", s.name)
	}
}

// holds writes a hold, or removes it, as Resign does; of an open term it returns the
// request. "" where there is none.
func (w *fakeWorld) holds(h *holdRecord) (node string) {
	n, ok := w.store.nodes[w.place.side]
	if !ok {
		return ""
	}
	rec, err := parseRecord(n.data, w.place.recipe, w.place.side)
	if err != nil {
		w.violated("%v", err)
		return ""
	}
	rec.stamped(msTime(n.mtime), n.mzxid)
	ops := []any{set(w.place.side, rec.held(h), n.version)}
	if _, ok := w.store.nodes[w.place.live]; ok && h != nil && rec.Term != nil && !rec.Term.Clean {
		node = w.place.requests + "/" + newUUID(false)
		data, _ := json.Marshal(request{Format: recordFormat, Term: rec.Term.Node, By: h.ID})
		ops = append(ops, create(node, string(data), zk.FlagEphemeral))
	}
	_, err = w.store.multi(78, ops)
	w.note("a hold %+v: %v", h, err)
	w.committed(nil, nil)
	if err != nil {
		return ""
	}
	return node
}
