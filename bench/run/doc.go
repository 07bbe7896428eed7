// SPDX-License-Identifier: Apache-2.0

// Package run is the engine of the benchmark: it measures cases on arms so that a
// ratio of two of them can be believed.
//
//   - Every arm of a case is up before the first slice. Slices are short, and each
//     block has one of every arm, in random order: what changes in the machine
//     over seconds meets all arms alike, and the values of a block are pairs.
//   - The first arm runs once more as if it were another: the A/A row shows what
//     a ratio without any cause looks like.
//   - A slice in which others used the machine is discarded, said, and repeated.
//   - An arm that can't prove that its packets went its way fails the run, as does
//     any error. There are no numbers without a proof.
package run
