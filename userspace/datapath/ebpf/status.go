// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/fairway-project/fairway/loader"
	"github.com/fairway-project/fairway/userspace/datapath"
)

// Status implements datapath.Datapath.
func (d *Datapath) Status(context.Context) (datapath.Status, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := datapath.Status{Mode: datapath.EBPF, Netfilter: datapath.NetfilterBypass, Notes: d.notes()}
	if d.rules != nil {
		s.Netfilter = datapath.NetfilterFirstPacket
	}
	for _, r := range d.loader.Features() {
		s.Features = append(s.Features, datapath.Feature{
			Name: r.Name, Available: r.Available(), Since: r.Since, Used: r.Used(),
		})
	}
	attached, err := d.programs.attached()
	for _, a := range attached {
		s.Attachments = append(s.Attachments, datapath.Attachment{
			Device: deviceName(a), Program: string(a.Program), How: a.How,
		})
	}
	slices.SortFunc(s.Attachments, func(a, b datapath.Attachment) int {
		return strings.Compare(a.Device+a.Program, b.Device+b.Program)
	})
	return s, err
}

func (d *Datapath) notes() []string {
	max4, max6 := d.meter.flows.Limit()
	v := d.programs.versions()
	notes := []string{fmt.Sprintf("The flow tables have room for %d IPv4 and %d IPv6 connections.", max4/2, max6/2), programsNote(v.adopted)}
	if v.switching {
		notes = append(notes, "Programs of an earlier version carry the traffic until the start is complete.")
	}
	if v.replaced != nil {
		notes = append(notes, replacementNote(v.replaced))
	}
	if l3 := d.uplinks.l3; len(l3) > 0 {
		notes = append(notes, fmt.Sprintf(
			"Devices without Ethernet headers can't be uplinks in this mode; containers don't get out through %s.", strings.Join(l3, ", ")))
	}
	for _, name := range slices.Sorted(maps.Keys(d.uplinks.withoutXDP)) {
		notes = append(notes, fmt.Sprintf("Uplink %s has no XDP program: %s.", name, d.uplinks.withoutXDP[name]))
	}
	for _, n := range d.networks.byID {
		if vain := d.networks.untrusted(n, d.uplinks.names); len(vain) > 0 {
			notes = append(notes, fmt.Sprintf(
				"Network %s trusts %s, where nothing comes in that this datapath serves: no such uplink, or one without Ethernet headers.",
				n.name, strings.Join(vain, ", ")))
		}
	}
	return notes
}

// programsNote tells whether the start had to load anything.
func programsNote(adopted bool) string {
	if adopted {
		return "The programs are those of an earlier start, adopted as they were."
	}
	return "The programs were loaded by this start."
}

func replacementNote(r *loader.Replacement) string {
	of := "another version"
	if r.Of != "" {
		of += ", " + r.Of
	}
	fate := fmt.Sprintf("%d connections were carried over", r.Carried)
	switch {
	case r.Broke:
		fate = "connections through address translation that were open then broke"
	case r.Lost > 0:
		fate += fmt.Sprintf(", and %d lost for want of room", r.Lost)
	}
	return fmt.Sprintf("This daemon found the tables of %s, and began new ones %s: %s.", of, r.At.Format(time.DateTime), fate)
}

func deviceName(a loader.Attachment) string {
	if a.Index == 0 {
		return "cgroup"
	}
	l, err := netlink.LinkByIndex(a.Index)
	if err != nil {
		return fmt.Sprintf("index %d", a.Index)
	}
	return l.Attrs().Name
}
