//go:build !broken_noguard

package child

const brokenNoGuard = false
