// SPDX-License-Identifier: Apache-2.0

package firewall

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
)

// nft is the tool of tables that are Docker's as a whole.
const nft = "nft"

// bridgeTables are those of Docker's nftables backend (moby's nftabler).
var bridgeTables = []string{"ip docker-bridges", "ip6 docker-bridges"}

// readTables finds the tables of Docker's nftables backend. A host without nft has
// none to find.
func readTables(ctx context.Context) ([]Rule, error) {
	out, err := runNFT(ctx, "", "list", "tables")
	if errors.Is(err, exec.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []Rule
	for line := range strings.Lines(out) {
		name := strings.TrimPrefix(strings.TrimSpace(line), "table ")
		if slices.Contains(bridgeTables, name) {
			all = append(all, Rule{Tool: nft, Table: name, Declared: true})
		}
	}
	return all, nil
}

// flushTables removes tables in one transaction.
func flushTables(ctx context.Context, tables []Rule) error {
	if len(tables) == 0 {
		return nil
	}
	var script strings.Builder
	for _, t := range tables {
		fmt.Fprintf(&script, "delete table %s\n", t.Table)
	}
	_, err := runNFT(ctx, script.String(), "-f", "-")
	return err
}

func runNFT(ctx context.Context, stdin string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, nft, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("nft %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return string(out), nil
}
