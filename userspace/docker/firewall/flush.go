// SPDX-License-Identifier: Apache-2.0

package firewall

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
)

// Flush removes rules and chains in the caller's network namespace, one tool and
// table after the other, each in one transaction. Nothing of a table is removed if
// anything in it can't be. Tables that lose chains come last: as long as those are
// there, Leftovers finds what an interrupted Flush has left.
func Flush(ctx context.Context, rules []Rule) error {
	tables := slices.DeleteFunc(slices.Clone(rules), func(r Rule) bool { return r.Tool != nft })
	rules = slices.DeleteFunc(slices.Clone(rules), func(r Rule) bool { return r.Tool == nft })
	errs := []error{flushTables(ctx, tables)}
	scripts := scripts(rules)
	for _, tool := range slices.Sorted(maps.Keys(scripts)) {
		cmd := exec.CommandContext(ctx, tool+"-restore", "--noflush", "--wait")
		if strings.HasSuffix(tool, "-nft") {
			cmd = exec.CommandContext(ctx, tool+"-restore", "--noflush")
		}
		cmd.Stdin = strings.NewReader(scripts[tool])
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if err := cmd.Run(); err != nil {
			errs = append(errs, fmt.Errorf("%s-restore: %w: %s", tool, err, strings.TrimSpace(stderr.String())))
		}
	}
	return errors.Join(errs...)
}

// scripts writes what iptables-restore(8) is to do, by tool.
func scripts(rules []Rule) map[string]string {
	lines := make(map[string]map[string][]string)
	for _, r := range rules {
		if lines[r.Tool] == nil {
			lines[r.Tool] = make(map[string][]string)
		}
		line := "-D " + r.Chain + " " + r.Spec
		if r.Declared {
			line = "-X " + r.Chain
		}
		lines[r.Tool][r.Table] = append(lines[r.Tool][r.Table], line)
	}
	out := make(map[string]string)
	for tool, tables := range lines {
		var b strings.Builder
		for _, table := range chainsLast(tables) {
			fmt.Fprintf(&b, "*%s\n%s\nCOMMIT\n", table, strings.Join(tables[table], "\n"))
		}
		out[tool] = b.String()
	}
	return out
}

// chainsLast orders tables by whether chains of theirs are removed, and by name.
func chainsLast(tables map[string][]string) []string {
	order := slices.Sorted(maps.Keys(tables))
	losesChains := func(table string) bool {
		return slices.ContainsFunc(tables[table], func(line string) bool { return strings.HasPrefix(line, "-X ") })
	}
	slices.SortStableFunc(order, func(a, b string) int {
		switch x, y := losesChains(a), losesChains(b); {
		case x == y:
			return 0
		case y:
			return -1
		}
		return 1
	})
	return order
}
