// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/nl"
)

// Stats reads the rules' counters and the devices'. Forwarded are the packets
// that a rule of Fairway's accepted in FORWARD, frames inside a bridge included.
// Since it reads all rules, and the daemon calls it every few seconds, it also is
// what notices that another program removed some.
func (d *Datapath) Stats(ctx context.Context) (datapath.Stats, error) {
	var st datapath.Stats
	err := d.inside(ctx, func(ctx context.Context) error {
		return errors.Join(d.ruleCounters(ctx, &st), d.endpointCounters(&st), flowCount(&st))
	})
	return st, err
}

func (d *Datapath) ruleCounters(ctx context.Context, st *datapath.Stats) error {
	var forwarded datapath.Counter
	drops := make(map[datapath.Drop]datapath.Counter)
	for _, f := range families {
		if !d.kernel[f].ready {
			continue
		}
		cur, err := d.bins.readTables(ctx, f)
		if err != nil {
			return err
		}
		sumAccepted(cur, &forwarded)
		sumDropped(cur, f, drops)
		d.counted.add(f, cur, &d.state)
		if err := d.mendDamage(ctx, f, cur); err != nil {
			return err
		}
	}
	st.Forwarded = map[datapath.Path]datapath.Counter{datapath.PathStack: forwarded}
	for drop, c := range drops {
		drop.Counter = c
		st.Drops = append(st.Drops, drop)
	}
	slices.SortFunc(st.Drops, func(a, b datapath.Drop) int {
		return cmp.Or(cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.Direction, b.Direction))
	})
	return nil
}

func sumAccepted(cur saved, sum *datapath.Counter) {
	for _, chain := range []string{chainDocker, chainCT, chainForward} {
		rules, _ := cur.chain(tableFilter, chain)
		for _, r := range rules {
			if strings.HasSuffix(r.spec, "-j ACCEPT") {
				addCounter(sum, r.counter)
			}
		}
	}
}

func sumDropped(cur saved, f Family, drops map[datapath.Drop]datapath.Counter) {
	note := func(table, chain string, r savedRule) {
		if reason, dir, ok := dropReason(table, chain, r.spec); ok {
			id := datapath.Drop{Reason: reason, Direction: dir}
			sum := drops[id]
			addCounter(&sum, r.counter)
			drops[id] = sum
		}
	}
	for _, chain := range ownChains(f, tableFilter) {
		rules, _ := cur.chain(tableFilter, chain)
		for _, r := range rules {
			note(tableFilter, chain, r)
		}
	}
	copies := make(map[string]bool)
	noted, _ := cur.chain(tableRaw, chainJournal)
	for _, r := range noted {
		copies[r.spec] = true
	}
	rules, _ := cur.chain(tableRaw, "PREROUTING")
	for _, r := range rules {
		if copies[r.spec] {
			note(tableRaw, "PREROUTING", r)
		}
	}
}

func addCounter(sum *datapath.Counter, c datapath.Counter) {
	sum.Packets += c.Packets
	sum.Bytes += c.Bytes
}

// endpointCounters reads the veths' host ends: what they receive is what the
// container transmits.
func (d *Datapath) endpointCounters(st *datapath.Stats) error {
	links, err := nl.LinkList(nil)
	if err != nil {
		return err
	}
	stats := make(map[int]*netlink.LinkStatistics, len(links))
	for _, l := range links {
		stats[l.Attrs().Index] = l.Attrs().Statistics
	}
	for _, e := range d.state.endpoints {
		if s := stats[e.HostIndex]; s != nil {
			st.Endpoints = append(st.Endpoints, datapath.EndpointCounters{
				EndpointID: e.ID,
				Receive:    networkBytes(s.TxPackets, s.TxBytes),
				Transmit:   networkBytes(s.RxPackets, s.RxBytes),
			})
		}
	}
	slices.SortFunc(st.Endpoints, func(a, b datapath.EndpointCounters) int {
		return cmp.Compare(a.EndpointID, b.EndpointID)
	})
	return nil
}

// networkBytes takes the Ethernet headers off a device's count.
func networkBytes(packets, bytes uint64) datapath.Counter {
	const ethernetHeader = 14
	return datapath.Counter{Packets: packets, Bytes: bytes - min(bytes, packets*ethernetHeader)}
}

// flowCount reads how many connections the namespace tracks, and the limit.
func flowCount(st *datapath.Stats) error {
	for name, to := range map[string]*uint64{"count": &st.Flows, "max": &st.FlowLimit} {
		text, err := readSetting("net/netfilter/nf_conntrack_" + name)
		if err != nil {
			return err
		}
		if *to, err = strconv.ParseUint(text, 10, 64); err != nil {
			return err
		}
	}
	st.Maps = []datapath.Fill{{Map: "nf_conntrack", Entries: st.Flows, Max: st.FlowLimit}}
	return nil
}
