// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/netns"
)

// Addresses of the test's world: a host with one uplink, and a machine beside it.
const (
	hostAddr4, lanAddr4 = "198.51.100.1", "198.51.100.10"
	hostAddr6, lanAddr6 = "2001:db8:100::1", "2001:db8:100::10"
)

// world is a host in a namespace of its own, with a datapath, and the LAN.
type world struct {
	t         *testing.T
	dir       string
	variant   string
	host, lan string // paths of namespaces
	d         *Datapath
	count     int
}

// forVariants runs a test with iptables-nft and with iptables-legacy, at the same time: most
// of it waits for packets that aren't to come.
func forVariants(t *testing.T, f func(t *testing.T, w *world)) {
	for _, v := range []string{"nft", "legacy"} {
		t.Run(v, func(t *testing.T) {
			t.Parallel()
			f(t, newWorld(t, v))
		})
	}
}

func newWorld(t *testing.T, variant string) *world {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("needs root: it makes network namespaces")
	}
	dir := filepath.Join("/run", fmt.Sprintf("fwipt-%d-%s", os.Getpid(), strings.NewReplacer("/", "-", "=", "").Replace(t.Name())))
	must(t, netns.PrepareDir(dir))
	t.Cleanup(func() { must(t, netns.RemoveDir(dir)) })
	w := &world{t: t, dir: dir, variant: variant}
	w.host, w.lan = w.newNetns("host"), w.newNetns("lan")
	w.run(w.host, "ip link add eth0 type veth peer name eth0 netns "+w.lan)
	for ns, addrs := range map[string][2]string{w.host: {hostAddr4, hostAddr6}, w.lan: {lanAddr4, lanAddr6}} {
		w.run(ns, "ip addr add "+addrs[0]+"/24 dev eth0")
		w.run(ns, "ip addr add "+addrs[1]+"/64 dev eth0 nodad")
		w.run(ns, "ip link set eth0 up")
	}
	w.run(w.lan, "ip route add default via "+hostAddr4)
	w.run(w.lan, "ip -6 route add default via "+hostAddr6)
	w.touchTables()
	w.d = w.open()
	return w
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) newNetns(name string) string {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	must(w.t, netns.Create(path))
	// A new namespace has the first one's setting, and Docker's FORWARD policy
	// depends on who turned forwarding on.
	w.in(path, func() error { return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("0"), 0) })
	return path
}

// run runs a command line in a namespace.
func (w *world) run(ns, line string) string {
	w.t.Helper()
	var out []byte
	words := strings.Fields(line)
	err := netns.Do(ns, func() (err error) {
		out, err = exec.Command(words[0], words[1:]...).CombinedOutput()
		return err
	})
	if err != nil {
		w.t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return string(out)
}

func (w *world) in(ns string, f func() error) {
	w.t.Helper()
	must(w.t, netns.Do(ns, f))
}

// open starts a datapath in the host's namespace and ends it with the test.
func (w *world) open() *Datapath {
	w.t.Helper()
	var d *Datapath
	w.in(w.host, func() (err error) {
		d, err = New(Options{Binaries: VariantBinaries(w.variant)})
		return err
	})
	w.t.Cleanup(func() { must(w.t, d.Close()) })
	must(w.t, d.EnsureHost(w.t.Context(), model.Host{Addresses: []netip.Addr{
		netip.MustParseAddr(hostAddr4), netip.MustParseAddr(hostAddr6),
		netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback(),
	}}))
	return d
}

// touchTables makes the tables of iptables-legacy exist, which nothing removes again.
func (w *world) touchTables() {
	if w.variant != "legacy" {
		return
	}
	for _, table := range tableOrder {
		w.run(w.host, "iptables-legacy -t "+table+" -S")
		w.run(w.host, "ip6tables-legacy -t "+table+" -S")
	}
}

var changing = regexp.MustCompile(`(?m)^#.*\n|\[\d+:\d+\]`)

// saveTables returns the rules of both families without dates and counters.
func (w *world) saveTables() string {
	w.t.Helper()
	b := VariantBinaries(w.variant)
	return changing.ReplaceAllString(w.run(w.host, b.Save4)+w.run(w.host, b.Save6), "")
}

// iptables runs one command of the variant in the host.
func (w *world) iptables(args string) {
	w.t.Helper()
	w.run(w.host, "iptables-"+w.variant+" -w "+args)
}

// netOption changes a network before it is made.
type netOption func(*datapath.Network)

// network makes a bridge for network number num, 10.9.<num>.0/24 and
// fd00:9:<num>::/64, and ensures the network.
func (w *world) network(num int, options ...netOption) datapath.Network {
	w.t.Helper()
	n := datapath.Network{
		ID: fmt.Sprintf("net%d", num), Name: fmt.Sprintf("net%d", num), Device: datapath.Device{Name: fmt.Sprintf("br%d", num)},
		ICC: true, Masquerade: true,
		IPv4: &datapath.Subnet{
			Prefix:  netip.MustParsePrefix(fmt.Sprintf("10.9.%d.0/24", num)),
			Gateway: netip.MustParseAddr(fmt.Sprintf("10.9.%d.1", num)),
			Mode:    model.GatewayNAT,
		},
		IPv6: &datapath.Subnet{
			Prefix:  netip.MustParsePrefix(fmt.Sprintf("fd00:9:%d::/64", num)),
			Gateway: netip.MustParseAddr(fmt.Sprintf("fd00:9:%d::1", num)),
			Mode:    model.GatewayNAT,
		},
	}
	for _, o := range options {
		o(&n)
	}
	br := n.Device.Name
	w.run(w.host, "ip link add "+br+" type bridge")
	w.run(w.host, fmt.Sprintf("ip addr add %s/24 dev %s", n.IPv4.Gateway, br))
	if n.IPv6 != nil {
		w.run(w.host, fmt.Sprintf("ip addr add %s/64 dev %s nodad", n.IPv6.Gateway, br))
	}
	w.run(w.host, "ip link set "+br+" up")
	must(w.t, w.d.EnsureNetwork(w.t.Context(), n))
	return n
}

// container is a namespace with an endpoint.
type container struct {
	datapath.Endpoint
	ns string
}

// container attaches a new namespace to a network as its address number host.
func (w *world) container(n datapath.Network, host int) container {
	w.t.Helper()
	w.count++
	id := fmt.Sprintf("ep%d", w.count)
	c := container{ns: w.newNetns(id)}
	veth := "veth" + id
	w.run(w.host, fmt.Sprintf("ip link add %s master %s type veth peer name eth0 netns %s", veth, n.Device.Name, c.ns))
	c.Endpoint = datapath.Endpoint{
		ID: id, NetworkID: n.ID, HostIf: veth, HostIndex: w.index(veth),
		IPv4: nth(n.IPv4.Prefix, host),
	}
	w.run(c.ns, fmt.Sprintf("ip addr add %s/24 dev eth0", c.IPv4))
	if n.IPv6 != nil {
		c.IPv6 = nth(n.IPv6.Prefix, host)
		w.run(c.ns, fmt.Sprintf("ip addr add %s/64 dev eth0 nodad", c.IPv6))
	}
	must(w.t, w.d.EnsureEndpoint(w.t.Context(), c.Endpoint))
	w.run(w.host, "ip link set "+veth+" up")
	w.run(c.ns, "ip link set eth0 up")
	if !n.Internal {
		w.run(c.ns, fmt.Sprintf("ip route add default via %s", n.IPv4.Gateway))
		if n.IPv6 != nil {
			w.run(c.ns, fmt.Sprintf("ip -6 route add default via %s", n.IPv6.Gateway))
		}
	}
	return c
}

func nth(p netip.Prefix, n int) netip.Addr {
	b := p.Addr().AsSlice()
	b[len(b)-1] = byte(n)
	a, _ := netip.AddrFromSlice(b)
	return a
}

func (w *world) index(dev string) (index int) {
	w.t.Helper()
	w.in(w.host, func() error {
		l, err := netlink.LinkByName(dev)
		if err == nil {
			index = l.Attrs().Index
		}
		return err
	})
	return index
}

// publish says one port in both families, or on one host address.
func publish(c container, hostPort, port uint16, proto model.Proto, hostIPs ...string) []datapath.Port {
	if len(hostIPs) == 0 {
		hostIPs = []string{"0.0.0.0", "::"}
	}
	var out []datapath.Port
	for _, ip := range hostIPs {
		p := datapath.Port{PublishedPort: model.PublishedPort{
			Port: model.Port{Num: port, Proto: proto}, HostIP: netip.MustParseAddr(ip), HostPort: hostPort,
		}, Target: c.IPv4}
		if p.HostIP.Is6() {
			p.Target, p.HostOnly = c.IPv6, !c.IPv6.IsValid()
			if p.HostOnly {
				p.Target = c.IPv4
			}
		}
		out = append(out, p)
	}
	return out
}

func (w *world) publish(c container, ports ...[]datapath.Port) {
	w.t.Helper()
	var all []datapath.Port
	for _, p := range ports {
		all = append(all, p...)
	}
	must(w.t, w.d.EnsurePorts(w.t.Context(), c.ID, all))
}
