//go:build broken_release

package zkelect

const broken = "release"
