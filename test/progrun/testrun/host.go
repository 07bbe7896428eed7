// SPDX-License-Identifier: Apache-2.0

package testrun

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/loader"
	"github.com/fairway-project/fairway/maps/attachment"
	"github.com/fairway-project/fairway/maps/carry"
	"github.com/fairway-project/fairway/maps/counter"
	"github.com/fairway-project/fairway/maps/drop"
	"github.com/fairway-project/fairway/maps/endpoint"
	"github.com/fairway-project/fairway/maps/expired"
	"github.com/fairway-project/fairway/maps/flow"
	"github.com/fairway-project/fairway/maps/host"
	"github.com/fairway-project/fairway/maps/icc"
	"github.com/fairway-project/fairway/maps/network"
	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/maps/publish"
	"github.com/fairway-project/fairway/maps/resolver"
	"github.com/fairway-project/fairway/maps/service"
	"github.com/fairway-project/fairway/maps/share"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/netns"
)

// Options change what is loaded.
type Options struct {
	// MaxEntries overrides sizes of maps by name.
	MaxEntries map[string]uint32
	// Constants overrides constants by name.
	Constants map[string]any
}

// Host is a loaded datapath in its world.
type Host struct {
	World
	// Index has the ifindexes of the devices, by name.
	Index  map[string]int
	Cookie uint64

	object.DatapathObjects
	Endpoints *endpoint.Table
	Networks  *network.Table
	Flows     *flow.Table
	State     *host.Table
	Published *publish.Table
	Links     *icc.Table
	Resolvers *resolver.Table
	Attached  *attachment.Table
	Counters  *counter.Table
	Dropped   *drop.Table
	Collector *expired.Collector
	Carrier   *carry.Carrier
	Shares    *share.Table
	Services  *service.Table

	// pools are the slots that PutPool has filled.
	pools  map[uint16]bool
	thread *thread
	ns     *netns.NS
}

// Open returns a host in the standard world. The caller closes it.
func Open(opts Options) (h *Host, err error) {
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, err
	}
	h = &Host{World: Standard()}
	if h.thread, err = newThread(nil); err != nil {
		return nil, err
	}
	h.thread.do(func() { err = h.setUp(opts) })
	if err == nil {
		err = h.Restore()
	}
	if err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

func (h *Host) setUp(opts Options) (err error) {
	if h.ns, err = netns.Current(); err != nil {
		return err
	}
	if h.Index, err = build(h.World); err != nil {
		return err
	}
	if h.Cookie, err = netns.Cookie("/proc/thread-self/ns/net"); err != nil {
		return err
	}
	return h.load(opts)
}

func (h *Host) load(opts Options) error {
	spec, err := object.LoadDatapath()
	if err != nil {
		return err
	}
	for name, n := range opts.MaxEntries {
		spec.Maps[name].MaxEntries = n
	}
	constants := map[string]any{
		object.DatapathVarHostNetnsCookie: h.Cookie,
		object.DatapathVarHaveKernCtx:     loader.HaveKernCtx() == nil,
	}
	for name, v := range opts.Constants {
		constants[name] = v
	}
	for name, v := range constants {
		if err := spec.Variables[name].Set(v); err != nil {
			return fmt.Errorf("constant %s: %w", name, err)
		}
	}
	if err := spec.LoadAndAssign(&h.DatapathObjects, &ebpf.CollectionOptions{}); err != nil {
		if log, refused := loader.VerifierLog(err); refused {
			return fmt.Errorf("%w:\n%s", err, log)
		}
		return err
	}
	m, p := &h.DatapathMaps, &h.DatapathPrograms
	h.Endpoints, h.Networks, h.Flows = endpoint.New(m), network.New(m), flow.New(m)
	h.State, h.Published, h.Links = host.New(m), publish.New(m), icc.New(m)
	h.Resolvers, h.Counters, h.Dropped = resolver.New(m), counter.New(m), drop.New(m)
	h.Collector, h.Carrier, h.Shares = expired.New(m, p), carry.New(m, p), share.New(m)
	h.Services, h.Attached = service.New(m), attachment.New(m)
	return nil
}

// Close unloads the programs and ends the namespace.
func (h *Host) Close() error {
	var errs []error
	if h.FromContainer != nil {
		errs = append(errs, h.DatapathObjects.Close())
	}
	if h.ns != nil {
		errs = append(errs, h.ns.Close())
	}
	return errors.Join(append(errs, h.thread.close())...)
}

// Do runs f on a thread in the host's namespace. f must not end its goroutine.
func (h *Host) Do(f func()) { h.thread.do(f) }

// Thread is one more thread in the namespace. The caller closes it.
type Thread struct{ t *thread }

// Thread starts one.
func (h *Host) Thread() (Thread, error) {
	t, err := newThread(h.ns)
	return Thread{t}, err
}

// Do runs f on the thread. f must not end its goroutine.
func (t Thread) Do(f func()) { t.t.do(f) }

// Close ends the thread.
func (t Thread) Close() error { return t.t.close() }

// Route leads dst, a prefix, out of another uplink, or deletes the route if via is invalid.
func (h *Host) Route(dst string, u Uplink, via netip.Addr) (err error) {
	h.Do(func() { err = netlink.RouteReplace(routeOf(dst, h.Index[u.Device], via, 0)) })
	return wrap(err, "route", dst)
}

// Refuse makes the route to dst one that the stack answers with an ICMP error.
func (h *Host) Refuse(dst string) (err error) {
	h.Do(func() { err = netlink.RouteReplace(unreachableRoute(dst)) })
	return wrap(err, "unreachable route", dst)
}

// Neighbour makes it known for good that addr is behind an uplink with this MAC.
func (h *Host) Neighbour(u Uplink, addr netip.Addr, mac model.MAC) (err error) {
	h.Do(func() {
		err = netlink.NeighSet(&netlink.Neigh{
			LinkIndex: h.Index[u.Device], State: netlink.NUD_PERMANENT, IP: addr.AsSlice(), HardwareAddr: mac[:],
		})
	})
	return wrap(err, "neighbour", addr.String())
}

// NoNeighbour makes nothing known of addr.
func (h *Host) NoNeighbour(u Uplink, addr netip.Addr) (err error) {
	h.Do(func() { err = netlink.NeighDel(&netlink.Neigh{LinkIndex: h.Index[u.Device], IP: addr.AsSlice()}) })
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return wrap(err, "neighbour", addr.String())
}

// ForgetNeighbours makes what the programs remember of them outdated.
func (h *Host) ForgetNeighbours() error {
	return h.ChangeNextHops(func(_ int, hop *object.DatapathNexthop) {
		hop.Mac.Generation, hop.OwnMac.Generation = 0, 0
		hop.Asked -= 1 << 20
	})
}

// ChangeNextHops changes slots of the table of next hops.
func (h *Host) ChangeNextHops(change func(slot int, hop *object.DatapathNexthop)) error {
	return changeArray(h.Nexthops, change)
}

// AddAddress gives a device one more address.
func (h *Host) AddAddress(device string, p netip.Prefix) error {
	b := builder{index: h.Index}
	h.Do(func() {
		if b.address(device, p); b.err == nil {
			b.err = awaitRoute(p.Addr())
		}
	})
	return b.err
}

// awaitRoute waits until an address that was added is one of the host: the kernel leaves
// the routes of IPv6 to a worker.
func awaitRoute(addr netip.Addr) error {
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		routes, err := netlink.RouteGet(addr.AsSlice())
		if err == nil && len(routes) > 0 && routes[0].Type == unix.RTN_LOCAL {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("address %s isn't the host's: %v, %w", addr, routes, err)
		}
	}
}

// DeleteAddress takes an address from a device.
func (h *Host) DeleteAddress(device string, p netip.Prefix) (err error) {
	l := &netlink.Device{LinkAttrs: netlink.LinkAttrs{Name: device, Index: h.Index[device]}}
	h.Do(func() { err = netlink.AddrDel(l, &netlink.Addr{IPNet: ipNet(p)}) })
	return wrap(err, p.String(), device)
}
