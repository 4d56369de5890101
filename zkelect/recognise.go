package zkelect

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/go-zookeeper/zk"
)

// recognise finds out by what is at the path which programs elect there, and who of
// them stand in the queue, in their own order.
func (s *snapshot) recognise(children []string, own *zk.Stat) {
	all := parseQueue(children)
	tally := tallyOf(all)
	s.family = s.whichFamily(tally, own)
	recipe, joinable := s.family.recipe()
	if !joinable {
		recipe = RecipeLatch // any whose nodes are children
	}
	s.place, s.Recipe, s.Program = placeOf(s.Path, recipe), families[s.family].recipe, families[s.family].program

	switch {
	case s.family == familyPlain && isEphemeral(own):
		s.queue = queue{{name: path.Base(s.Path), family: familyPlain, sequence: -1}}
	case tally[s.family].count > 0 && s.family != familyUnknown:
		s.queue = slices.DeleteFunc(newQueue(children, s.family), func(n nodeName) bool { return !s.family.counts(n) })
		s.takesAll = s.family.counts(nodeName{})
	}
	s.tellMixture(tally)
	s.tellPath(own)
	s.tellOverrun()
}

func isEphemeral(stat *zk.Stat) bool { return stat != nil && stat.EphemeralOwner != 0 }

// kind is how many nodes of one family stand somewhere, and the first of them.
type kind struct {
	count int
	first string
	key   string
}

type tally [len(families)]kind

func tallyOf(q queue) (all tally) {
	for _, n := range q {
		k := &all[n.family]
		if key := n.family.sortKey(n); k.count == 0 || key < k.key || key == k.key && n.name < k.first {
			k.first, k.key = n.name, key
		}
		k.count++
	}
	return all
}

// whichFamily tells whose election it is. An ephemeral node has no children: it is the
// election itself. Else the record of a zkelect says it, unless all that stands there
// is of others and no zkelect is alive; else the most numerous nodes.
func (s *snapshot) whichFamily(all tally, own *zk.Stat) family {
	if isEphemeral(own) {
		return familyPlain
	}
	most := familyUnknown
	for f := range all {
		if f := family(f); f != familyUnknown && (most == familyUnknown || all[f].count > all[most].count) {
			most = f
		}
	}
	if all[most].count == 0 {
		most = familyUnknown
	}
	if most == familyReader { // its writers are those who elect
		most = familyKazoo
	}
	if recorded := s.recorded(); recorded != familyUnknown && (most == familyUnknown || s.live != "" || all[recorded].count > 0) {
		return recorded
	}
	return most
}

// recorded is the family of the zkelects that have used the path.
func (s *snapshot) recorded() family {
	if s.rec != nil {
		if recipe, err := ParseRecipe(s.rec.Recipe); err == nil {
			return recipe.family()
		}
	}
	return familyUnknown
}

// counts tells whether the programs of a family take a node for one in their queue.
// Curator's take any child for one.
func (f family) counts(n nodeName) bool {
	switch f {
	case familyUnknown:
		return false
	case familyLatch, familyLock, familyReadWrite:
		return true
	case familyHadoop:
		return n.name == hadoopLock
	case familyKazoo:
		// Its programs look for ten digits, and do not see -000000005.
		return n.family == f && (n.sequence >= 0 || n.sequence <= -1_000_000_000)
	}
	return n.family == f
}

// tellMixture warns of nodes of other families: once for each, with a count and an
// example, which is the first in that family's own order.
func (s *snapshot) tellMixture(all tally) {
	for f, k := range all {
		f := family(f)
		if k.count == 0 || f == s.family || s.family == familyUnknown && f == familyUnknown {
			continue
		}
		whose := f.String()
		if f == familyUnknown {
			whose = nodeName{name: k.first}.whose()
		}
		holds := fmt.Sprintf("%s holds %.200q, which is %s", s.Path, k.first, whose)
		if k.count > 1 {
			holds = fmt.Sprintf("%s holds %d nodes %s, such as %.200q", s.Path, k.count, f, k.first)
		}
		switch {
		case f == familyReader && s.family == familyKazoo:
			s.warn("%s: a WriteLock waits for it, an Election and a Lock do not", holds)
		case f != familyUnknown:
			s.warn("%s, beside nodes %s: each kind has a leader of its own", holds, s.family)
		case s.family == familySupport:
			s.warn("%s, beside nodes %s, which fails on names of others", holds, s.family)
		case s.takesAll:
			s.warn("%s, beside nodes %s: such programs count it as a participant", holds, s.family)
		}
	}
	// Nobody who stands behind takes it for other than the leader.
	if len(s.queue) > 0 && s.queue[0].family != s.family {
		s.warn("%s/%.200s stands first, before nodes %s: none of those leads while it is there", s.Path, s.queue[0].name, s.family)
	}
}

// tellPath warns where the path itself is not what its family's would be.
func (s *snapshot) tellPath(own *zk.Stat) {
	switch recorded := s.recorded(); {
	case own == nil:
	case s.family == familyPlain && !isEphemeral(own):
		s.warn("%s is not ephemeral, so nobody leads by it, and nobody will ever release it", s.Path)
	case recorded != familyUnknown && recorded != s.family:
		s.warn("zkelects elected at %s by recipe %s before (%s), and what is there now is %s", s.Path, s.rec.Recipe, s.side, s.family)
	}
}

// tellOverrun warns where the sequence has run over.
func (s *snapshot) tellOverrun() {
	if i := slices.IndexFunc(s.queue, nodeName.overrun); i >= 0 {
		s.warn("the sequence of %s has run over (%d), so programs disagree about who is first; %s", s.Path, s.queue[i].sequence, anew(s.Path))
	}
}

// participantOf tells whether a path is that of a participant's node, and not of an
// election.
func participantOf(p string) bool {
	n := parseNode(path.Base(p))
	return n.family != familyUnknown && path.Dir(p) != "/"
}

// fill shows those in the queue, as they were read; nodes that were gone are left out.
func (s *snapshot) fill(nodes []node, live *zk.Stat) {
	there := 0
	for n := range nodes {
		if nodes[n].stat == nil {
			s.missed = s.missed || there == 0 // who is first now may have been seen too early
			continue
		}
		s.queue[there], nodes[there] = s.queue[n], nodes[n]
		there++
	}
	s.queue = s.queue[:there]
	s.Participants = make([]Participant, 0, there)
	persistent, example := 0, ""
	for n, name := range s.queue {
		p := s.show(name, nodes[n], n == 0, live)
		if p.Persistent {
			if persistent++; persistent == 1 {
				example = p.Node
			}
		}
		if nodes[n].stat.NumChildren > 0 {
			s.below = append(s.below, name.name)
		}
		s.Participants = append(s.Participants, p)
	}
	if there > 0 && s.Participants[0].Leader {
		s.Leader = &s.Participants[0]
	}
	switch {
	case persistent == 1:
		s.warn("%.300s is not ephemeral: nobody will ever release it", example)
	case persistent > 1:
		s.warn("%s holds %d nodes that are not ephemeral, such as %.300s: nobody will ever release them", s.Path, persistent, example)
	}
}

// show is one node as a participant. A zkelect that is first leads when its term is
// open; another program leads when it is first.
func (s *snapshot) show(name nodeName, n node, first bool, live *zk.Stat) Participant {
	p := Participant{
		ID: printable(n.data), Node: s.node(name.name), Sequence: name.sequence,
		Session: sessionHex(n.stat.EphemeralOwner), Since: msTime(n.stat.Ctime), Persistent: n.stat.EphemeralOwner == 0,
	}
	if name.hostPID() {
		p.Host, p.PID = splitHostPID(p.ID)
	}
	term, ours := name.name, name.ours()
	if s.family == familyPlain && s.live != "" { // the name tells nothing of whose it is
		if term, ours = "", true; live.EphemeralOwner == n.stat.EphemeralOwner {
			term = s.live
		}
	}
	switch {
	case !first || name.family != s.family || strings.Contains(name.name, readMark):
	case s.family == familyPlain && s.live == "" && s.rec != nil && s.rec.Hold != nil:
		// A zkelect waits in this way for the end of the hold.
	case !ours:
		p.Leader, s.term = true, term
	case s.live == term && s.rec.names(term):
		p.Leader, p.FencingToken, p.Since = true, live.Czxid, msTime(live.Ctime)
		p.Host, p.PID = s.rec.Term.Host, s.rec.Term.PID
		s.term, s.ours = term, true
	case s.live != "" && s.live != term:
		s.warn("%s is first and waits for the processes of the leader before to be dead", p.ID)
	}
	return p
}
