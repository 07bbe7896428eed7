// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"github.com/fairway-project/fairway/maps/flow"
	"github.com/fairway-project/fairway/maps/share"
	"github.com/fairway-project/fairway/userspace/datapath/ebpf/expiry"
)

// judges are those of one family's connections.
type judges struct {
	// common judges by what is in use of the room that all may use, own by what is of the
	// whole table: nobody's connections are given up early for others' while it has no
	// more than it is sure of.
	common, own expiry.Judge
	sure        uint32
	family      int
	open        *share.Snapshot
}

// judges returns those of a family by what the last pass found, at a time in jiffies. open
// is what endpoints have.
func (c *collector) judges(now uint32, family int, open *share.Snapshot) *judges {
	max4, max6 := c.flows.Limit()
	c.mu.Lock()
	defer c.mu.Unlock()
	entries, limit := c.fill.v4, max4
	if family == share.IPv6 {
		entries, limit = c.fill.v6, max6
	}
	j := expiry.Judge{Timeouts: c.timeouts, Now: now, HZ: c.clock.HZ()}
	js := &judges{common: j, own: j, sure: c.share.Sure[family], family: family, open: open}
	js.common.Fill = fillOf(entries, limit, c.share, family)
	js.own.Fill = fillOf(entries, limit, share.Share{}, family)
	return js
}

// of returns who judges the connections that the endpoint of this half answers for, which
// is to be the reply's.
func (js *judges) of(reply *flow.Half) expiry.Judge {
	slot := int(reply.Endpoint)
	if js.sure > 0 && slot < share.All && js.open.Open(slot)[js.family] <= int32(js.sure) {
		return js.own
	}
	return js.common
}
