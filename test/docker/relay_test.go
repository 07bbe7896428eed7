// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/test/harness"
)

// relayed starts a shim for [::1] in front of a server on 127.0.0.1, as for a
// container without IPv6, and returns the address that clients use.
func relayed(t *testing.T, proto string, server net.Addr, prefix ...string) (*shim, string) {
	t.Helper()
	d := newFakeDaemon(t, 200, "{}")
	to := netip.MustParseAddrPort(server.String())
	port := freePort(t)
	s := startShimUnder(t, prefix, d.socket, nil, "-proto", proto, "-host-ip", "::1", "-host-port", port,
		"-container-ip", to.Addr().String(), "-container-port", fmt.Sprint(to.Port()))
	is(t, "status", s.status, "0\n")
	return s, net.JoinHostPort("::1", port)
}

// listen4 accepts connections and hands them to serve.
func listen4(t *testing.T, serve func(*net.TCPConn)) net.Addr {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c.(*net.TCPConn))
		}
	}()
	return l.Addr()
}

func dial6(t *testing.T, network, to string) net.Conn {
	t.Helper()
	c, err := net.DialTimeout(network, to, harness.Patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(harness.Patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

// Each side may end its direction and go on to receive, and megabytes pass both
// ways at once, however slowly somebody reads.
func TestRelayHalfClose(t *testing.T) {
	const size = 8 << 20
	_, to := relayed(t, "tcp", listen4(t, func(c *net.TCPConn) {
		defer c.Close()
		n, _ := io.Copy(io.Discard, c)
		fmt.Fprintf(c, "%d ", n)
		time.Sleep(50 * time.Millisecond)
		_, _ = c.Write(make([]byte, size))
	}))
	c := dial6(t, "tcp6", to).(*net.TCPConn)
	if _, err := c.Write(make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(c)
	if want := fmt.Sprint(size, " "); err != nil || !bytes.HasPrefix(answer, []byte(want)) || len(answer) != size+len(want) {
		t.Errorf("%d bytes, %v, want %d after %q", len(answer), err, size, want)
	}
	// One that ends before it has said anything, which may be before the relay
	// has reached the container.
	c = dial6(t, "tcp6", to).(*net.TCPConn)
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if answer, err := io.ReadAll(c); err != nil || !bytes.HasPrefix(answer, []byte("0 ")) {
		t.Errorf("after an end at once: %d bytes, %v", len(answer), err)
	}
}

// Who breaks a connection breaks it for the other side too, and a container that
// doesn't listen is a reset.
func TestRelayResets(t *testing.T) {
	reached, server := make(chan struct{}), make(chan error, 1)
	addr := listen4(t, func(c *net.TCPConn) {
		line := make([]byte, 16)
		n, _ := c.Read(line)
		if string(line[:n]) == "reset" {
			_ = c.SetLinger(0)
			c.Close()
			return
		}
		close(reached)
		_, err := c.Read(line)
		server <- err
		c.Close()
	})
	_, to := relayed(t, "tcp", addr)
	c := dial6(t, "tcp6", to)
	_, _ = io.WriteString(c, "reset")
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("after a reset of the server's: %v", err)
	}
	c = dial6(t, "tcp6", to)
	_, _ = io.WriteString(c, "wait")
	within := time.After(harness.Patience)
	select {
	case <-reached:
	case <-within:
		t.Fatal("the relay doesn't reach the server")
	}
	_ = c.(*net.TCPConn).SetLinger(0)
	c.Close()
	select {
	case err := <-server:
		if !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("after a reset of the client's: %v", err)
		}
	case <-within:
		t.Fatal("after a reset of the client's the server hears nothing")
	}
	closed, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	_, to = relayed(t, "tcp", closed.Addr())
	// The reset may be there before Dial has looked.
	c, err = net.DialTimeout("tcp6", to, harness.Patience)
	if err == nil {
		_, err = c.Read(make([]byte, 1))
		c.Close()
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("nobody listens: %v", err)
	}
}

// More connections than there are descriptors wait, and come when others go.
func TestRelayBounds(t *testing.T) {
	addr := listen4(t, func(c *net.TCPConn) {
		_, _ = io.Copy(c, c)
		c.Close()
	})
	s, to := relayed(t, "tcp", addr, "prlimit", "--nofile=32:32")
	const most = (32 - 16) / 2
	var all []net.Conn
	for range most + 4 {
		c := dial6(t, "tcp6", to)
		_, _ = io.WriteString(c, "x")
		all = append(all, c)
	}
	answered := func(c net.Conn) error {
		_, err := io.ReadFull(c, make([]byte, 1))
		return err
	}
	for _, c := range all[:most] {
		if err := answered(c); err != nil {
			t.Fatal(err)
		}
	}
	if n := files(t, s); n > 32 {
		t.Errorf("%d descriptors", n)
	}
	_ = all[most].SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	if err := answered(all[most]); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("one too many: %v", err)
	}
	_ = all[most].SetReadDeadline(time.Now().Add(harness.Patience))
	for i := range 4 {
		all[i].Close()
	}
	for _, c := range all[most:] {
		if err := answered(c); err != nil {
			t.Errorf("after others went: %v", err)
		}
	}
	for _, c := range all {
		c.Close()
	}
	harness.Eventually(t, "all is closed", func() error {
		if n := files(t, s); n > 10 {
			return fmt.Errorf("%d descriptors", n)
		}
		return nil
	})
}

// One that has no descriptor for a client waits too, rather than ask the kernel without
// end, and serves the client when there is one.
func TestRelayPauses(t *testing.T) {
	s, to := relayed(t, "tcp", listen4(t, func(c *net.TCPConn) {
		_, _ = io.Copy(c, c)
		c.Close()
	}))
	// Its own limit is set by the time that it serves somebody.
	if err := ask(dial6(t, "tcp6", to), "first"); err != nil {
		t.Fatal(err)
	}
	var before unix.Rlimit
	if err := unix.Prlimit(s.Process.Pid, unix.RLIMIT_NOFILE, nil, &before); err != nil {
		t.Fatal(err)
	}
	none := before
	for none.Cur = 0; isOpen(s, none.Cur); {
		none.Cur++
	}
	if err := unix.Prlimit(s.Process.Pid, unix.RLIMIT_NOFILE, &none, nil); err != nil {
		t.Fatal(err)
	}
	spent := cpuTime(t, s)
	c := dial6(t, "tcp6", to)
	_ = c.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
	if err := ask(c, "hello"); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("without descriptors: %v", err)
	}
	// A few attempts take some 100 microseconds.
	if spent = cpuTime(t, s) - spent; spent > 10*time.Millisecond {
		t.Errorf("%v of CPU time in half a second of waiting", spent)
	}
	if err := unix.Prlimit(s.Process.Pid, unix.RLIMIT_NOFILE, &before, nil); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(harness.Patience))
	if _, err := io.ReadFull(c, make([]byte, len("hello"))); err != nil {
		t.Errorf("with descriptors again: %v", err)
	}
}

func isOpen(s *shim, fd uint64) bool {
	_, err := os.Lstat(fmt.Sprintf("/proc/%d/fd/%d", s.Process.Pid, fd))
	return err == nil
}

// cpuTime is what a shim has used of a CPU, by its clock (clock_getcpuclockid(3)).
func cpuTime(t *testing.T, s *shim) time.Duration {
	t.Helper()
	const scheduled = 2
	var used unix.Timespec
	if err := unix.ClockGettime(int32(^s.Process.Pid<<3|scheduled), &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Nano())
}

// A container on an internal network is nobody's to reach, and the port stays held.
func TestRelayRefusesInternal(t *testing.T) {
	d, port := newFakeDaemon(t, 200, `{"internal":true}`), freePort(t)
	for _, proto := range []string{"tcp", "udp"} {
		s := startShim(t, d.socket, nil, "-proto", proto, "-host-ip", "::1", "-host-port", port, "-container-ip", "127.0.0.1", "-container-port", "9")
		is(t, "status", s.status, "0\n")
	}
	if c, err := net.DialTimeout("tcp6", "[::1]:"+port, harness.Patience); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a connection: %v, %v, want a refusal", c, err)
	}
	if l, err := net.Listen("tcp6", "[::1]:"+port); err == nil {
		l.Close()
		t.Error("another program gets the port")
	}
	if _, err := net.ListenPacket("udp6", "[::1]:"+port); err == nil {
		t.Error("another program gets the UDP port")
	}
}

// Engines from 28.0 hand over the socket, and from 29.0 with a filter that keeps
// everything away until somebody serves it.
func TestRelayTakesTheSocket(t *testing.T) {
	d, port := newFakeDaemon(t, 200, "{}"), freePort(t)
	shut := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		drop := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K}}
		if e := c.Control(func(fd uintptr) {
			err = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &drop[0]})
		}); e != nil {
			return e
		}
		return err
	}}
	serve := func(proto string, server net.Addr, given interface{ File() (*os.File, error) }) {
		f, err := given.File()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		to := netip.MustParseAddrPort(server.String())
		s := startShim(t, d.socket, f, "-proto", proto, "-host-ip", "::1", "-host-port", port, "-container-ip", "127.0.0.1",
			"-container-port", fmt.Sprint(to.Port()), "-use-listen-fd")
		is(t, "status", s.status, "0\n")
	}
	to := net.JoinHostPort("::1", port)
	l, err := shut.Listen(t.Context(), "tcp6", to)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	serve("tcp", listen4(t, func(c *net.TCPConn) { _, _ = io.Copy(c, c); c.Close() }), l.(*net.TCPListener))
	if err := ask(dial6(t, "tcp6", to), "hello"); err != nil {
		t.Errorf("TCP: %v", err)
	}
	p, err := shut.ListenPacket(t.Context(), "udp6", to)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	serve("udp", echo4(t), p.(*net.UDPConn))
	if err := ask(dial6(t, "udp6", to), "hello"); err != nil {
		t.Errorf("UDP: %v", err)
	}
}

// files counts the descriptors of a shim.
func files(t *testing.T, s *shim) int {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// echo4 answers datagrams but those that say so.
func echo4(t *testing.T) net.Addr {
	t.Helper()
	s, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	go func() {
		buf := make([]byte, 65536)
		for {
			n, from, err := s.ReadFrom(buf)
			if err != nil {
				return
			}
			if string(buf[:n]) != "silence" {
				_, _ = s.WriteTo(buf[:n], from)
			}
		}
	}()
	return s.LocalAddr()
}

func ask(c net.Conn, text string) error {
	if _, err := io.WriteString(c, text); err != nil {
		return err
	}
	buf := make([]byte, 65536)
	n, err := c.Read(buf)
	if err == nil && string(buf[:n]) != text {
		err = fmt.Errorf("%d bytes for %d", n, len(text))
	}
	return err
}

// Every UDP client gets its own answers; forged ones push out nobody who was
// answered, and descriptors stay bounded.
func TestRelayUDP(t *testing.T) {
	s, to := relayed(t, "udp", echo4(t), "prlimit", "--nofile=32:32")
	var clients []net.Conn
	for i := range 4 {
		c := dial6(t, "udp6", to)
		clients = append(clients, c)
		for _, text := range []string{fmt.Sprint("client ", i), "", strings.Repeat("x", 60000)} {
			if err := ask(c, text); err != nil {
				t.Errorf("client %d: %v", i, err)
			}
		}
	}
	for range 64 {
		if _, err := io.WriteString(dial6(t, "udp6", to), "silence"); err != nil {
			t.Fatal(err)
		}
	}
	for i, c := range clients {
		if err := ask(c, "again"); err != nil {
			t.Errorf("client %d after the flood: %v", i, err)
		}
	}
	if err := ask(dial6(t, "udp6", to), "new"); err != nil {
		t.Errorf("a client after the flood: %v", err)
	}
	if n := files(t, s); n > 32 {
		t.Errorf("%d descriptors", n)
	}
}

// A client that was silent for the time is forgotten. 90 s would be too long here.
func TestRelayForgetsClients(t *testing.T) {
	proxy := filepath.Join(t.TempDir(), "docker-proxy")
	if err := compileProxy(proxy, "-DIDLE_SECONDS=1"); err != nil {
		t.Fatal(err)
	}
	t.Setenv(envProxy, proxy)
	s, to := relayed(t, "udp", echo4(t))
	c := dial6(t, "udp6", to)
	if err := ask(c, "hello"); err != nil {
		t.Fatal(err)
	}
	with := files(t, s)
	harness.Eventually(t, "the client is forgotten", func() error {
		if n := files(t, s); n != with-1 {
			return fmt.Errorf("%d descriptors", n)
		}
		return nil
	})
	if err := ask(c, "hello again"); err != nil {
		t.Error(err)
	}
}

// One that doesn't relay has no more memory than before there were relays, and one
// that nobody uses little more.
func TestShimMemory(t *testing.T) {
	d := newFakeDaemon(t, 200, "{}")
	sleeps := startShim(t, d.socket, nil, tuple(freePort(t))...)
	idle, _ := relayed(t, "udp", echo4(t))
	for name, s := range map[string]*shim{"sleeping": sleeps, "idle relay": idle} {
		kib := private(t, s)
		t.Logf("%s: %d KiB", name, kib)
		if kib > 128 {
			t.Errorf("%s: %d KiB of its own, want at most 128", name, kib)
		}
	}
}

// private is a process's memory that it shares with nobody, in KiB.
func private(t *testing.T, s *shim) (sum int) {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", s.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		var kib int
		if n, _ := fmt.Sscanf(line, "Private_Dirty: %d kB", &kib); n == 1 {
			sum += kib
		}
	}
	return sum
}

// IPv6 clients elsewhere reach a container without IPv6 through the port's own
// process, as with Docker's proxy: the container sees the gateway.
func TestIPv6InFrontOfIPv4(t *testing.T) {
	onDocker(t, func(t *testing.T, d *engine) {
		d.serve("web", "-p", "8080:80", "-p", "8081:80/udp")
		v6 := func(port string) string { return net.JoinHostPort(harness.HostIP6, port) }
		is(t, "source over IPv6", d.reaches(d.LAN1, v6("8080"), "web"), d.gateway("web"))
		is(t, "source over IPv4", d.reaches(d.LAN1, harness.HostIP4+":8080", "web"), harness.LAN1IP4)
		udp, err := harness.GetUDP(d.LAN1, v6("8081"), harness.Within(harness.Patience))
		if err != nil || udp.Tag != "web" || udp.Seen.Addr().Unmap().String() != d.gateway("web") {
			t.Errorf("UDP: %+v, %v", udp, err)
		}
		d.Host.IP(t, "addr add 2001:db8::77/64 dev eth0 nodad")
		// The client's socket is connected: it takes answers from that address only.
		if udp, err = harness.GetUDP(d.LAN1, "[2001:db8::77]:8081", harness.Within(harness.Patience)); err != nil || udp.Tag != "web" {
			t.Errorf("UDP to another address: %+v, %v", udp, err)
		}
		d.Host.IP(t, "addr del 2001:db8::77/64 dev eth0")
		if err := d.connect(v6("8080")).Bulk(4 << 20); err != nil {
			t.Errorf("bulk: %v", err)
		}
		inside := d.connect(v6("8080"))
		d.Daemon.Kill(t)
		inside.echoes("while the daemon is dead")
		d.reaches(d.LAN1, v6("8080"), "web")
		d.Daemon.Start(t)
		inside.echoes("after its start")
		d.discard("web")
		d.closed(d.LAN1, v6("8080"))
		if _, err := harness.GetTCP(d.LAN1, v6("8080"), harness.Within(harness.Patience)); !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("after the removal: %v, want a refusal", err)
		}
	}, harness.AllowPrivate())
}

// compileProxy builds the shim from the tree.
func compileProxy(to string, flags ...string) error {
	sources, err := filepath.Glob("../../cmd/docker-proxy/*.c")
	if err != nil {
		return err
	}
	args := append([]string{"-std=gnu11", "-Os", "-static", "-o", to}, append(flags, sources...)...)
	if out, err := exec.CommandContext(context.Background(), "gcc", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("build docker-proxy: %w\n%s", err, out)
	}
	return nil
}
