// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/fairway-project/fairway/userspace/api"
	"github.com/fairway-project/fairway/userspace/netns"
)

// daemon is a real one, in a namespace that plays the host.
type daemon struct {
	*api.Client
	dir, binary, host string
	cmd               *exec.Cmd
}

func startDaemon(b *testing.B) *daemon {
	b.Helper()
	d := &daemon{dir: b.TempDir()}
	d.binary, d.host = filepath.Join(d.dir, "fairway"), filepath.Join(d.dir, "host")
	build := exec.Command("go", "build", "-o", d.binary, "../cmd/fairway")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	check(b, netns.PrepareDir(d.namespaces()))
	b.Cleanup(func() { check(b, netns.RemoveDir(d.namespaces())) })
	d.host = d.namespace(b, "host")
	check(b, netns.Do(d.host, uplink))
	d.start(b)
	b.Cleanup(func() { d.uninstall(b) })
	d.Client = api.NewClient(d.socket())
	return d
}

func (d *daemon) socket() string     { return filepath.Join(d.dir, "run", "fairway.sock") }
func (d *daemon) namespaces() string { return filepath.Join(d.dir, "ns") }

func (d *daemon) args() []string {
	return []string{"--datapath", "ebpf", "--root", filepath.Join(d.dir, "root"), "--run-dir", filepath.Join(d.dir, "run"),
		"--bpffs", fmt.Sprintf("/sys/fs/bpf/fairway-bench-%d", os.Getpid())}
}

// namespace makes one that a sandbox can be put around.
func (d *daemon) namespace(b *testing.B, name string) string {
	b.Helper()
	path := filepath.Join(d.namespaces(), name)
	check(b, netns.Create(path))
	return path
}

func uplink() error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "eth0"
	eth0 := &netlink.Veth{LinkAttrs: attrs, PeerName: "lan"}
	addr, err := netlink.ParseAddr("192.0.2.1/24")
	return errors.Join(err, netlink.LinkAdd(eth0), netlink.AddrAdd(eth0, addr), netlink.LinkSetUp(eth0))
}

func (d *daemon) start(b *testing.B) {
	b.Helper()
	log, err := os.Create(filepath.Join(d.dir, "log"))
	check(b, err)
	defer log.Close()
	d.cmd = exec.Command(d.binary, append([]string{"daemon"}, d.args()...)...)
	d.cmd.Stdout, d.cmd.Stderr = log, log
	check(b, netns.Do(d.host, d.cmd.Start))
	deadline := time.Now().Add(30 * time.Second)
	for {
		c, err := net.Dial("unix", d.socket())
		if err == nil {
			check(b, c.Close())
			return
		}
		if time.Now().After(deadline) {
			b.Fatalf("daemon doesn't listen: %v\n%s", err, d.log())
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (d *daemon) log() string {
	text, _ := os.ReadFile(filepath.Join(d.dir, "log"))
	return string(text)
}

func (d *daemon) uninstall(b *testing.B) {
	b.Helper()
	d.Close()
	cmd := exec.Command(d.binary, append([]string{"--socket", d.socket(), "uninstall", "--force", "--purge"}, d.args()...)...)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	err := netns.Do(d.host, cmd.Start)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		b.Errorf("uninstall: %v\n%s\n%s", err, out.String(), d.log())
		check(b, d.cmd.Process.Kill())
	}
	_ = d.cmd.Wait()
}

// residentMiB is what the kernel says of the daemon's memory.
func (d *daemon) residentMiB(b *testing.B) float64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
	check(b, err)
	var kib float64
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			_, err = fmt.Sscan(rest, &kib)
		}
	}
	check(b, err)
	return kib / 1024
}

// crowd is a network with this many sandboxes, which publish as many ports.
func (d *daemon) crowd(b *testing.B, sandboxes, ports int) {
	b.Helper()
	ctx := context.Background()
	_, err := d.CreateNetwork(ctx, api.NetworkCreate{
		Name: "bench", IPAM: []api.IPAMConfig{{Subnet: netip.MustParsePrefix("172.30.0.0/16")}},
	})
	check(b, err)
	each := ports / max(sandboxes, 1)
	for i := range sandboxes {
		first := 20000 + i*each
		d.add(b, fmt.Sprintf("s%d", i), fmt.Sprintf("%d-%d:%d-%d", first, first+each-1, 1000, 1000+each-1))
	}
}

// add puts a sandbox around a new namespace and returns how long that took.
func (d *daemon) add(b *testing.B, name string, publish ...string) time.Duration {
	b.Helper()
	path := d.namespace(b, name)
	start := time.Now()
	_, err := d.Add(context.Background(), api.Add{Netns: path, SandboxConfig: api.SandboxConfig{
		Name: name, Networks: []api.EndpointSettings{{Network: "bench"}}, Publish: publish,
	}})
	took := time.Since(start)
	if err != nil {
		b.Fatalf("add %s: %v\n%s", name, err, d.log())
	}
	return took
}

func (d *daemon) remove(b *testing.B, name string) {
	b.Helper()
	check(b, d.Remove(context.Background(), name, true))
	check(b, netns.Delete(filepath.Join(d.namespaces(), name)))
}

// median in ns.
func median(times []time.Duration) float64 {
	slices.Sort(times)
	return float64(times[len(times)/2].Nanoseconds())
}

func check(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}
