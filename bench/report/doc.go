// SPDX-License-Identifier: Apache-2.0

// Package report writes what a run measured: a table for the terminal, raw data in
// Go's benchmark format for benchstat, a Markdown page with SVG plots, and JSON.
//
// Plots are written as SVG by hand, some 200 lines: two kinds of plot are needed,
// and the libraries that draw them (gonum/plot, go-chart) bring font and raster
// code into a program that also is a daemon. Everything else is text/tabwriter and
// encoding/json.
package report
