package main

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// The size of a plot, and of the room around it, in pixels.
const (
	plotWidth, plotLeft, plotRight  = 760, 210, 60
	plotTop, plotBottom, barHeight  = 56, 44, 26
	linesHeight, linesLeft, padding = 340, 70, 150
)

// bar is one row of a bar chart.
type bar struct {
	name            string
	low, value, top float64 // the quartiles
	ours            bool
}

// bars is a chart with a logarithmic axis, since what is compared differs by hundreds.
func bars(title, unit string, rows []bar) string {
	low, high := math.Inf(1), 0.0
	for _, r := range rows {
		low, high = min(low, r.low), max(high, r.top)
	}
	if high <= 0 {
		return "" // of nothing
	}
	axis := logAxis(low/1.5, high)
	height := plotTop + barHeight*len(rows) + plotBottom
	bottom := height - plotBottom
	x := func(v float64) float64 { return plotLeft + axis.at(v)*(plotWidth-plotLeft-plotRight) }
	var s svg
	s.begin(plotWidth, height, title)
	for _, t := range axis.ticks() {
		s.line(x(t), plotTop, x(t), float64(bottom), "#ddd", 1)
		s.text(x(t), float64(bottom+16), "middle", "#555", number(t))
	}
	s.text((plotLeft+plotWidth-plotRight)/2, float64(bottom+34), "middle", "#555", unit)
	for i, r := range rows {
		y := float64(plotTop + barHeight*i)
		fill := "#9db4c9"
		if r.ours {
			fill = "#d9772b"
		}
		fmt.Fprintf(&s.b, `<rect x="%d" y="%.1f" width="%.1f" height="%d" fill="%s"/>`+"\n", plotLeft, y+5, x(r.value)-plotLeft, barHeight-10, fill)
		s.line(x(r.low), y+barHeight/2, x(r.top), y+barHeight/2, "#222", 2)
		s.text(plotLeft-8, y+17, "end", "#222", r.name)
		s.text(x(r.top)+6, y+17, "start", "#222", number(r.value))
	}
	return s.end()
}

// curve is one line of a chart.
type curve struct {
	name   string
	points [][2]float64
}

// lines is a chart with two logarithmic axes.
func lines(title, across, up string, curves []curve) string {
	xl, xh, yl, yh := math.Inf(1), 0.0, math.Inf(1), 0.0
	for _, c := range curves {
		for _, p := range c.points {
			xl, xh, yl, yh = min(xl, p[0]), max(xh, p[0]), min(yl, p[1]), max(yh, p[1])
		}
	}
	if xh <= 0 || yh <= 0 {
		return ""
	}
	xAxis, yAxis := logAxis(xl, xh), logAxis(yl, yh)
	bottom := float64(linesHeight - plotBottom)
	x := func(v float64) float64 { return linesLeft + xAxis.at(v)*(plotWidth-linesLeft-padding) }
	y := func(v float64) float64 { return bottom - yAxis.at(v)*(bottom-plotTop) }
	var s svg
	s.begin(plotWidth, linesHeight, title)
	for _, t := range xAxis.ticks() {
		s.line(x(t), plotTop, x(t), bottom, "#ddd", 1)
		s.text(x(t), bottom+16, "middle", "#555", number(t))
	}
	for _, t := range yAxis.ticks() {
		s.line(linesLeft, y(t), plotWidth-padding, y(t), "#ddd", 1)
		s.text(linesLeft-6, y(t)+4, "end", "#555", number(t))
	}
	s.text((linesLeft+plotWidth-padding)/2, bottom+34, "middle", "#555", across)
	s.text(linesLeft, plotTop-8, "start", "#555", up)
	colours := []string{"#d9772b", "#3a6ea5", "#5a8f4e", "#8a5a9e"}
	for i, c := range curves {
		colour := colours[i%len(colours)]
		for j, p := range c.points {
			fmt.Fprintf(&s.b, `<circle cx="%.1f" cy="%.1f" r="3.5" fill="%s"/>`+"\n", x(p[0]), y(p[1]), colour)
			if j > 0 {
				before := c.points[j-1]
				s.line(x(before[0]), y(before[1]), x(p[0]), y(p[1]), colour, 2)
			}
		}
		if len(c.points) > 0 {
			last := c.points[len(c.points)-1]
			s.text(x(last[0])+8, y(last[1])+4, "start", colour, c.name)
		}
	}
	return s.end()
}

// axis goes from one value to another by their logarithms.
type axis struct{ low, high float64 }

// logAxis ends where there is something to write: at 1, 2 or 5 times a power of ten.
func logAxis(low, high float64) axis {
	if low <= 0 || math.IsInf(low, 1) {
		low = high / 1000
	}
	a := axis{low: low, high: high}
	all := nice(low, high)
	a.low, a.high = all[0], all[len(all)-1]
	return a
}

// nice are the round values from the last one that is not above low to the first that
// is not below high.
func nice(low, high float64) (all []float64) {
	for power := math.Pow(10, math.Floor(math.Log10(low))); ; power *= 10 {
		for _, m := range []float64{1, 2, 5} {
			v := m * power
			if v <= low*1.0001 {
				all = all[:0]
			}
			all = append(all, v)
			if v >= high*0.9999 && len(all) > 1 {
				return all
			}
		}
	}
}

func (a axis) at(v float64) float64 {
	return math.Log(max(v, a.low)/a.low) / math.Log(a.high/a.low)
}

// ticks are few enough to be read.
func (a axis) ticks() []float64 {
	all := nice(a.low, a.high)
	if len(all) <= 7 {
		return all
	}
	var tens []float64
	for _, v := range all {
		if l := math.Log10(v); math.Abs(l-math.Round(l)) < 1e-6 {
			tens = append(tens, v)
		}
	}
	return tens
}

// svg is a picture that is being drawn.
type svg struct{ b strings.Builder }

func (s *svg) begin(width, height int, title string) {
	fmt.Fprintf(&s.b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="sans-serif" font-size="12">`+"\n", width, height, width, height)
	fmt.Fprintf(&s.b, "<title>%s</title>\n", html.EscapeString(title))
	fmt.Fprintf(&s.b, `<rect width="%d" height="%d" fill="white"/>`+"\n", width, height)
	fmt.Fprintf(&s.b, `<text x="12" y="22" font-size="14" font-weight="bold" fill="#222">%s</text>`+"\n", html.EscapeString(title))
}

func (s *svg) line(x1, y1, x2, y2 float64, colour string, width int) {
	fmt.Fprintf(&s.b, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" stroke-width="%d"/>`+"\n", x1, y1, x2, y2, colour, width)
}

func (s *svg) text(x, y float64, anchor, colour, text string) {
	fmt.Fprintf(&s.b, `<text x="%.1f" y="%.1f" text-anchor="%s" fill="%s">%s</text>`+"\n", x, y, anchor, colour, html.EscapeString(text))
}

func (s *svg) end() string { return s.b.String() + "</svg>\n" }
