// SPDX-License-Identifier: Apache-2.0

// Package command is what fairway-bench does: it reads the command line, selects
// workloads, measures them in namespaces of their own, and writes the reports.
package command
