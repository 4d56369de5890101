// Package zkelect elects exactly one leader among many participants in an
// Apache ZooKeeper election and runs work only while this participant leads.
//
// It follows Apache Curator's LeaderLatch: every participant has one ephemeral
// sequential node under the election's latch path, the lowest leads, each
// waiter watches only its predecessor, and programs that use Curator's
// LeaderLatch may stand in the same queue.
//
// There are three ways in. Run runs a command while leading. A Candidate runs work
// of its caller's: a function (WorkFunc) or a Work of any kind. A Latch tells those
// who ask, or have asked to be told, that it leads. An Inspector and Resign are for
// those who stand beside. docs/curator.md maps Curator's methods to these.
//
// # What is promised
//
// Two terms of zkelect in one election never overlap, and the work of a term
// is over before the session that carries it can expire. Leadership is a lease
// computed on this host's own monotonic clock from acknowledged quorum writes:
// not from the connection's state, which a client learns too late.
//
// # What is not promised
//
// A whole machine that is paused and resumed runs its work for an instant
// after its term is over; so does a clock that runs at another rate than the
// servers', or a session that they end early: CandidateConfig.TakeoverDelay then
// still keeps two terms' work apart. Work of a Candidate's caller that is no process can only be asked to
// stop: Go cannot end a goroutine. Participants that are not zkelect know nothing of
// the node that stands for a living child, so towards them only the queue
// excludes. Against all of these hand the fencing token (Term.Token) to the
// resource and let it refuse a smaller one than it has seen.
//
// The package never exits the process and never prints; what happens is told
// to Config.Observer. The one exception is a process that was started as
// zkelect-survivor: it closes the term of a process that died, before its own
// main would run.
package zkelect
