// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"context"
	"fmt"

	"github.com/fairway-project/fairway/userspace/datapath"
)

// Status names the variant in use and what is not as it should be.
func (d *Datapath) Status(ctx context.Context) (datapath.Status, error) {
	st := datapath.Status{Mode: datapath.IPTables}
	err := d.inside(ctx, func(ctx context.Context) error {
		for _, f := range families {
			st.Notes = append(st.Notes, d.familyNotes(ctx, f)...)
		}
		st.Features = []datapath.Feature{d.bridgeFilter()}
		return nil
	})
	return st, err
}

func (d *Datapath) familyNotes(ctx context.Context, f Family) []string {
	k := &d.kernel[f]
	if k.broken != nil {
		return []string{fmt.Sprintf("%s is off: %v.", f, k.broken)}
	}
	version, err := d.bins.version(ctx, f)
	if err != nil {
		return []string{fmt.Sprintf("%s is off: %v.", f, err)}
	}
	notes := []string{fmt.Sprintf("%s rules are written by %s.", f, version)}
	if !k.ready {
		return notes
	}
	cur, err := d.bins.readTables(ctx, f)
	if err != nil {
		return append(notes, fmt.Sprintf("%s rules can't be read: %v.", f, err))
	}
	if note := d.foreignNote(f, cur); note != "" {
		notes = append(notes, note)
	}
	return notes
}

// foreignNote says what another program did to the rules: what Stats mends, and what
// it leaves until the next start.
func (d *Datapath) foreignNote(f Family, cur saved) string {
	k := &d.kernel[f]
	want := d.state.ruleset(f, d.proxy, k.facts)
	switch chain := damage(cur, want); {
	case chain != "" && k.torn:
		return fmt.Sprintf("%s rules in %s were removed by another program and can't be put back yet, the log says why.", f, chain)
	case chain != "" && k.again.waiting():
		return fmt.Sprintf("%s rules in %s are gone each time after they were put back: another program removes them, or iptables prints them "+
			"in another way than they were written; they come back once a minute or more often.", f, chain)
	case chain != "":
		return fmt.Sprintf("%s rules were removed by another program; they come back within seconds.", f)
	case !plan(cur, want, k.leftover).empty():
		return fmt.Sprintf("%s rules of another program stand in Fairway's chains, or before its own in FORWARD; "+
			"restarting the daemon removes the former and puts its own first.", f)
	}
	return ""
}

// bridgeFilter tells whether frames inside a bridge pass the rules.
func (d *Datapath) bridgeFilter() datapath.Feature {
	value, err := readSetting(bridgeFilterSetting[IPv4])
	return datapath.Feature{
		Name: "br_netfilter", Available: err == nil, Since: "2.6",
		Used: fmt.Sprintf("bridge-nf-call-iptables=%s: icc=false and ports of the own network need it", value),
	}
}
