//go:build !broken_nolease && !broken_release && !broken_nolive

package zkelect

const broken = ""
