// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"

	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/maps/wire"
	"github.com/fairway-project/fairway/test/harness"
)

// facts are what the datapath has to know, as sorted lines.
type facts struct {
	// Endpoints are addresses, Ports are "proto host:port > :port of name".
	Endpoints, Ports, Subnets []string
}

// inspected is what docker inspect says of a container.
type inspected struct {
	Name            string
	NetworkSettings struct {
		Ports    map[string][]struct{ HostIp, HostPort string }
		Networks map[string]struct{ IPAddress, GlobalIPv6Address string }
	}
}

// matches demands that the pinned maps have what Docker lists, and nothing else of
// containers.
func (d *engine) matches() {
	d.t.Helper()
	want, owners := d.listed()
	want.Subnets = append(want.Subnets, d.ownSubnets()...)
	harness.Eventually(d.t, "the maps have what Docker lists", func() error {
		got, err := d.mapped(owners)
		if err != nil {
			return err
		}
		if diff := cmp.Diff(want.sorted(), got.sorted()); diff != "" {
			return fmt.Errorf("(-docker +maps):\n%s", diff)
		}
		return nil
	})
}

// listed is what the engine says: of the networks that it has, and the containers
// that run.
func (d *engine) listed() (f facts, owners map[netip.Addr]string) {
	d.t.Helper()
	owners = make(map[netip.Addr]string)
	ids := strings.Fields(d.docker("network", "ls", "-q", "--filter", "driver=bridge"))
	for subnet := range strings.FieldsSeq(d.docker(append([]string{"network", "inspect", "-f", "{{range .IPAM.Config}}{{.Subnet}} {{end}}"}, ids...)...)) {
		f.Subnets = append(f.Subnets, subnet)
	}
	running := strings.Fields(d.docker("ps", "-q"))
	if len(running) == 0 {
		return f, owners
	}
	var all []inspected
	if err := json.Unmarshal([]byte(d.docker(append([]string{"inspect"}, running...)...)), &all); err != nil {
		d.t.Fatal(err)
	}
	for _, c := range all {
		for _, n := range c.NetworkSettings.Networks {
			for _, text := range []string{n.IPAddress, n.GlobalIPv6Address} {
				if addr, err := netip.ParseAddr(text); err == nil {
					f.Endpoints = append(f.Endpoints, text)
					owners[addr] = c.Name
				}
			}
		}
		for target, hosts := range c.NetworkSettings.Ports {
			num, proto, _ := strings.Cut(target, "/")
			for _, h := range hosts {
				f.Ports = append(f.Ports, fmt.Sprintf("%s %s > %s of %s", proto, harness.HostPort(h.HostIp, h.HostPort), num, c.Name))
			}
		}
	}
	return f, owners
}

// protocols by their numbers.
func protocol(n uint8) string { return map[uint8]string{6: "tcp", 17: "udp", 132: "sctp"}[n] }

// mapped is what the pinned maps say. Names come from owners.
func (d *engine) mapped(owners map[netip.Addr]string) (f facts, err error) {
	err = eachEntry(d, object.DatapathMapEndpointAddrs, func(k object.DatapathEndpointAddrKey, slot uint32) {
		f.Endpoints = append(f.Endpoints, netip.AddrFrom16(k.Addr).Unmap().String())
	})
	if err != nil {
		return f, err
	}
	err = eachEntry(d, object.DatapathMapPublishedPorts, func(k object.DatapathPublishedKey, v object.DatapathPublished) {
		host := harness.HostPort(netip.AddrFrom16(k.Addr).Unmap().String(), fmt.Sprint(wire.Port(k.Port)))
		owner := owners[netip.AddrFrom16(v.Addr).Unmap()]
		f.Ports = append(f.Ports, fmt.Sprintf("%s %s > %d of %s", protocol(k.Proto), host, wire.Port(v.Port), owner))
	})
	if err != nil {
		return f, err
	}
	err = eachEntry(d, object.DatapathMapSubnets, func(k object.DatapathSubnetKey, _ uint32) {
		addr := netip.AddrFrom16(k.Addr)
		bits := int(k.Prefixlen)
		if addr.Is4In6() {
			addr, bits = addr.Unmap(), bits-96
		}
		f.Subnets = append(f.Subnets, netip.PrefixFrom(addr, bits).String())
	})
	return f, err
}

// carries waits until ports, as in "tcp 0.0.0.0:80", are in the pinned maps: not for as long as
// until the daemon lists everything again.
func (d *engine) carries(ports ...string) {
	d.t.Helper()
	harness.EventuallyWithin(d.t, harness.Patience/4, fmt.Sprintf("ports %q to be carried", ports), func() error {
		got, err := d.mapped(nil)
		if err != nil {
			return err
		}
		for _, port := range ports {
			if !slices.ContainsFunc(got.Ports, func(line string) bool { return strings.HasPrefix(line, port+" > ") }) {
				return fmt.Errorf("%s isn't among %q", port, got.Ports)
			}
		}
		return nil
	})
}

// eachEntry calls fn for every entry of a pinned map.
func eachEntry[K, V any](d *engine, name string, fn func(K, V)) error {
	found, err := filepath.Glob(filepath.Join(d.Daemon.BPFFS, "maps/*", name))
	if err != nil || len(found) != 1 {
		return fmt.Errorf("map %s: %v, %w", name, found, err)
	}
	m, err := ebpf.LoadPinnedMap(found[0], &ebpf.LoadPinOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	defer m.Close()
	var k K
	var v V
	entries := m.Iterate()
	for entries.Next(&k, &v) {
		fn(k, v)
	}
	return entries.Err()
}

// ownSubnets are those of Fairway's own networks.
func (d *engine) ownSubnets() (out []string) {
	d.t.Helper()
	var docs []struct {
		IPAM struct{ Config []struct{ Subnet string } }
	}
	d.JSON(d.t, &docs, "network", "inspect", "bridge")
	for _, doc := range docs {
		for _, c := range doc.IPAM.Config {
			out = append(out, c.Subnet)
		}
	}
	return out
}

func (f facts) sorted() facts {
	for _, list := range []*[]string{&f.Endpoints, &f.Ports, &f.Subnets} {
		slices.Sort(*list)
		if *list == nil {
			*list = []string{}
		}
	}
	return f
}
