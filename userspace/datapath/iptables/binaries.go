// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// Binaries names the programs to run, by name in PATH or by path.
type Binaries struct {
	Restore4, Save4 string
	Restore6, Save6 string
}

// DefaultBinaries are those that the host's administrator chose
// (update-alternatives).
func DefaultBinaries() Binaries { return VariantBinaries("") }

// VariantBinaries returns the programs of one variant, "nft" or "legacy"; the
// empty string stands for the host's choice.
func VariantBinaries(variant string) Binaries {
	if variant != "" {
		variant = "-" + variant
	}
	return Binaries{
		Restore4: "iptables" + variant + "-restore", Save4: "iptables" + variant + "-save",
		Restore6: "ip6tables" + variant + "-restore", Save6: "ip6tables" + variant + "-save",
	}
}

func (b Binaries) restore(f Family) string {
	if f == IPv4 {
		return b.Restore4
	}
	return b.Restore6
}

func (b Binaries) save(f Family) string {
	if f == IPv4 {
		return b.Save4
	}
	return b.Save6
}

// readTables runs iptables-save in the network namespace of the calling thread:
// a child begins in the namespace of the thread that forks it.
func (b Binaries) readTables(ctx context.Context, f Family) (saved, error) {
	out, err := run(ctx, "", b.save(f), "-c")
	if err != nil {
		return nil, err
	}
	return parseSaved(out)
}

// apply runs iptables-restore in the network namespace of the calling thread.
func (b Binaries) apply(ctx context.Context, f Family, s *script) error {
	if s.empty() {
		return nil
	}
	_, err := run(ctx, s.String(), b.restore(f), "--noflush", "--wait")
	return err
}

// version returns what the program says of itself: "iptables-restore v1.8.9 (nf_tables)".
func (b Binaries) version(ctx context.Context, f Family) (string, error) {
	out, err := run(ctx, "", b.restore(f), "--version")
	return strings.TrimSpace(out), err
}

func run(ctx context.Context, stdin, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if text := strings.Join(strings.Fields(stderr.String()), " "); text != "" {
			err = fmt.Errorf("%w: %s", err, text)
		}
		if errors.Is(err, exec.ErrNotFound) {
			return "", fmt.Errorf("%s: not installed (Debian and Ubuntu: apt-get install iptables): %w", name, err)
		}
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return stdout.String(), nil
}
