// SPDX-License-Identifier: Apache-2.0

// Package stat has the statistics of the reports: medians, ratios of pairs, and
// how far to trust them.
//
// Everything is a median: one slice that a neighbour spoiled moves a mean, not a
// median. Intervals are by the percentile bootstrap (Efron 1979): no assumption
// about how values are spread, and the same interval for the same data, because
// the resampling has a fixed seed.
package stat
