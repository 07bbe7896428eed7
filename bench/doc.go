// SPDX-License-Identifier: Apache-2.0

// Package bench lists the workloads of the benchmark, fairway-bench.
//
//	plan      the seam: what a workload tells the engine
//	run       the engine: paired slices in random order, A/A, discarded slices
//	quiet     whether others used the machine
//	isolate   namespaces that end with the run
//	stat      medians, ratios, intervals
//	result    what a run measured
//	target    what is to be reached
//	facts     the machine
//	report    table, Go's benchmark format, Markdown with plots, JSON
//	command   the command line's side of it
//
// The other packages are workloads and what they are made of. How to read the
// reports is in docs/benchmarks-reading.md.
//
// No product code imports these packages, only the command does.
package bench
