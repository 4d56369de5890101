package zkelect

import "syscall"

// Cause is why a candidate ended, or why a term did.
type Cause string

// The causes; the words are part of the last log line and of the record.
const (
	CauseExited      Cause = "exited"       // the work ended by itself
	CauseSignalled   Cause = "signalled"    // a signal not of ours ended the work
	CauseStopped     Cause = "stopped"      // asked to stop by our caller
	CauseResigned    Cause = "resigned"     // asked to resign, through ZooKeeper or by Interrupt
	CauseLost        Cause = "lost"         // session, own node or lease lost
	CauseFenceFailed Cause = "fence-failed" // the fence command failed
	CauseSkipped     Cause = "skipped"      // ran elsewhere lately
	CauseNotLeader   Cause = "not-leader"   // someone else leads
	CauseError       Cause = "error"        // could not go on
	CauseUnclean     Cause = "unclean"      // in the record alone: no end was written
	CauseDied        Cause = "died"         // in the record alone: zkelect itself died, and its guard ended the term
)

// Loss is what leadership was lost by. Its words are part of the log.
type Loss string

// The losses.
const (
	LossLease     Loss = "lease"     // no heartbeat was answered for too long
	LossSession   Loss = "session"   // the session is over
	LossNode      Loss = "node"      // the own queue node, or live, was deleted by others
	LossRefused   Loss = "refused"   // the servers refuse heartbeats, or a record
	LossSuspended Loss = "suspended" // the connection is lost, and OnSuspend is not to go on without
	LossGuard     Loss = "guard"     // the guard process died, or ended the work since it heard of no lease
)

// Losses are all of them.
var Losses = []Loss{LossLease, LossSession, LossNode, LossRefused, LossSuspended, LossGuard}

// Outcome is how Run or a Candidate ended.
type Outcome struct {
	Cause Cause
	// Ran tells that work was started and that Code or Signal are its end.
	Ran bool
	// Code is the exit code of the work that ended last.
	Code int
	// Err is the error that the function of WorkFunc returned last.
	Err error
	// Signal killed the work, or, where none ran, asked us to leave.
	Signal syscall.Signal
	// Skipped is the run because of which ours did not start, with CauseSkipped.
	Skipped *PastRun
	// Leader is who led instead, with CauseNotLeader, where known.
	Leader string
}
