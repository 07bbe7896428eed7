// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/maps/host"
	"github.com/fairway-project/fairway/userspace/netns"
	"github.com/fairway-project/fairway/userspace/nl"
)

// listenersInterval is the time between two looks at the host's raw sockets and IPsec
// states: the kernel tells of neither.
const listenersInterval = 2 * time.Second

// listeners tells the programs which protocols without ports somebody on the host takes:
// raw sockets, tunnels and IPsec. What they send the programs see for themselves; this is
// for those that only listen.
type listeners struct {
	log   *slog.Logger
	ns    *netns.NS
	table *host.Table

	mu sync.Mutex
	// devices is what the tunnels took when devices changed last.
	devices map[host.Protocol]uint32
	said    map[host.Protocol]uint32
}

// openListeners looks at the calling thread's network namespace.
func openListeners(log *slog.Logger, table *host.Table) (*listeners, error) {
	said, err := table.Listeners()
	if err != nil {
		return nil, err
	}
	ns, err := netns.Current()
	if err != nil {
		return nil, err
	}
	l := &listeners{log: log, ns: ns, table: table, said: said}
	return l, l.devicesChanged()
}

func (l *listeners) close() error {
	if l == nil {
		return nil
	}
	return l.ns.Close()
}

// watch looks again and again until ctx ends. The channel is closed when that is over.
func (l *listeners) watch(ctx context.Context) <-chan struct{} {
	over := make(chan struct{})
	go func() {
		defer close(over)
		ticker := time.NewTicker(listenersInterval)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				if err := l.look(); err != nil {
					l.log.Error("listeners of the host", "err", err)
				}
			}
		}
	}()
	return over
}

// devicesChanged looks at everything, at the host's tunnels too.
func (l *listeners) devicesChanged() error {
	var devices map[host.Protocol]uint32
	err := l.ns.Do(func() (err error) {
		devices, err = tunnels()
		return err
	})
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.devices = devices
	l.mu.Unlock()
	return l.look()
}

// look makes the map what the host listens for now.
func (l *listeners) look() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	want := maps.Clone(l.devices)
	err := l.ns.Do(func() error { return errors.Join(addRawSockets(want), addSecurity(want)) })
	if err != nil {
		return err
	}
	for p, n := range l.said {
		if _, ok := want[p]; !ok && n != 0 {
			want[p] = 0
		}
	}
	for p, n := range want {
		if l.said[p] == n {
			continue
		}
		if err := l.table.PutListeners(p, n); err != nil {
			return err
		}
		l.said[p] = n
	}
	return nil
}

// addRawSockets adds those of the calling thread's network namespace.
func addRawSockets(to map[host.Protocol]uint32) error {
	for file, ipv6 := range map[string]bool{"raw": false, "raw6": true} {
		content, err := os.ReadFile("/proc/thread-self/net/" + file)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a kernel without the family
		}
		if err != nil {
			return fmt.Errorf("raw sockets: %w", err)
		}
		for _, number := range rawProtocols(string(content)) {
			to[host.Protocol{IPv6: ipv6, Number: number}]++
		}
	}
	return nil
}

// rawProtocols reads /proc/net/raw, where the protocol stands in the place of the local
// port. Sockets of IPPROTO_RAW only send.
func rawProtocols(table string) (numbers []uint8) {
	lines := bufio.NewScanner(strings.NewReader(table))
	lines.Scan() // the heading
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 {
			continue
		}
		_, port, _ := strings.Cut(fields[1], ":")
		number, err := strconv.ParseUint(port, 16, 16)
		if err == nil && number < unix.IPPROTO_RAW {
			numbers = append(numbers, uint8(number))
		}
	}
	return numbers
}

// carriers are the protocols that tunnels of a kind take, by the kind's name.
func carriers(kind string) []host.Protocol {
	switch kind {
	case "gre", "gretap", "erspan":
		return []host.Protocol{{Number: unix.IPPROTO_GRE}}
	case "ip6gre", "ip6gretap", "ip6erspan":
		return []host.Protocol{{IPv6: true, Number: unix.IPPROTO_GRE}}
	case "ipip":
		return []host.Protocol{{Number: unix.IPPROTO_IPIP}}
	case "sit":
		return []host.Protocol{{Number: unix.IPPROTO_IPV6}, {Number: unix.IPPROTO_IPIP}}
	case "ip6tnl":
		return []host.Protocol{{IPv6: true, Number: unix.IPPROTO_IPV6}, {IPv6: true, Number: unix.IPPROTO_IPIP}}
	}
	return nil
}

// tunnels returns what the devices of the calling thread's network namespace take. One
// that is down takes nothing: the kernel's own, such as gre0, are there unasked.
func tunnels() (map[host.Protocol]uint32, error) {
	links, err := nl.LinkList(nil)
	if err != nil {
		return nil, fmt.Errorf("tunnels: %w", err)
	}
	take := make(map[host.Protocol]uint32)
	for _, link := range links {
		if link.Attrs().Flags&net.FlagUp == 0 {
			continue
		}
		for _, p := range carriers(link.Type()) {
			take[p]++
		}
	}
	return take, nil
}

// addSecurity adds the protocols of IPsec's states for packets to the host, or from it.
func addSecurity(to map[host.Protocol]uint32) error {
	states, err := nl.XfrmStateList(nil)
	if err != nil {
		return err
	}
	for _, s := range states {
		to[host.Protocol{IPv6: s.Dst.To4() == nil, Number: uint8(s.Proto)}]++
	}
	return nil
}
