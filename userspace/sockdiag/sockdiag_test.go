// SPDX-License-Identifier: Apache-2.0

package sockdiag

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// keptWith makes a map that keeps 8 bytes with a socket.
func keptWith(t *testing.T) *ebpf.Map {
	t.Helper()
	m, err := ebpf.NewMap(&ebpf.MapSpec{
		Type: ebpf.SkStorage, KeySize: 4, ValueSize: 8, Flags: unix.BPF_F_NO_PREALLOC,
		Key: &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed}, Value: &btf.Int{Name: "u64", Size: 8},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// client is a socket of either protocol.
type client interface {
	net.Conn
	syscall.Conn
}

// connectTo returns two sockets that are connected to the same server.
func connectTo(t *testing.T, network, host string) (one, other client, at netip.AddrPort) {
	t.Helper()
	var server net.Addr
	if network == "tcp" {
		l, err := net.Listen(network, net.JoinHostPort(host, "0"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		server = l.Addr()
	} else {
		p, err := net.ListenPacket(network, net.JoinHostPort(host, "0"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Close() })
		server = p.LocalAddr()
	}
	var all [2]client
	for i := range all {
		c, err := net.Dial(network, server.String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		all[i] = c.(client)
	}
	return all[0], all[1], netip.MustParseAddrPort(server.String())
}

func control(t *testing.T, c syscall.Conn, f func(fd int) error) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err == nil {
		var failed error
		err = errors.Join(raw.Control(func(fd uintptr) { failed = f(int(fd)) }), failed)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func cookieOf(t *testing.T, c syscall.Conn) (cookie uint64) {
	control(t, c, func(fd int) (err error) {
		cookie, err = unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_COOKIE)
		return err
	})
	return cookie
}

var hosts = []string{"127.0.0.1", "::1"}

// What something is kept with is found and ended, and nothing else.
func TestTCP(t *testing.T) {
	m, value := keptWith(t), []byte{1, 2, 3, 4, 5, 6, 7, 8}
	for _, host := range hosts {
		t.Run(host, func(t *testing.T) {
			one, other, at := connectTo(t, "tcp", host)
			control(t, one, func(fd int) error { return m.Put(int32(fd), value) })
			all, err := TCP(m)
			if err != nil || len(all) != 1 || all[0].Remote != at || all[0].Cookie != cookieOf(t, one) || !bytes.Equal(all[0].Kept, value) {
				t.Fatalf("connected: %+v, %v, want one to %s", all, err, at)
			}
			requireEnds(t, all[0], one, other)
			if all, err = TCP(m); err != nil || len(all) != 0 {
				t.Errorf("connected afterwards: %+v, %v", all, err)
			}
		})
	}
}

// All that are connected are found, and who listens isn't.
func TestUDP(t *testing.T) {
	for _, host := range hosts {
		t.Run(host, func(t *testing.T) {
			one, other, at := connectTo(t, "udp", host)
			all, err := UDP()
			all = slices.DeleteFunc(all, func(s Socket) bool { return s.Remote != at })
			if err != nil || len(all) != 2 {
				t.Fatalf("connected: %+v, %v, want two to %s", all, err, at)
			}
			i := slices.IndexFunc(all, func(s Socket) bool { return s.Cookie == cookieOf(t, one) })
			if i < 0 {
				t.Fatalf("connected: %+v, want one with cookie %d", all, cookieOf(t, one))
			}
			requireEnds(t, all[i], one, other)
		})
	}
}

// requireEnds ends a socket, which is one, and twice does no harm.
func requireEnds(t *testing.T, s Socket, one, other client) {
	t.Helper()
	for range 2 {
		if err := s.End(); err != nil {
			t.Error(err)
		}
	}
	_ = one.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := one.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNABORTED) {
		t.Errorf("a socket that was ended: %v, want it aborted", err)
	}
	if _, err := other.Write([]byte("x")); err != nil {
		t.Errorf("the other socket: %v", err)
	}
}
