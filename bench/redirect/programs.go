// SPDX-License-Identifier: Apache-2.0

package redirect

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/fairway-project/fairway/userspace/netns"
)

// Host is where the programs run.
type Host struct {
	// Netns is the path of its namespace.
	Netns string
	// Uplink is its device to the LAN, with these addresses.
	Uplink   string
	MAC      net.HardwareAddr
	IP4, IP6 netip.Addr
	// LAN is whom all packets to the LAN are for, Gateway what containers send
	// them to.
	LAN, Gateway net.HardwareAddr
	// Entries are the room of a table in which each packet's connection is looked up, two
	// for each of a family; 0: none is looked up.
	Entries uint32
}

// Container is one whose packets are carried.
type Container struct {
	// Device is the host's end of its veth.
	Device   string
	MAC      net.HardwareAddr
	IP4, IP6 netip.Addr
}

// Programs are loaded and attached. They are to be closed.
type Programs struct {
	host    Host
	first   Container
	objects redirectObjects
	links   []link.Link
}

// New carries packets between the LAN and a container.
func New(h Host, first Container) (_ *Programs, err error) {
	p := &Programs{host: h, first: first}
	if err := p.load(); err != nil {
		return nil, fmt.Errorf("load redirecting programs: %w", err)
	}
	err = netns.Do(h.Netns, p.publish)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("redirect to %s: %w", first.Device, err), p.Close())
	}
	return p, nil
}

func (p *Programs) load() error {
	spec, err := loadRedirect()
	if err != nil {
		return err
	}
	if p.host.Entries != 0 {
		spec.Maps[redirectMapFlows4].MaxEntries = p.host.Entries
		spec.Maps[redirectMapFlows6].MaxEntries = p.host.Entries
	}
	if err := spec.Variables[redirectVarLooksUp].Set(p.host.Entries != 0); err != nil {
		return err
	}
	return spec.LoadAndAssign(&p.objects, nil)
}

// publish says what there is to know before it attaches the first program.
func (p *Programs) publish() error {
	device, err1 := net.InterfaceByName(p.first.Device)
	uplink, err2 := net.InterfaceByName(p.host.Uplink)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	inside, outside := addresses{p.first.IP4, p.first.IP6}, addresses{p.host.IP4, p.host.IP6}
	in := newWay(device.Index, p.first.MAC, p.host.Gateway, outside, inside)
	out := newWay(uplink.Index, p.host.LAN, p.host.MAC, inside, outside)
	if err := errors.Join(p.objects.In.Set(in), p.objects.Out.Set(out)); err != nil {
		return err
	}
	return errors.Join(p.attach(p.host.Uplink, p.objects.FromLan), p.attach(p.first.Device, p.objects.ToLan))
}

// Connect carries packets between the first container and a second one, too.
func (p *Programs) Connect(second Container) error {
	err := netns.Do(p.host.Netns, func() error { return p.connect(second) })
	if err != nil {
		return fmt.Errorf("redirect between %s and %s: %w", p.first.Device, second.Device, err)
	}
	return nil
}

func (p *Programs) connect(second Container) error {
	device, err := net.InterfaceByName(second.Device)
	if err != nil {
		return err
	}
	if err := p.objects.Second.Set(redirectWay{Device: uint32(device.Index), Dst: macWords(second.MAC)}); err != nil {
		return err
	}
	return errors.Join(p.attach(p.first.Device, p.objects.ToSecond), p.attach(second.Device, p.objects.ToFirst))
}

// attach puts a program before those that are there: neighbours don't wait for the
// LAN's.
func (p *Programs) attach(device string, program *ebpf.Program) error {
	dev, err := net.InterfaceByName(device)
	if err != nil {
		return err
	}
	l, err := link.AttachTCX(link.TCXOptions{
		Interface: dev.Index, Program: program, Attach: ebpf.AttachTCXIngress, Anchor: link.Head(),
	})
	if err != nil {
		return fmt.Errorf("attach to %s: %w", device, err)
	}
	p.links = append(p.links, l)
	return nil
}

// Redirected is how many packets the programs have carried.
func (p *Programs) Redirected() (sum uint64, err error) {
	var each []uint64
	if err := p.objects.Redirected.Lookup(uint32(0), &each); err != nil {
		return 0, fmt.Errorf("count of redirected packets: %w", err)
	}
	for _, n := range each {
		sum += n
	}
	return sum, nil
}

// Entered is how many entries the tables of connections have: two for each connection.
func (p *Programs) Entered() (uint64, error) {
	v4, err1 := entries[redirectFlow4Key, redirectFlow4](p.objects.Flows4)
	v6, err2 := entries[redirectFlow6Key, redirectFlow6](p.objects.Flows6)
	return v4 + v6, errors.Join(err1, err2)
}

func entries[K, V any](m *ebpf.Map) (n uint64, err error) {
	const chunk = 4096
	var cursor ebpf.MapBatchCursor
	keys, values := make([]K, chunk), make([]V, chunk)
	for {
		got, err := m.BatchLookup(&cursor, keys, values, nil)
		n += uint64(got)
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			return n, nil
		}
		if err != nil {
			return n, fmt.Errorf("entries of %s: %w", m, err)
		}
	}
}

// Detach leaves all packets to the stack. Devices that are gone are no error.
func (p *Programs) Detach() error {
	var errs []error
	for _, l := range p.links {
		errs = append(errs, l.Close())
	}
	p.links = nil
	return errors.Join(errs...)
}

// Close detaches and unloads the programs.
func (p *Programs) Close() error { return errors.Join(p.Detach(), p.objects.Close()) }
