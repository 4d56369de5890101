//go:build broken_nolive

package zkelect

const broken = "nolive"
