//go:build broken_noguard

package child

// brokenNoGuard: the guard dies with its owner and leaves the tree to itself. Only
// in a build that is broken on purpose; see internal/chaos.
const brokenNoGuard = true
