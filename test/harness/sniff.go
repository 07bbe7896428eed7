// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Sniffer collects the frames that a device sees.
type Sniffer struct {
	f     *os.File
	where string
	mu    sync.Mutex
	// frames came after those that are decoded already: packets are decoded when somebody
	// looks, since most are never looked at.
	frames  [][]byte
	packets []gopacket.Packet
}

// Sniff starts to collect in the namespace; it ends with the test. filter is a
// classic BPF program, or nil for everything. Frames that the namespace sends
// itself are left out: what counts is what arrives there.
func Sniff(t testing.TB, n *Netns, dev string, filter []bpf.Instruction) *Sniffer {
	t.Helper()
	s := &Sniffer{where: dev + " of " + n.Name}
	if err := n.Do(func() error { return s.open(dev, filter) }); err != nil {
		t.Fatalf("sniff on %s: %v", s.where, err)
	}
	t.Cleanup(func() { s.f.Close() })
	go s.collect()
	return s
}

func (s *Sniffer) open(dev string, filter []bpf.Instruction) error {
	p, err := openPacket(dev, unix.SOCK_NONBLOCK)
	if err != nil {
		return err
	}
	s.f = p.File
	if filter != nil {
		if err := attachFilter(p.fd, filter); err != nil {
			return errors.Join(err, s.f.Close())
		}
	}
	_ = unix.SetsockoptInt(p.fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1)
	_ = unix.SetsockoptInt(p.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20)
	all := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, unix.ETH_P_ALL))
	return unix.Bind(p.fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: p.dev.Index})
}

func attachFilter(fd int, filter []bpf.Instruction) error {
	raw, err := bpf.Assemble(filter)
	if err != nil {
		return err
	}
	prog := make([]unix.SockFilter, len(raw))
	for i, in := range raw {
		prog[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]})
}

func (s *Sniffer) collect() {
	buf := make([]byte, 1<<17)
	for {
		size, err := s.f.Read(buf)
		if errors.Is(err, unix.ENETDOWN) {
			continue
		}
		if err != nil {
			return
		}
		frame := bytes.Clone(buf[:size])
		s.mu.Lock()
		s.frames = append(s.frames, frame)
		s.mu.Unlock()
	}
}

// Match decides about a packet.
type Match func(p gopacket.Packet) bool

// Seen returns the packets so far that match.
func (s *Sniffer) Seen(match Match) (found []gopacket.Packet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, frame := range s.frames {
		s.packets = append(s.packets, gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.NoCopy))
	}
	s.frames = nil
	for _, p := range s.packets {
		if match == nil || match(p) {
			found = append(found, p)
		}
	}
	return found
}

// Wait waits for a packet that matches.
func (s *Sniffer) Wait(t testing.TB, what string, match Match) gopacket.Packet {
	t.Helper()
	var found []gopacket.Packet
	Eventually(t, what+" on "+s.where, func() error {
		if found = s.Seen(match); len(found) == 0 {
			return fmt.Errorf("not among %d packets", len(s.Seen(nil)))
		}
		return nil
	})
	return found[0]
}

// Never demands that no packet matches, now and for as long as a packet takes.
func (s *Sniffer) Never(t testing.TB, what string, match Match) {
	t.Helper()
	deadline := time.Now().Add(Silence)
	for {
		if found := s.Seen(match); len(found) > 0 {
			t.Errorf("%s on %s:\n%s", what, s.where, found[0])
			return
		}
		if time.Now().After(deadline) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}
