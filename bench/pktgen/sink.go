// SPDX-License-Identifier: Apache-2.0

package pktgen

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/userspace/netns"
)

// Sink counts packets with a mark, and ends them. It is to be closed.
type Sink struct {
	objects sinkObjects
	conn    *net.UDPConn
	ns      *netns.NS
	filter  *netlink.BpfFilter
}

// Want is what the packets have to look like when they arrive. Fields that are
// zero aren't looked at; the mark always is.
type Want struct {
	Mark     uint64
	Src, Dst netip.Addr
	DstPort  uint16
}

// Counts are packets with the mark.
type Counts struct {
	Arrived    uint64 // as they should look
	Mismatched uint64 // with other addresses or another port
	Corrupt    uint64 // with a wrong checksum, while Verify is on
	// Handovers is how often a packet came on another task's time than the one
	// before. If the kernel puts work off to ksoftirqd there are many, and the
	// CPU time of who made the packets isn't all that they took.
	Handovers uint64
}

// ErrLost says that packets didn't arrive.
var ErrLost = errors.New("packets are lost")

// AtDevice counts the IPv4 and IPv6 packets that come in at a device, before
// anything else sees them. Its clsact qdisc goes with the sink.
func AtDevice(path, device string, want Want) (_ *Sink, err error) {
	s, err := newSink(want)
	if err != nil {
		return nil, err
	}
	if s.ns, err = netns.Open(path); err == nil {
		err = s.attach(device)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("sink at %s: %w", device, err), s.Close())
	}
	return s, nil
}

// AtSocket counts what a UDP socket at addr gets, after the kernel's own checks,
// checksums among them. Neither is kept, and of Want only the mark is looked at.
func AtSocket(path string, addr netip.AddrPort, want Want) (*Sink, error) {
	s, err := newSink(want)
	if err != nil {
		return nil, err
	}
	if err := netns.Do(path, func() error { return s.listen(addr) }); err != nil {
		return nil, errors.Join(fmt.Errorf("sink at %s: %w", addr, err), s.Close())
	}
	return s, nil
}

func newSink(want Want) (*Sink, error) {
	spec, err := loadSink()
	if err != nil {
		return nil, err
	}
	vars := spec.Variables
	err = errors.Join(vars["mark"].Set(want.Mark), vars["want_dport"].Set([2]byte{byte(want.DstPort >> 8), byte(want.DstPort)}))
	if want.Src.IsValid() {
		err = errors.Join(err, vars["want_src"].Set(want.Src.As16()), vars["look_src"].Set(true))
	}
	if want.Dst.IsValid() {
		err = errors.Join(err, vars["want_dst"].Set(want.Dst.As16()), vars["look_dst"].Set(true))
	}
	s := &Sink{}
	if err == nil {
		err = spec.LoadAndAssign(&s.objects, nil)
	}
	if err != nil {
		return nil, fmt.Errorf("sink: %w", err)
	}
	return s, nil
}

// attach is done with clsact, which every kernel has that the generator runs on.
func (s *Sink) attach(device string) error {
	index, err := deviceIndex(s.ns, device)
	if err != nil {
		return err
	}
	h, err := s.ns.Handle()
	if err != nil {
		return err
	}
	defer h.Close()
	attrs := netlink.QdiscAttrs{LinkIndex: index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT}
	if err := h.QdiscAdd(&netlink.GenericQdisc{QdiscAttrs: attrs, QdiscType: "clsact"}); err != nil {
		return fmt.Errorf("clsact: %w", err)
	}
	s.filter = &netlink.BpfFilter{FilterAttrs: netlink.FilterAttrs{LinkIndex: index}}
	for i, p := range []struct {
		program  *ebpf.Program
		protocol uint16
	}{{s.objects.Count4, unix.ETH_P_IP}, {s.objects.Count6, unix.ETH_P_IPV6}} {
		filter := &netlink.BpfFilter{
			FilterAttrs: netlink.FilterAttrs{
				LinkIndex: index, Parent: netlink.HANDLE_MIN_INGRESS, Handle: 1,
				Protocol: p.protocol, Priority: uint16(1 + i),
			},
			Fd: p.program.FD(), Name: "pktgen_sink", DirectAction: true,
		}
		if err := h.FilterAdd(filter); err != nil {
			return fmt.Errorf("filter: %w", err)
		}
	}
	return nil
}

func (s *Sink) listen(addr netip.AddrPort) error {
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return err
	}
	s.conn = conn
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var setErr error
	err = raw.Control(func(fd uintptr) {
		setErr = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_BPF, s.objects.CountSocket.FD())
	})
	return errors.Join(err, setErr)
}

// Verify has a sink at a device look at checksums too, which takes time.
func (s *Sink) Verify(on bool) error { return s.objects.Verify.Set(on) }

// Count returns what came so far.
func (s *Sink) Count() (c Counts, err error) {
	for _, one := range []struct {
		outcome sinkOutcome
		to      *uint64
	}{{sinkOutcomeARRIVED, &c.Arrived}, {sinkOutcomeMISMATCHED, &c.Mismatched}, {sinkOutcomeCORRUPT, &c.Corrupt}} {
		var each []uint64
		if err := s.objects.Counts.Lookup(uint32(one.outcome), &each); err != nil {
			return c, fmt.Errorf("sink's counts: %w", err)
		}
		for _, n := range each {
			*one.to += n
		}
	}
	return c, s.objects.Handovers.Get(&c.Handovers)
}

// Wait returns when so many packets have arrived altogether, or with an error that
// wraps ErrLost when none came for a while. One that came and looks wrong is an
// error at once, and so is one too many.
func (s *Sink) Wait(ctx context.Context, packets uint64) error {
	const patience = 200 * time.Millisecond
	last, since := Counts{}, time.Now()
	for {
		now, err := s.Count()
		switch {
		case err != nil:
			return err
		case now.Mismatched+now.Corrupt > 0:
			return fmt.Errorf("%d packets arrived changed and %d corrupt beside %d", now.Mismatched, now.Corrupt, now.Arrived)
		case now.Arrived == packets:
			return nil
		case now.Arrived > packets:
			return fmt.Errorf("%d packets arrived where %d were sent", now.Arrived, packets)
		case now != last:
			last, since = now, time.Now()
		case time.Since(since) > patience:
			return fmt.Errorf("%w: %d of %d arrived", ErrLost, now.Arrived, packets)
		}
		if err := context.Cause(ctx); err != nil {
			return err
		}
	}
}

// Close detaches the sink. A device or namespace that is gone is no error.
func (s *Sink) Close() error {
	var errs []error
	if s.conn != nil {
		errs = append(errs, s.conn.Close())
	}
	if s.ns != nil {
		errs = append(errs, s.detach(), s.ns.Close())
	}
	return errors.Join(append(errs, s.objects.Close())...)
}

func (s *Sink) detach() error {
	if s.filter == nil {
		return nil
	}
	h, err := s.ns.Handle()
	if err != nil {
		return err
	}
	defer h.Close()
	attrs := netlink.QdiscAttrs{LinkIndex: s.filter.LinkIndex, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT}
	err = h.QdiscDel(&netlink.GenericQdisc{QdiscAttrs: attrs, QdiscType: "clsact"})
	if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINVAL) {
		return nil
	}
	return err
}
