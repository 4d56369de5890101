package serve

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// exposition is a page in Prometheus' text format, version 0.0.4. No library is small
// enough that says what a metric is for and has Prometheus' histograms: docs/listen.md
// compares.
type exposition struct{ strings.Builder }

const expositionType = "text/plain; version=0.0.4; charset=utf-8"

// family begins a metric; its samples follow.
func (x *exposition) family(name, kind, help string) {
	x.WriteString("# HELP " + name + " " + escapeHelp.Replace(help) + "\n# TYPE " + name + " " + kind + "\n")
}

// sample is one value, with labels as name, value, name, value.
func (x *exposition) sample(name string, value float64, labels ...string) {
	x.WriteString(name)
	for i := 0; i+1 < len(labels); i += 2 {
		x.WriteString(map[bool]string{true: "{", false: ","}[i == 0])
		x.WriteString(labels[i] + `="` + escapeLabel.Replace(labels[i+1]) + `"`)
	}
	if len(labels) > 1 {
		x.WriteString("}")
	}
	x.WriteString(" " + number(value) + "\n")
}

// one is a metric of one sample.
func (x *exposition) one(name, kind, help string, value float64, labels ...string) {
	x.family(name, kind, help)
	x.sample(name, value, labels...)
}

var (
	escapeLabel = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)
	escapeHelp  = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
)

func number(v float64) string {
	if math.IsInf(v, 1) {
		return "+Inf"
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

// histogram counts durations by their length in seconds.
type histogram struct {
	bounds []float64 // rising
	counts []uint64  // by bucket; of those beyond the last bound, one more
	sum    float64
}

func newHistogram(bounds ...float64) *histogram {
	return &histogram{bounds: bounds, counts: make([]uint64, len(bounds)+1)}
}

func (h *histogram) observe(seconds float64) {
	i := 0
	for i < len(h.bounds) && seconds > h.bounds[i] {
		i++
	}
	h.counts[i]++
	h.sum += seconds
}

func (h *histogram) clone() *histogram {
	return &histogram{h.bounds, slices.Clone(h.counts), h.sum}
}

func (x *exposition) histogram(name, help string, h *histogram) {
	x.family(name, "histogram", help)
	total := uint64(0)
	for i, n := range h.counts {
		bound := math.Inf(1)
		if i < len(h.bounds) {
			bound = h.bounds[i]
		}
		total += n
		x.sample(name+"_bucket", float64(total), "le", number(bound))
	}
	x.sample(name+"_sum", h.sum)
	x.sample(name+"_count", float64(total))
}
