//go:build broken_nolease

package zkelect

const broken = "nolease"
