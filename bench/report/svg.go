// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"html"
	"strings"

	"github.com/fairway-project/fairway/bench/plan"
)

// canvas collects SVG elements. Colours are legible on a light and a dark page:
// the picture has a background of its own.
type canvas struct {
	strings.Builder
	width, height float64
}

func newCanvas(width, height float64, title string) *canvas {
	c := &canvas{width: width, height: height}
	fmt.Fprintf(c, `<svg xmlns="http://www.w3.org/2000/svg" width="%g" height="%g" viewBox="0 0 %g %g" font-family="sans-serif" font-size="12">`+"\n", width, height, width, height)
	fmt.Fprintf(c, "<title>%s</title>\n", html.EscapeString(title))
	fmt.Fprintf(c, `<rect width="%g" height="%g" fill="#ffffff"/>`+"\n", width, height)
	c.text(width/2, 20, "middle", title, `font-size="14" font-weight="bold"`)
	return c
}

func (c *canvas) text(x, y float64, anchor, text, more string) {
	fmt.Fprintf(c, `<text x="%.1f" y="%.1f" text-anchor="%s" fill="#222222" %s>%s</text>`+"\n", x, y, anchor, more, html.EscapeString(text))
}

func (c *canvas) line(x1, y1, x2, y2 float64, colour string, width float64) {
	fmt.Fprintf(c, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" stroke-width="%g"/>`+"\n", x1, y1, x2, y2, colour, width)
}

func (c *canvas) dot(x, y float64, colour string) {
	fmt.Fprintf(c, `<circle cx="%.1f" cy="%.1f" r="4" fill="%s"/>`+"\n", x, y, colour)
}

func (c *canvas) end() string { return c.String() + "</svg>\n" }

const (
	grey  = "#dddddd"
	black = "#444444"
)

// colours of Okabe and Ito, which most people with any kind of colour vision tell
// apart; an arm has the same one in every plot.
func colour(a plan.Arm) string {
	switch a {
	case plan.EBPF:
		return "#0072b2"
	case plan.XDP:
		return "#56b4e9"
	case plan.IPTables:
		return "#d55e00"
	case plan.IPTablesLegacy:
		return "#e69f00"
	case plan.NFTables:
		return "#cc79a7"
	case plan.Docker:
		return "#7f3c00"
	case plan.DockerNoProxy:
		return "#b8860b"
	case plan.HAProxy:
		return "#44aa99"
	case plan.IPVS:
		return "#332288"
	case plan.Redirect:
		return "#5e3c99"
	case plan.Lookup:
		return "#b2abd2"
	case plan.Route:
		return "#009e73"
	case plan.VethXDP:
		return "#999999"
	}
	return "#555555"
}
