// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"math/rand/v2"

	"github.com/fairway-project/fairway/maps/flow"
	"github.com/fairway-project/fairway/maps/share"
)

// shares keep a part of the flow tables, and of the source ports, for those that have
// little of them.
type shares struct {
	table *share.Table
	// reserve is in percent, room the connections of each table.
	reserve uint32
	room    [2]uint32
	// collector judges how full the tables are by what is kept.
	collector *collector
}

func newShares(reserve uint32, t *share.Table, flows *flow.Table, c *collector) *shares {
	max4, max6 := flows.Limit()
	return &shares{table: t, reserve: reserve, room: [2]uint32{max4 / 2, max6 / 2}, collector: c}
}

// divide tells the programs what each endpoint is sure of. It is called with every
// endpoint that comes or goes; without the daemon none does.
func (s *shares) divide(endpoints int) error {
	each := shareOf(s.reserve, s.room, uint32(endpoints))
	s.collector.setShare(each)
	// Zero stands for no seed yet.
	return s.table.Put(each, rand.Uint32()|1)
}

// shareOf divides percent of the connections that each table has room for, and of the
// ports towards each destination, evenly among endpoints.
func shareOf(percent uint32, room [2]uint32, endpoints uint32) share.Share {
	if percent == 0 || endpoints < 2 {
		return share.Share{} // there are no others
	}
	const whole, most = 100, 50
	s := share.Share{Others: endpoints - 1, SurePorts: 1 << 16 * percent / whole / endpoints}
	for family, n := range room {
		sure := max(1, uint32(uint64(n)*uint64(percent)/whole)/endpoints)
		// Of a tiny table not even one for each can be kept.
		if uint64(sure)*uint64(endpoints) <= uint64(n)*most/whole {
			s.Sure[family], s.Common[family] = sure, n-sure*s.Others
		}
	}
	return s
}

// fillOf returns which part of the entries that all may use are in use. It is more than 1
// where endpoints use what is kept for them. limit is the table's size; a connection takes
// two entries.
func fillOf(entries uint64, limit uint32, s share.Share, family int) float64 {
	if s.Sure[family] == 0 {
		return float64(entries) / float64(limit)
	}
	return float64(entries) / 2 / float64(s.Common[family])
}

// census counts connections by the slot of who answers for them, which is that of the
// reply's half, and all of them.
type census []uint32

func newCensus() census { return make(census, share.All+1) }

func (c census) count(h *flow.Half) {
	if !h.Origin() && int(h.Endpoint) < share.All {
		c[h.Endpoint]++
		c[share.All]++
	}
}
