// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"os/exec"
	"regexp"
	"slices"
	"strings"
)

// readRuleset reads the rules of the calling process's network namespace. A tool
// that isn't there, or fails, has no rules.
func readRuleset(ctx context.Context) ruleset {
	var r ruleset
	for _, tool := range []string{"iptables", "ip6tables"} {
		if out, err := exec.CommandContext(ctx, tool+"-save", "-t", "filter").Output(); err == nil {
			r.addIPTables(tool, string(out))
		}
	}
	if out, err := exec.CommandContext(ctx, "nft", "list", "ruleset").Output(); err == nil {
		r.addNFTables(string(out))
	}
	return r
}

// dockers are rules in FORWARD that Docker and Fairway make themselves.
var dockers = regexp.MustCompile(`-j DOCKER|docker0|docker_gwbridge|fairway0|\bbr-[0-9a-f]{12}\b`)

// addIPTables reads what iptables-save wrote of the filter table.
func (r *ruleset) addIPTables(tool, saved string) {
	for line := range strings.Lines(saved) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "-A FORWARD ") && strings.HasSuffix(line, "-j ACCEPT") && !slices.Contains(r.accepting, tool) {
			r.accepting = append(r.accepting, tool)
		}
		switch {
		case strings.HasPrefix(line, ":FORWARD DROP"):
			r.policyDrop = append(r.policyDrop, tool)
		case strings.HasPrefix(line, ":ufw-"), strings.HasPrefix(line, ":ufw6-"):
			r.ufw = true
		case strings.HasPrefix(line, "-A FORWARD -j ufw"):
		case line == "-A FORWARD -j DOCKER-USER":
			r.userJumps = append(r.userJumps, tool)
		case strings.HasPrefix(line, "-A FORWARD ") && !dockers.MatchString(line):
			r.forward++
		case strings.HasPrefix(line, "-A DOCKER-USER ") && line != "-A DOCKER-USER -j RETURN":
			r.dockerUser = append(r.dockerUser, tool+" "+line)
		}
	}
}

var nftTable = regexp.MustCompile(`^table (\S+ \S+) \{`)

// byIPTables are the tables that iptables-nft keeps its rules in; Docker's own
// nftables backend keeps to its own.
var byIPTables = []string{"ip filter", "ip6 filter", "ip nat", "ip6 nat", "ip raw", "ip6 raw", "ip mangle", "ip6 mangle",
	"ip security", "ip6 security", "ip docker-bridges", "ip6 docker-bridges"}

// addNFTables reads what nft list ruleset wrote.
func (r *ruleset) addNFTables(listed string) {
	var table string
	for line := range strings.Lines(listed) {
		if m := nftTable.FindStringSubmatch(line); m != nil {
			table = m[1]
		}
		switch {
		case !strings.Contains(line, "hook forward"), slices.Contains(byIPTables, table):
		case strings.HasSuffix(table, " firewalld"):
			r.firewalld = true
		case !slices.Contains(r.nftables, table):
			r.nftables = append(r.nftables, table)
		}
	}
}
