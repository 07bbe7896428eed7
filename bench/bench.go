// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"slices"

	"github.com/fairway-project/fairway/bench/attach"
	"github.com/fairway-project/fairway/bench/packets"
	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/bench/ports"
	"github.com/fairway-project/fairway/bench/prog"
	"github.com/fairway-project/fairway/bench/services"
	"github.com/fairway-project/fairway/bench/sockets"
)

// Workloads returns every workload, in the order of the report. They are values of
// one run: some keep things until its end. A new one is one more line.
func Workloads() []plan.Workload {
	return slices.Concat(
		[]plan.Workload{&prog.Workload{}},
		packets.Workloads(),
		sockets.Workloads(),
		[]plan.Workload{ports.Workload(), services.Workload(), attach.Workload()},
	)
}
