// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/nl"
)

// Uninstall takes every rule, chain, policy and setting back that the journal
// speaks of, whichever process made them: it needs no call before it but New.
// Another instance's stay if it may be at work. DOCKER-USER stays where it has
// rules, which are the administrator's.
func (d *Datapath) Uninstall(ctx context.Context) error {
	ids := d.resolversWithout(datapath.Desired{})
	var errs []error
	for _, id := range ids {
		errs = append(errs, d.DeleteResolver(ctx, id))
	}
	errs = append(errs, d.inside(ctx, func(ctx context.Context) error {
		var errs []error
		for _, f := range families {
			errs = append(errs, d.uninstall(ctx, f))
		}
		for _, owner := range d.proxyOwners() {
			d.proxy.release(owner)
		}
		d.state = newState(d.state.masquerade, d.state.instance)
		return errors.Join(errs...)
	}))
	return errors.Join(errs...)
}

func (d *Datapath) uninstall(ctx context.Context, f Family) error {
	cur, err := d.bins.readTables(ctx, f)
	if err != nil {
		if f == IPv6 && d.kernel[f].broken != nil {
			return nil
		}
		return err
	}
	j := readJournal(cur)
	if j == nil || d.others && j.instance != d.state.instance {
		return nil
	}
	if err := restoreSettings(j); err != nil {
		return err
	}
	if err := d.bins.apply(ctx, f, removal(f, cur, j)); err != nil {
		return err
	}
	d.kernel[f] = kernel{}
	return d.dropTables(ctx, f, j)
}

// removal is the script that leaves nothing of the package's.
func removal(f Family, cur saved, j *journal) *script {
	s := new(script)
	for _, r := range j.owned(cur) {
		s.del(r)
	}
	if policy := j.facts[tableFilter][factPolicy]; policy != "" && cur.policy(tableFilter, "FORWARD") == "DROP" {
		s.policy(tableFilter, "FORWARD", policy)
	}
	for _, table := range tableOrder {
		var chains []string
		for _, chain := range append(fixedChains(f, table), cur.serviceChains(table)...) {
			if _, ok := cur.chain(table, chain); ok {
				chains = append(chains, chain)
				s.flush(table, chain)
			}
		}
		if user, ok := cur.chain(tableFilter, chainUser); ok && table == tableFilter && len(user) == 0 {
			chains = append(chains, chainUser)
		}
		for _, chain := range chains {
			if !referenced(cur, table, chain, j.owned(cur), chains) {
				s.drop(table, chain)
			}
		}
	}
	return s
}

// referenced reports whether a rule jumps to the chain that is neither owned nor
// in one of the chains that go.
func referenced(cur saved, table, chain string, owned []Rule, going []string) bool {
	mine := keys(owned)
	for name, rules := range cur[table].chains {
		if slices.Contains(going, name) {
			continue
		}
		for _, r := range rules {
			jumps := strings.HasSuffix(r.spec, "-j "+chain) || strings.HasSuffix(r.spec, "-g "+chain)
			if jumps && !mine[key{table, name, r.spec}] {
				return true
			}
		}
	}
	return false
}

// restoreSettings writes the sysctls back that were changed, and those of the
// bridges that the journal names.
func restoreSettings(j *journal) error {
	var errs []error
	for name, value := range j.facts[tableFilter] {
		setting, ok := strings.CutPrefix(name, factSysctl)
		if !ok {
			continue
		}
		if err := writeSetting(setting, value); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	for _, bridge := range j.bridges {
		errs = append(errs, restoreBridge(bridge), hairpinOff(bridge))
	}
	return errors.Join(errs...)
}

// hairpinOff takes the flag off all ports of a bridge.
func hairpinOff(bridge string) error {
	br, err := netlink.LinkByName(bridge)
	if err != nil {
		if errors.As(err, new(netlink.LinkNotFoundError)) {
			return nil
		}
		return err
	}
	links, err := nl.LinkList(nil)
	if err != nil {
		return err
	}
	var errs []error
	for _, l := range links {
		if l.Attrs().MasterIndex == br.Attrs().Index {
			errs = append(errs, netlink.LinkSetHairpin(l, false))
		}
	}
	return errors.Join(errs...)
}
