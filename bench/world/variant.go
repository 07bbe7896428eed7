// SPDX-License-Identifier: Apache-2.0

package world

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// firewall is a variant of iptables, made what "iptables" means to a daemon: as
// update-alternatives does it, but by a directory in front of PATH.
type firewall struct {
	variant string // "legacy" or "nft"
	netns   string
	// env is what the daemon is to be started with.
	env []string
}

func newFirewall(dir, netns, variant string) (*firewall, error) {
	bin := filepath.Join(dir, "iptables-"+variant)
	if err := os.Mkdir(bin, 0o755); err != nil {
		return nil, err
	}
	for _, family := range []string{"iptables", "ip6tables"} {
		for _, what := range []string{"", "-restore", "-save"} {
			to, err := find(family + "-" + variant + what)
			if err != nil {
				return nil, err
			}
			// The programs look at the name that they are started by, not at that
			// of the file.
			if to, err = filepath.EvalSymlinks(to); err != nil {
				return nil, err
			}
			if err := os.Symlink(to, filepath.Join(bin, family+what)); err != nil {
				return nil, err
			}
		}
	}
	return &firewall{variant: variant, netns: netns, env: append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))}, nil
}

// accepted sums the packets that rules of FORWARD and what it jumps to let pass.
func (f *firewall) accepted(ctx context.Context) (sum uint64, err error) {
	for _, family := range []string{"iptables", "ip6tables"} {
		out, saveErr := output(ctx, f.netns, nil, "", family+"-"+f.variant+"-save", "-c", "-t", "filter")
		n, parseErr := sumAccepted(out)
		sum += n
		err = errors.Join(err, saveErr, parseErr)
	}
	return sum, err
}

// sumAccepted reads lines like "[12:3456] -A DOCKER -d 172.17.0.2/32 -j ACCEPT".
func sumAccepted(saved string) (sum uint64, err error) {
	for line := range strings.Lines(saved) {
		line = strings.TrimSpace(line)
		if !strings.HasSuffix(line, "-j ACCEPT") {
			continue
		}
		packets, _, _ := strings.Cut(strings.TrimPrefix(line, "["), ":")
		n, err := strconv.ParseUint(packets, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("rule %q: %w", line, err)
		}
		sum += n
	}
	return sum, nil
}
