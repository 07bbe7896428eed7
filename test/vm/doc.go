// SPDX-License-Identifier: Apache-2.0

// Package vm holds what is tested on kernels other than the machine's own: every
// program of the eBPF object goes through the running kernel's verifier, and the
// instructions that it looked at are compared with those in budget.txt. The
// script run beside it boots Debian's kernels under qemu and runs these tests
// there, with a few of the end-to-end tests.
package vm
