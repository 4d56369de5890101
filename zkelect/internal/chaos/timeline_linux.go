package chaos

import (
	"fmt"
	"html"
	"io"
	"slices"
	"strings"

	"zkelect/zkelect/zktest"
)

// The timeline is a picture for people: who lived when, and what was done to
// whom. Long runs are cut into panels, one below the other.
const (
	panelSeconds = 120 // at most
	pxPerSecond  = 12
	laneHeight   = 36
	leftMargin   = 90
	topMargin    = 64
	panelGap     = 44
)

// The colours of the elections' trees.
var treeColours = []string{"#2ca02c", "#ff7f0e", "#17becf", "#bcbd22", "#8c564b", "#e377c2"}

// A lane is one line of the picture.
type lane struct {
	name   string
	group  int    // lines are drawn between those of one election and the next
	lives  []span // of electors
	trees  []bar
	faults []bar
}

// A bar is a span with what a pointer on it tells.
type bar struct {
	span
	colour, text string
	mark         bool // a moment: a triangle
}

// drawing writes SVG. The first error stays.
type drawing struct {
	w          io.Writer
	begun, end int64
	wide       int // seconds of a panel
	err        error
}

func (d *drawing) put(format string, args ...any) {
	if d.err == nil {
		_, d.err = fmt.Fprintf(d.w, format+"\n", args...)
	}
}

// drawTimeline draws the whole run.
func (e *engine) drawTimeline(w io.Writer) error {
	d := &drawing{w: w, begun: e.begun, end: zktest.Stamp()}
	lanes := e.lanes()
	d.wide = min(panelSeconds, (int(d.seconds(d.end))/10+1)*10)
	panels := int(d.seconds(d.end))/panelSeconds + 1
	panelHeight := len(lanes)*laneHeight + panelGap
	width := max(leftMargin+d.wide*pxPerSecond+20, 1500) // the legend needs so much
	d.put(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="11">`, width, topMargin+panels*panelHeight)
	d.put(`<rect width="100%%" height="100%%" fill="white"/>`)
	d.put(`<text x="10" y="20" font-size="15">seed %d: %d elections, %d contenders each, %d servers</text>`,
		e.cfg.Seed, len(e.cfg.Elections), e.cfg.Contenders, e.cfg.Servers)
	d.legend(e.cfg.Elections)
	for p := range panels {
		d.panel(lanes, p*panelSeconds, topMargin+p*panelHeight)
	}
	d.put(`</svg>`)
	return d.err
}

func (d *drawing) seconds(at int64) float64 { return float64(at-d.begun) / 1e9 }

func (d *drawing) legend(elections []Election) {
	x := 10
	item := func(shape, text string) {
		d.put(`<g transform="translate(%d 34)">%s<text x="22" y="11">%s</text></g>`, x, shape, html.EscapeString(text))
		x += 36 + 6*len(text)
	}
	for i, e := range elections {
		item(fmt.Sprintf(`<rect y="1" width="16" height="11" fill="%s"/>`, treeColour(i)), fmt.Sprintf("tree: %s", e.Nature))
	}
	item(`<rect y="6" width="16" height="2" fill="#aaa"/>`, "zkelect runs")
	for _, g := range []group{processes, links, hands, servers} {
		item(fmt.Sprintf(`<rect y="1" width="16" height="4" fill="%s"/><path d="M0 12 l8 0 l-4 -6 z" fill="%s"/>`, g.colour, g.colour), g.name)
	}
}

func treeColour(election int) string { return treeColours[election%len(treeColours)] }

func (d *drawing) panel(lanes []lane, from, top int) {
	x := func(at int64) float64 {
		s := min(max(d.seconds(at)-float64(from), 0), float64(d.wide))
		return leftMargin + s*pxPerSecond
	}
	within := func(s span) bool {
		return d.seconds(s.from) < float64(from+d.wide) && d.seconds(s.to) >= float64(from)
	}
	bottom := top + len(lanes)*laneHeight
	for s := 0; s <= d.wide; s += 5 {
		at := leftMargin + s*pxPerSecond
		d.put(`<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="#eee"/>`, at, top, at, bottom)
		if s%10 == 0 {
			d.put(`<text x="%d" y="%d" text-anchor="middle" fill="#666">%ds</text>`, at, bottom+14, from+s)
		}
	}
	for n, l := range lanes {
		y := top + n*laneHeight
		if n > 0 && l.group != lanes[n-1].group {
			d.put(`<line x1="10" y1="%d" x2="%.1f" y2="%d" stroke="#999"/>`, y, x(d.begun+1e9*int64(from+d.wide)), y)
		}
		d.put(`<text x="%d" y="%d" text-anchor="end">%s</text>`, leftMargin-8, y+30, l.name)
		draw := func(b bar, dy, height int) {
			if b.to == 0 {
				b.to = d.end
			}
			if within(b.span) {
				d.put(`<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s"><title>%s</title></rect>`,
					x(b.from), y+dy, max(x(b.to)-x(b.from), 1), height, b.colour, html.EscapeString(b.text))
			}
		}
		for _, s := range l.lives {
			draw(bar{span: s, colour: "#aaa", text: "zkelect"}, 26, 2)
		}
		for _, b := range l.trees {
			draw(b, 21, 12)
		}
		var rows [2]float64 // where the words of each row end
		for _, b := range l.faults {
			if b.mark && within(span{b.from, b.from}) {
				d.put(`<path d="M%.1f %d l8 0 l-4 -7 z" fill="%s" stroke="white" stroke-width="0.5"><title>%s</title></path>`,
					x(b.from)-4, y+laneHeight-1, b.colour, html.EscapeString(b.text))
			} else if !b.mark {
				draw(b, 17, 4)
			}
			// The words go where there is room; a pointer tells them in any case.
			for row := range rows {
				if at := x(b.from) - 3; within(span{b.from, b.from}) && at >= rows[row] {
					d.put(`<text x="%.1f" y="%d" font-size="8" fill="%s">%s</text>`, at, y+16-8*row, b.colour, html.EscapeString(b.text))
					rows[row] = at + 4.2*float64(len(b.text)) + 3
					break
				}
			}
		}
	}
}

// lanes are the servers, then the contenders of each election.
func (e *engine) lanes() []lane {
	var lanes []lane
	deeds := e.doneDeeds()
	for i := range e.servers {
		l := lane{name: e.servers[i].name, group: -1}
		for _, d := range deeds {
			if slices.Contains(d.servers, i) {
				l.faults = append(l.faults, d.bar())
			}
		}
		lanes = append(lanes, l)
	}
	for i, all := range e.contenders {
		terms := e.census.of(i)
		for _, c := range all {
			l := lane{name: c.name(), group: i, lives: c.lives}
			for _, t := range terms {
				if t.id == c.name() {
					l.trees = append(l.trees, bar{span: span{t.first, t.died()}, colour: treeColour(i), text: t.text(e.begun)})
				}
			}
			for _, d := range deeds {
				if d.contender == c {
					l.faults = append(l.faults, d.bar())
				}
			}
			lanes = append(lanes, l)
		}
	}
	return lanes
}

func (d *deed) bar() bar {
	return bar{span: d.span, colour: d.Kind.group().colour, text: string(d.Kind), mark: d.Kind.passes() || d.Kind == serverAgain}
}

func (t *term) text(begun int64) string {
	at := func(ns int64) string {
		if ns == 0 {
			return "never"
		}
		return fmt.Sprintf("%.3fs", float64(ns-begun)/1e9)
	}
	s := []string{fmt.Sprintf("%s, token %d", t.id, t.token), "first stamp " + at(t.first)}
	for _, p := range t.processes {
		s = append(s, fmt.Sprintf("%s pid %d: last stamp %s, died %s", p.Role, p.pid, at(p.seen), at(p.died)))
	}
	return strings.Join(append(s, "live deleted "+at(t.liveGone), "queue node deleted "+at(t.nodeGone)), "\n")
}
