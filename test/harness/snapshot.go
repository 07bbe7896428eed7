// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// snapshot is what can be seen of a namespace's network: title to text.
type snapshot map[string]string

// takeSnapshot reads everything that Fairway may change in the namespace, apart
// from sysctls: forwarding stays on, as it does with Docker.
func takeSnapshot(t testing.TB, n *Netns) snapshot {
	t.Helper()
	s := snapshot{}
	for _, c := range []string{"ip -o link", "ip -o addr", "ip route show table all", "ip -6 route show table all",
		"ip rule show", "tc qdisc show", "iptables-save", "ip6tables-save", "nft list ruleset"} {
		f := strings.Fields(c)
		out, err := n.Output(f[0], f[1:]...)
		if err != nil {
			t.Fatal(err)
		}
		s[c] = Normalise(out)
	}
	if err := n.Do(func() error { return s.attachments() }); err != nil {
		t.Fatal(err)
	}
	return s
}

// attachments adds the tcx and XDP programs of the uplink.
func (s snapshot) attachments() error {
	dev, err := net.InterfaceByName("eth0")
	if err != nil {
		return err
	}
	for name, at := range map[string]ebpf.AttachType{"tcx ingress": ebpf.AttachTCXIngress, "tcx egress": ebpf.AttachTCXEgress} {
		count, err := tcxPrograms(dev.Index, at)
		if err != nil {
			return fmt.Errorf("query %s: %w", name, err)
		}
		s[name] = fmt.Sprint(count)
	}
	return nil
}

// tcxPrograms counts those of a device. Before Linux 6.6 there are none, and the
// kernel doesn't know the question.
func tcxPrograms(ifindex int, at ebpf.AttachType) (int, error) {
	res, err := link.QueryPrograms(link.QueryOptions{Target: ifindex, Attach: at})
	if errors.Is(err, ebpf.ErrNotSupported) || errors.Is(err, unix.EINVAL) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return len(res.Programs), nil
}

var (
	counters = regexp.MustCompile(`(\[\d+:\d+\])|(packets \d+ bytes \d+)`)
	derived  = regexp.MustCompile(`^(local|broadcast|anycast|multicast) `)
	volatile = regexp.MustCompile(`tentative |expires \d+sec|NO-CARRIER,|,LOWER_UP| state [A-Z]+| linkdown|\s+$| --to-ports \d+\s*$|prog/xdp id \d+ | redirect to :\d+\s*$`)
)

// Normalise drops what changes by itself or with each start of a daemon (the
// ports of its proxy for ::1), and the tables and built-in chains
// without a rule that any call of iptables leaves.
func Normalise(out string) string {
	var kept []string
	for line := range strings.Lines(out) {
		line = volatile.ReplaceAllString(counters.ReplaceAllString(line, ""), "")
		line = strings.TrimRight(line, " \n")
		switch {
		case line == "", line == "COMMIT", strings.HasPrefix(line, "#"), strings.HasPrefix(line, "*"):
		// A warning of ip(8)'s about the far end of another test's veth.
		case strings.HasPrefix(line, "Error: Peer netns"):
		// The kernel derives these from the addresses, some of them later, and some
		// only while forwarding is on.
		case derived.MatchString(line):
		case strings.HasPrefix(line, ":") && strings.HasSuffix(line, " ACCEPT"):
		case strings.HasPrefix(line, "table ip"), strings.HasPrefix(line, "\tchain "), strings.HasPrefix(line, "\t\ttype "),
			line == "\t}", line == "}":
		default:
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n")
}

// sameLines reports whether both have the same lines, in whatever order: rules that come
// and go leave those of others in another one. A bridge has a link-local address once it has
// had a port.
func (s snapshot) sameLines(other snapshot) bool {
	lines := func(text string) []string {
		return slices.DeleteFunc(slices.Sorted(strings.SplitSeq(text, "\n")), func(l string) bool { return strings.Contains(l, "fe80::") })
	}
	return maps.EqualFunc(s, other, func(a, b string) bool { return slices.Equal(lines(a), lines(b)) })
}

// compare reports what is different now.
func (s snapshot) compare(t testing.TB, now snapshot) {
	t.Helper()
	if diff := cmp.Diff(s, now); diff != "" {
		t.Errorf("the host isn't as it was before the daemon (-before +after):\n%s", diff)
	}
}

// CountPrograms counts the tcx programs and classifiers on all devices of the
// namespace.
func CountPrograms(t testing.TB, n *Netns) (count int) {
	t.Helper()
	err := n.Do(func() error {
		devices, err := net.Interfaces()
		if err != nil {
			return err
		}
		for _, dev := range devices {
			for _, at := range []ebpf.AttachType{ebpf.AttachTCXIngress, ebpf.AttachTCXEgress} {
				attached, err := tcxPrograms(dev.Index, at)
				if err != nil {
					return fmt.Errorf("query %s: %w", dev.Name, err)
				}
				count += attached
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return count + CountLines(n.Must(t, "tc", "qdisc", "show"), "clsact")
}
