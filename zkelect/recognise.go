package zkelect

import (
	"cmp"
	"path"
	"slices"

	"github.com/go-zookeeper/zk"
)

// recognise finds out by what is at the path which programs elect there: the record
// of a zkelect says so; else an ephemeral node is the election itself; else the
// children tell, the most numerous kind where there are several.
func (s *snapshot) recognise(children []string, own *zk.Stat) {
	all := parseQueue(children)
	ephemeral := own != nil && own.EphemeralOwner != 0
	s.family = mostOf(all)
	if ephemeral {
		s.family = familyPlain
	}
	if s.rec != nil {
		if recipe, err := ParseRecipe(s.rec.Recipe); err == nil {
			s.family = recipe.family()
		}
	}
	recipe, joinable := s.family.recipe()
	if !joinable {
		recipe = RecipeLatch // any whose nodes are children
	}
	s.place, s.Recipe = placeOf(s.Path, recipe), families[s.family].recipe
	s.tellMixture(all, own)

	switch {
	case s.family == familyPlain && ephemeral:
		s.queue = queue{{name: path.Base(s.Path), family: familyPlain, sequence: -1}}
	case s.family != familyPlain:
		s.queue = slices.DeleteFunc(newQueue(children, s.family), func(n nodeName) bool { return !s.family.counts(n) })
	}
}

// mostOf is the kind of programs that most nodes are of.
func mostOf(q queue) family {
	var count [len(families)]int
	best := familyUnknown
	for _, n := range q {
		if n.family == familyUnknown {
			continue
		}
		if count[n.family]++; best == familyUnknown || count[n.family] > count[best] {
			best = n.family
		}
	}
	if best == familyReader {
		return familyKazoo
	}
	return best
}

// counts tells whether a node is shown among the participants of a family.
// Curator's programs take any child for one of theirs.
func (f family) counts(n nodeName) bool {
	switch {
	case n.name == hadoopCrumb:
		return false
	case n.family != familyUnknown:
		return true
	}
	return f == familyLatch || f == familyLock || f == familyReadWrite
}

// tellMixture warns of nodes of other families, with an example of each.
func (s *snapshot) tellMixture(all queue, own *zk.Stat) {
	slices.SortFunc(all, func(a, b nodeName) int { return cmp.Or(cmp.Compare(a.family, b.family), cmp.Compare(a.name, b.name)) })
	for i, n := range all {
		if n.family == s.family || i > 0 && all[i-1].family == n.family || !s.family.counts(n) {
			continue
		}
		s.warn("%s holds %q, which is %s, beside nodes %s: each kind has a leader of its own", s.Path, n.name, n.whose(), s.family)
	}
	switch {
	case own == nil:
	case own.EphemeralOwner != 0 && s.family != familyPlain:
		s.warn("%s is an ephemeral node, %s, and the record in %s is of recipe %s", s.Path, familyPlain, s.side, s.Recipe)
	case own.EphemeralOwner == 0 && s.family == familyPlain:
		s.warn("%s is not ephemeral, so nobody leads by it, and nobody will ever release it", s.Path)
	}
}

// add shows one node. A zkelect that is first leads when its term is open; another
// program leads when it is first.
func (s *snapshot) add(name nodeName, n node, first bool, live *zk.Stat) {
	p := Participant{
		ID: printable(n.data), Node: s.node(name.name), Sequence: name.sequence,
		Session: sessionHex(n.stat.EphemeralOwner), Since: msTime(n.stat.Ctime), Persistent: n.stat.EphemeralOwner == 0,
	}
	if name.hostPID() {
		p.Host, p.PID = splitHostPID(p.ID)
	}
	if p.Persistent {
		s.warn("%s is not ephemeral: nobody will ever release it", p.Node)
	}
	term, ours := name.name, name.ours()
	if s.family == familyPlain && s.live != "" { // the name tells nothing of whose it is
		if term, ours = "", true; live.EphemeralOwner == n.stat.EphemeralOwner {
			term = s.live
		}
	}
	switch {
	case !first || name.family != s.family:
	case !ours:
		p.Leader, s.term = true, term
	case s.live == term && s.rec.names(term):
		p.Leader, p.FencingToken, p.Since = true, live.Czxid, msTime(live.Ctime)
		p.Host, p.PID = s.rec.Term.Host, s.rec.Term.PID
		s.term, s.ours = term, true
	case s.live != "" && s.live != term:
		s.warn("%s is first and waits for the processes of the leader before to be dead", p.ID)
	}
	s.Participants = append(s.Participants, p)
	if p.Leader {
		s.Leader = &s.Participants[len(s.Participants)-1]
	}
}
