// SPDX-License-Identifier: Apache-2.0

package plan

// Better is the direction in which a metric gets better.
type Better int

// Directions. Neutral is a fact beside the others, which no claim is made of.
const (
	Lower Better = iota
	Higher
	Neutral
)

// Metric is what a number counts. Unit is as in Go's benchmark format: no spaces,
// base units, like "ns/packet", "packets/s", "transactions/s", "B/s", "B/flow".
// It is unique within a case.
type Metric struct {
	Unit   string
	Better Better
}

// Metrics that several workloads have.
var (
	NsPerPacket     = Metric{"ns/packet", Lower}
	PacketsPerSec   = Metric{"packets/s", Higher}
	TransactionsSec = Metric{"transactions/s", Higher}
	ConnectionsSec  = Metric{"connections/s", Higher}
	BytesPerSec     = Metric{"B/s", Higher}
	BytesPerFlow    = Metric{"B/flow", Lower}
	NsPerOp         = Metric{"ns/op", Lower}
)
