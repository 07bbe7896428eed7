// SPDX-License-Identifier: Apache-2.0

package sockets

import (
	"github.com/fairway-project/fairway/bench/load"
	"github.com/fairway-project/fairway/bench/world"
)

// largestSegment is what one packet of TCP segmentation offload can carry.
const largestSegment = 64 << 10

// add counts the packets that a result can't have been made with fewer of.
func add(t *world.Traffic, k load.Kind, r load.Result) {
	var toServer, toClient uint64
	switch k {
	case load.RR, load.UDPRR:
		toServer, toClient = r.Transactions, r.Transactions
	case load.CRR:
		// SYN, request, FIN and its acknowledgement; SYN/ACK, response, FIN.
		toServer, toClient = 4*r.Transactions, 3*r.Transactions
	case load.Stream:
		toServer = r.Bytes / largestSegment
	}
	t.ToServer += toServer
	t.Packets += toServer + toClient
}
