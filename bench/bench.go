// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"slices"

	"github.com/fairway-project/fairway/bench/packets"
	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/bench/sockets"
)

// Workloads returns every workload, in the order of the report. A new one is one
// more line.
func Workloads() []plan.Workload {
	return slices.Concat(
		packets.Workloads(),
		sockets.Workloads(),
	)
}
