// SPDX-License-Identifier: Apache-2.0

// Package firewall finds the rules that a Docker Engine left in the host's
// netfilter tables, and those that an operator put into Docker's chain for them.
// What decides is pure; what runs programs is Read and Flush.
//
// Be aware:
//   - rules are read with iptables-save and its variants, as far as they are
//     installed; a host without any has no rules of Docker's to find;
//   - Docker's own nftables backend (29) has tables of its own, which go as a whole.
package firewall

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// Rule is one line of a saved rule set, or a table of nft's.
type Rule struct {
	// Tool is the iptables program that manages the rule, like "ip6tables-legacy", or
	// nft for a table as a whole.
	Tool string
	// Table and Chain are where it is; Spec what follows the chain's name.
	Table, Chain, Spec string
	// Declared marks a chain itself rather than a rule in it; Spec is empty then.
	Declared bool
	// Policy is what becomes of packets that no rule of Chain, a built-in one, decides
	// about; the rule is nothing else then.
	Policy string
}

func (r Rule) String() string {
	switch {
	case r.Tool == nft:
		return fmt.Sprintf("nft table %s", r.Table)
	case r.Policy != "":
		return fmt.Sprintf("%s -t %s -P %s %s", r.Tool, r.Table, r.Chain, r.Policy)
	case r.Declared:
		return fmt.Sprintf("%s -t %s -N %s", r.Tool, r.Table, r.Chain)
	}
	return fmt.Sprintf("%s -t %s -A %s %s", r.Tool, r.Table, r.Chain, r.Spec)
}

// tools are the variants that may each have rules of their own. The plain names
// stand for one of the two others.
var tools = []string{"iptables-nft", "iptables-legacy", "ip6tables-nft", "ip6tables-legacy"}

// plainTools are used where a distribution has only one variant.
var plainTools = []string{"iptables", "ip6tables"}

// Read lists the rules of all tables in the caller's network namespace.
func Read(ctx context.Context) ([]Rule, error) {
	all, err := readTables(ctx)
	if err != nil {
		return nil, err
	}
	found := false
	for _, tool := range tools {
		rules, err := save(ctx, tool)
		if errors.Is(err, exec.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		found = true
		all = append(all, rules...)
	}
	if found {
		return all, nil
	}
	for _, tool := range plainTools {
		rules, err := save(ctx, tool)
		if err != nil && !errors.Is(err, exec.ErrNotFound) {
			return nil, err
		}
		all = append(all, rules...)
	}
	return all, nil
}

func save(ctx context.Context, tool string) ([]Rule, error) {
	cmd := exec.CommandContext(ctx, tool+"-save")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s-save: %w: %s", tool, err, strings.TrimSpace(stderr.String()))
	}
	return parse(tool, string(out)), nil
}

// parse reads the format of iptables-save(8).
func parse(tool, text string) []Rule {
	var all []Rule
	table := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "*"):
			table = line[1:]
		case strings.HasPrefix(line, ":"):
			chain, policy, _ := strings.Cut(line[1:], " ")
			policy, _, _ = strings.Cut(policy, " ")
			switch {
			case policy == "-":
				all = append(all, Rule{Tool: tool, Table: table, Chain: chain, Declared: true})
			case policy != "ACCEPT":
				all = append(all, Rule{Tool: tool, Table: table, Chain: chain, Policy: policy})
			}
		case strings.HasPrefix(line, "-A "):
			chain, spec, _ := strings.Cut(line[3:], " ")
			all = append(all, Rule{Tool: tool, Table: table, Chain: chain, Spec: spec})
		}
	}
	return all
}
