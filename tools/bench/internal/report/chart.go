package report

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// Chart is horizontal bars in groups, one group a row.
type Chart struct {
	Title, Note string
	Series      []string
	Rows        []ChartRow
}

// ChartRow is one group of bars.
type ChartRow struct {
	Label string
	Bars  []Bar
}

// Bar is one bar with the spread around its end and a text behind it.
type Bar struct {
	Series           int
	Value, Low, High float64
	Text             string
}

// Theme is a set of colours.
type Theme struct {
	Name                         string
	Background, Text, Soft, Grid string
	Series                       []string // the first is the reference
}

// The themes for light and dark pages.
var (
	Light = Theme{"light", "#ffffff", "#1f2328", "#59636e", "#d8dee4", []string{"#a3adb8", "#0969da", "#8250df"}}
	Dark  = Theme{"dark", "#0d1117", "#f0f6fc", "#9198a1", "#30363d", []string{"#656c76", "#4493f8", "#ab7df8"}}
)

// Sizes in pixels. Bars and their texts must fit between the labels and the
// right edge.
const (
	chartWidth  = 900
	chartLeft   = 285 // where bars begin
	chartRight  = 715 // where the longest bar ends
	chartTop    = 92
	barHeight   = 13
	barStep     = 17
	rowGap      = 14
	labelMargin = 12
)

// SVG draws the chart.
func (c Chart) SVG(t Theme) string {
	height := chartTop + 12
	for _, r := range c.Rows {
		height += len(r.Bars)*barStep + rowGap
	}
	d := &drawing{theme: t, scale: (chartRight - chartLeft) / c.top()}
	d.printf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" aria-label="%s" font-family="-apple-system, 'Segoe UI', Helvetica, Arial, sans-serif" font-size="12">`,
		chartWidth, height, chartWidth, height, html.EscapeString(c.Title))
	d.printf(`<rect width="%d" height="%d" fill="%s"/>`, chartWidth, height, t.Background)
	d.text(labelMargin, 26, "start", t.Text, `font-size="16" font-weight="600"`, c.Title)
	d.text(labelMargin, 45, "start", t.Soft, "", c.Note)
	d.legend(c.Series)
	d.grid(c.top(), height)
	y := chartTop + rowGap/2
	for _, r := range c.Rows {
		d.row(r, y)
		y += len(r.Bars)*barStep + rowGap
	}
	d.printf(`</svg>`)
	return d.b.String()
}

// top is the end of the axis: the next whole number above all values.
func (c Chart) top() float64 {
	most := 1.0
	for _, r := range c.Rows {
		for _, b := range r.Bars {
			most = max(most, b.Value, b.High)
		}
	}
	return math.Ceil(most)
}

type drawing struct {
	theme Theme
	scale float64 // pixels for 1
	b     strings.Builder
}

func (d *drawing) printf(format string, args ...any) { fmt.Fprintf(&d.b, format+"\n", args...) }

func (d *drawing) text(x float64, y int, anchor, colour, more, text string) {
	if more != "" {
		more = " " + more
	}
	d.printf(`<text x="%s" y="%d" text-anchor="%s" fill="%s"%s>%s</text>`, px(x), y, anchor, colour, more, html.EscapeString(text))
}

// px writes a position with at most one decimal, to keep the files small.
func px(v float64) string { return strings.TrimSuffix(fmt.Sprintf("%.1f", v), ".0") }

func (d *drawing) x(value float64) float64 { return chartLeft + value*d.scale }

func (d *drawing) legend(series []string) {
	x := float64(labelMargin)
	for i, name := range series {
		d.printf(`<rect x="%s" y="58" width="11" height="11" rx="2" fill="%s"/>`, px(x), d.theme.Series[i])
		d.text(x+16, 68, "start", d.theme.Text, "", name)
		x += 16 + 7*float64(len(name)) + 22
	}
}

func (d *drawing) grid(top float64, height int) {
	step := math.Max(1, math.Ceil(top/10))
	for v := 0.0; v <= top; v += step {
		x := px(d.x(v))
		d.printf(`<line x1="%s" y1="%d" x2="%s" y2="%d" stroke="%s"/>`, x, chartTop, x, height-8, d.theme.Grid)
		d.text(d.x(v), chartTop-6, "middle", d.theme.Soft, `font-size="11"`, fmt.Sprintf("%g×", v))
	}
}

func (d *drawing) row(r ChartRow, y int) {
	middle := y + (len(r.Bars)*barStep)/2 + 2
	d.text(chartLeft-labelMargin, middle, "end", d.theme.Text, "", r.Label)
	for _, b := range r.Bars {
		d.bar(b, y)
		y += barStep
	}
}

func (d *drawing) bar(b Bar, y int) {
	d.printf(`<rect x="%d" y="%d" width="%s" height="%d" rx="2" fill="%s"/>`, chartLeft, y, px(b.Value*d.scale), barHeight, d.theme.Series[b.Series])
	end := d.x(b.Value)
	if b.High > b.Low {
		middle := float64(y) + barHeight/2.0
		d.printf(`<path d="M%s %sH%sM%s %sv6M%s %sv6" stroke="%s" fill="none"/>`, px(d.x(b.Low)), px(middle), px(d.x(b.High)),
			px(d.x(b.Low)), px(middle-3), px(d.x(b.High)), px(middle-3), d.theme.Text)
		end = max(end, d.x(b.High))
	}
	d.text(end+6, y+barHeight-3, "start", d.theme.Soft, `font-size="11"`, b.Text)
}
