package zkelect

// Each of these is true in one build that breaks the promise on purpose, chosen
// by a build tag: broken_nolease and so on. They show that the checks of
// internal/chaos see what they are for. In what is shipped all are false, and the
// compiler drops what depends on them.
const (
	brokenNoLease = broken == "nolease" // the work goes on whatever the lease says
	brokenRelease = broken == "release" // the closing does not wait for the tree's death
	brokenNoLive  = broken == "nolive"  // nobody looks at anybody else's live
)
