// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"context"
	"fmt"
	"strings"
)

// kernel is what is known of one family's tables.
type kernel struct {
	// ready is set once the package's chains are there; broken is why they can't be.
	ready  bool
	broken error
	nft    bool
	// inherited says that an earlier daemon's rules were there, anothers that they were
	// of another instance.
	inherited, anothers bool
	// leftover counts the rules of an earlier daemon that nobody has claimed yet.
	leftover map[key]int
	facts    facts
	// whole is the fingerprint of tables that were compared with the present state and
	// lacked nothing; zero where they have to be compared.
	whole uint64
	// torn is set while the tables may differ from the state, because mending failed.
	torn bool
	// again is about damage that mending doesn't end.
	again again
}

// prepare makes the chains of both families on first use. A host without IPv6 is
// served in IPv4 only.
func (d *Datapath) prepare(ctx context.Context) error {
	for _, f := range families {
		k := &d.kernel[f]
		if k.ready || k.broken != nil && f == IPv6 {
			continue
		}
		if k.broken = d.adopt(ctx, f, k); k.broken == nil {
			k.ready = true
			continue
		}
		if f == IPv4 {
			return k.broken
		}
		d.log.Warn("ip6tables is unusable, networks with IPv6 will be refused", "err", k.broken)
	}
	return nil
}

// adopt reads the tables, remembers what an earlier daemon left and adds what is
// always there.
func (d *Datapath) adopt(ctx context.Context, f Family, k *kernel) error {
	version, err := d.bins.version(ctx, f)
	if err != nil {
		return err
	}
	cur, err := d.bins.readTables(ctx, f)
	if err != nil {
		return err
	}
	if err := checkForeign(f, cur); err != nil {
		return err
	}
	j := readJournal(cur)
	if d.others && j != nil && j.instance != "" && j.instance != d.state.instance {
		return fmt.Errorf("%s: %w", f, ErrOccupied)
	}
	k.nft = strings.Contains(version, "nf_tables")
	k.facts = factsOf(cur, j)
	k.leftover, k.inherited = leftovers(f, cur, j), j != nil
	k.anothers = k.inherited && j.instance != "" && j.instance != d.state.instance
	return d.bins.apply(ctx, f, plan(cur, d.state.ruleset(f, d.proxy, k.facts), k.leftover))
}

// factsOf returns the facts noted, and notes the tables that don't exist yet.
func factsOf(cur saved, j *journal) facts {
	if j != nil {
		return j.facts
	}
	fs := make(facts)
	for _, table := range tableOrder {
		if cur[table] == nil {
			fs.set(table, factCreated, "yes")
		}
	}
	return fs
}

// leftovers counts all rules that an earlier daemon made.
func leftovers(f Family, cur saved, j *journal) map[key]int {
	left := make(map[key]int)
	if j == nil {
		return left
	}
	for _, r := range j.owned(cur) {
		left[r.key()]++
	}
	for _, table := range tableOrder {
		for _, chain := range append(fixedChains(f, table), cur.serviceChains(table)...) {
			rules, _ := cur.chain(table, chain)
			for _, r := range rules {
				left[key{table, chain, r.spec}]++
			}
		}
	}
	return left
}

// change replaces the rules old of something by new, of which state speaks
// already. Where the tables aren't what they were left as (another program
// flushed them) they are mended as a whole. It returns what changed.
func (d *Datapath) change(ctx context.Context, f Family, old, new []Rule) (delta, error) {
	k := &d.kernel[f]
	if k.broken != nil {
		if len(new) > 0 {
			return delta{}, fmt.Errorf("%w: %w", ErrNoFamily, k.broken)
		}
		return delta{}, nil
	}
	k.whole = 0
	del := diff(old, new)
	del.claim(k.leftover)
	if !k.torn {
		err := d.bins.apply(ctx, f, del.script(d.state.instance))
		if err == nil {
			return del, nil
		}
		d.log.Warn("rules were changed by another program, mending them", "family", f.String(), "err", err)
	}
	return del, d.mend(ctx, f)
}

// mend makes the kernel equal to the state, leftovers excepted.
func (d *Datapath) mend(ctx context.Context, f Family) (err error) {
	k := &d.kernel[f]
	if k.broken != nil {
		return nil
	}
	k.whole = 0
	defer func() { k.torn = err != nil }()
	cur, err := d.bins.readTables(ctx, f)
	if err != nil {
		return err
	}
	return d.bins.apply(ctx, f, planMend(cur, d.state.ruleset(f, d.proxy, k.facts), k.leftover))
}

// mendDamage mends the tables, which are cur, where another program flushed one,
// or removed or moved a single rule. With many ports comparing takes a while: tables
// in which nothing has changed aren't compared again. Damage that comes back each time is
// mended less and less often, which the log tells once.
func (d *Datapath) mendDamage(ctx context.Context, f Family, cur saved) error {
	k, now := &d.kernel[f], cur.fingerprint()
	if k.whole == now {
		return nil
	}
	want := d.state.ruleset(f, d.proxy, k.facts)
	chain := damage(cur, want)
	if chain == "" {
		k.whole = now
		return nil
	}
	what, at := remainder(cur, want), d.now()
	if !k.again.due(what, at) {
		return nil
	}
	k.again.note(what, at)
	d.tellDamage(f, chain)
	before := k.torn
	err := d.mend(ctx, f)
	if err != nil && !before {
		d.log.Warn("rules can't be put back yet", "family", f.String(), "chain", chain, "err", err)
	}
	return err
}

func (d *Datapath) tellDamage(f Family, chain string) {
	switch d.kernel[f].again.times {
	case 1:
		d.log.Warn("rules were removed by another program, mending them", "family", f.String(), "chain", chain)
	case 2:
		d.log.Warn("rules that were mended are gone again: they are mended less often from now on", "family", f.String(), "chain", chain)
	}
}

// changeAll is change for both families, or for none: after an error undo takes
// the state back, and the tables follow it. Where they don't either, the next
// change mends them.
func (d *Datapath) changeAll(ctx context.Context, old, new [len(families)][]Rule, undo func()) ([len(families)]delta, error) {
	var out [len(families)]delta
	var err error
	for _, f := range families {
		if out[f], err = d.change(ctx, f, old[f], new[f]); err != nil {
			break
		}
	}
	if err == nil {
		return out, nil
	}
	undo()
	for _, f := range families {
		out[f].disclaim(d.kernel[f].leftover)
		if err := d.mend(ctx, f); err != nil {
			d.log.Warn("a change failed and can't be taken back yet", "family", f.String(), "err", err)
		}
	}
	return out, err
}
