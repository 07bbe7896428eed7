// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fairway-project/fairway/test/harness"
)

// reaches demands that a server answers over TCP, and returns what it saw.
func (d *engine) reaches(from *harness.Netns, to, tag string) netip.Addr {
	d.t.Helper()
	var reply harness.Reply
	harness.Eventually(d.t, fmt.Sprintf("%s reaches %s at %s", from.Name, tag, to), func() (err error) {
		reply, err = harness.GetTCP(from, to, harness.Within(harness.Silence))
		if err == nil && reply.Tag != tag {
			err = fmt.Errorf("%s answered", reply.Tag)
		}
		return err
	})
	return reply.Seen.Addr().Unmap()
}

// answersAtOnce demands that a server that is ready, and whose port is carried, answers whoever is
// the first to ask.
func (d *engine) answersAtOnce(to, tag string) {
	d.t.Helper()
	r, err := harness.GetTCP(d.LAN1, to, harness.Within(harness.Patience))
	if err != nil || r.Tag != tag {
		d.t.Errorf("%s: %+v, %v", tag, r, err)
	}
}

// closed demands that nobody answers.
func (d *engine) closed(from *harness.Netns, to string) {
	d.t.Helper()
	if r, err := harness.GetTCP(from, to, harness.Within(harness.Silence)); err == nil {
		d.t.Errorf("%s reaches %s at %s", from.Name, r.Tag, to)
	}
}

func is(t testing.TB, what string, got, want any) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// A published port answers at once when it is carried, from everywhere, and
// the server sees who asked. No rule of netfilter's is involved.
func TestPublishedPort(t *testing.T) {
	onDocker(t, func(t *testing.T, d *engine) {
		d.serve("web", "-p", "8080:80", "-p", "8081:80/udp")
		before := d.status().Stats.Forwarded["ebpf"].Packets
		d.carries("tcp 0.0.0.0:8080")
		d.answersAtOnce(harness.HostIP4+":8080", "web")
		is(t, "source that the server saw", d.reaches(d.LAN1, harness.HostIP4+":8080", "web"), harness.LAN1IP4)
		for _, to := range []string{"127.0.0.1:8080", harness.HostIP4 + ":8080", d.gateway("web") + ":8080", "[::1]:8080"} {
			d.reaches(d.Host, to, "web")
		}
		d.serve("other")
		other := d.netns("other")
		is(t, "source from another container", d.reaches(other, d.ip("web", "bridge")+":80", "web"), d.ip("other", "bridge"))
		d.reaches(other, harness.HostIP4+":8080", "web")
		d.reaches(d.netns("web"), harness.HostIP4+":8080", "web")
		udp, err := harness.GetUDP(d.LAN1, harness.HostIP4+":8081", harness.Within(harness.Patience))
		if err != nil || udp.Tag != "web" || udp.Seen.Addr().Unmap().String() != harness.LAN1IP4 {
			t.Errorf("UDP: %+v, %v", udp, err)
		}
		is(t, "docker port", d.docker("port", "web", "80/tcp"), "0.0.0.0:8080\n[::]:8080")
		d.noRules()
		if after := d.status().Stats.Forwarded["ebpf"].Packets; after < before+10 {
			t.Errorf("eBPF forwarded %d packets, then %d", before, after)
		}
		d.discard("web")
		d.closed(d.LAN1, harness.HostIP4+":8080")
		if s := d.status(); len(s.Degraded) > 0 {
			t.Errorf("degraded: %q", s.Degraded)
		}
	})
}

// noRules demands that nobody translates or filters but Fairway.
func (d *engine) noRules() {
	d.t.Helper()
	for _, tool := range []string{"iptables-save", "ip6tables-save"} {
		for line := range strings.Lines(d.Host.Must(d.t, tool)) {
			if strings.HasPrefix(line, "-A ") {
				d.t.Errorf("%s: %s", tool, line)
			}
		}
	}
}

func TestOutgoing(t *testing.T) {
	onDocker(t, func(t *testing.T, d *engine) {
		harness.ServeTCP(t, d.WAN, 80, "wan")
		harness.ServeUDP(t, d.WAN, 53, "wan")
		d.serve("cat")
		c := d.netns("cat")
		is(t, "source outside", d.reaches(c, harness.WANIP4+":80", "wan"), harness.HostIP4)
		if r, err := harness.GetUDP(c, harness.WANIP4+":53"); err != nil || r.Seen.Addr().Unmap().String() != harness.HostIP4 {
			t.Errorf("UDP: %+v, %v", r, err)
		}
	})
}

// All ways to publish: addresses, ephemeral ports, all exposed ports, IPv6.
func TestWaysToPublish(t *testing.T) {
	onDocker(t, func(t *testing.T, d *engine) {
		d.serve("local", "-p", "127.0.0.1:7001:80")
		d.reaches(d.Host, "127.0.0.1:7001", "local")
		d.closed(d.LAN1, harness.HostIP4+":7001")
		d.closed(d.Host, harness.HostIP4+":7001")
		d.serve("addr", "-p", harness.HostIP4+"::80")
		port := strings.TrimPrefix(d.docker("port", "addr", "80"), harness.HostIP4+":")
		d.reaches(d.LAN1, harness.HostIP4+":"+port, "addr")
		d.closed(d.Host, "127.0.0.1:"+port)
		d.serve("all", "--expose", "80", "-P")
		_, port, _ = strings.Cut(strings.Fields(d.docker("port", "all", "80"))[0], ":")
		d.reaches(d.LAN1, harness.HostIP4+":"+port, "all")
		d.docker("network", "create", "--ipv6", "--subnet", "fd00:6::/64", "six")
		d.serve("v6", "--network", "six", "-p", "7006:80")
		is(t, "IPv6 source", d.reaches(d.LAN1, "["+harness.HostIP6+"]:7006", "v6"), harness.LAN1IP6)
		d.reaches(d.LAN1, harness.HostIP4+":7006", "v6")
		_, err := d.try("run", "-d", "--name", "taken", "-p", "7006:80", image, "/peer", "serve", "80", "taken")
		if err == nil || !strings.Contains(err.Error(), "already allocated") {
			t.Errorf("a port of another container: %v", err)
		}
		d.docker("rm", "taken")
		harness.ServeTCP(t, d.Host, 7007, "host")
		_, err = d.try("run", "-d", "--name", "taken", "-p", "7007:80", image, "/peer", "serve", "80", "taken")
		if err == nil || !strings.Contains(err.Error(), "in use") {
			t.Errorf("a port of the host's: %v", err)
		}
	})
}

// Without proxies the ports come from the list of containers.
func TestWithoutUserlandProxy(t *testing.T) {
	onEngines(t, func(t *testing.T, d *engine) {
		d.args = []string{"--userland-proxy=false"}
		d.Daemon.Start(t)
		d.start()
		d.importImage()
		d.serve("web", "-p", "8080:80")
		is(t, "source", d.reaches(d.LAN1, harness.HostIP4+":8080", "web"), harness.LAN1IP4)
		d.reaches(d.Host, "127.0.0.1:8080", "web")
		d.noRules()
		d.docker("stop", "-t", "0", "web")
		d.closed(d.LAN1, harness.HostIP4+":8080")
		d.docker("start", "web")
		d.reaches(d.LAN1, harness.HostIP4+":8080", "web")
		d.endsWhatCameEarly(t)
	})
}

// endsWhatCameEarly keeps the daemon from hearing of a start. Who connects meanwhile gets
// through to the engine's own socket, and must not hang in it when the port is carried.
func (d *engine) endsWhatCameEarly(t *testing.T) {
	t.Helper()
	signal := func(sig syscall.Signal) {
		if err := syscall.Kill(d.Daemon.Pid(), sig); err != nil {
			t.Fatal(err)
		}
	}
	signal(syscall.SIGSTOP)
	defer signal(syscall.SIGCONT)
	d.serve("early", "-p", "8082:80")
	var all []*net.TCPConn
	for to, from := range map[string]*harness.Netns{"127.0.0.1:8082": d.Host, harness.HostIP4 + ":8082": d.LAN1} {
		c, err := harness.ConnectTCP(from, to, harness.Within(harness.Patience))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		all = append(all, c)
	}
	signal(syscall.SIGCONT)
	for _, c := range all {
		_ = c.SetReadDeadline(time.Now().Add(harness.Patience))
		if n, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("connection to the engine's own socket: %d bytes, %v, want its end", n, err)
		}
	}
	d.reaches(d.Host, "127.0.0.1:8082", "early")
	d.reaches(d.LAN1, harness.HostIP4+":8082", "early")
	err := d.Host.Do(func() error {
		l, err := net.Listen("tcp4", "0.0.0.0:8082")
		if err == nil {
			err = l.Close()
		}
		return err
	})
	if !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("another program listens at a published port: %v", err)
	}
}

// Docker's own proxies hold the ports as well: they are known by the list of containers,
// and by their arguments where a daemon comes later. What ended with its container leads
// nowhere, and least of all to who has its address next.
func TestDockersOwnProxy(t *testing.T) {
	onEngines(t, func(t *testing.T, d *engine) {
		d.args = []string{"--userland-proxy-path", d.ownProxy(t)}
		d.Daemon.Start(t)
		d.start()
		d.importImage()
		d.serve("web", "-p", "8080:80")
		d.carried(t, "web")
		d.noRules()
		d.Daemon.Kill(t)
		d.Daemon.Start(t)
		d.carried(t, "web")
		address := d.inspect("web", "{{.NetworkSettings.IPAddress}}")
		d.discard("web")
		d.serve("next")
		is(t, "address", d.inspect("next", "{{.NetworkSettings.IPAddress}}"), address)
		d.closed(d.LAN1, harness.HostIP4+":8080")
	})
}

// ownProxy is the engine's docker-proxy.
func (d *engine) ownProxy(t *testing.T) string {
	t.Helper()
	if d.binaries.dir == "" {
		path, err := exec.LookPath("docker-proxy")
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	path, err := filepath.Abs(filepath.Join(d.binaries.dir, "docker-proxy"))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// carried waits until a container sees who asks for its port, which a proxy would hide.
func (d *engine) carried(t *testing.T, tag string) {
	t.Helper()
	harness.Eventually(t, tag+" sees its client", func() error {
		if from := d.reaches(d.LAN1, harness.HostIP4+":8080", tag); from.String() != harness.LAN1IP4 {
			return fmt.Errorf("it sees %s", from)
		}
		return nil
	})
}
