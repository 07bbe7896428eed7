// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	ebpflink "github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"

	"github.com/fairway-project/fairway/test/root"
	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/netns"
	"github.com/fairway-project/fairway/userspace/request"
)

// inHost runs f in a namespace of its own with an uplink eth0 of MTU 1400 and a
// bridge with MTU 9000 that a daemon left behind.
func inHost(t *testing.T, f func()) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "netns")
	if err := netns.PrepareDir(dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := netns.RemoveDir(dir); err != nil {
			t.Error(err)
		}
	})
	path := filepath.Join(dir, "host")
	if err := netns.Create(path); err != nil {
		t.Fatal(err)
	}
	err := netns.Do(path, func() error {
		eth0 := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0", MTU: 1400}, PeerName: "eth1"}
		if err := netlink.LinkAdd(eth0); err != nil {
			return err
		}
		br := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br-left", MTU: 9000}}
		if err := netlink.LinkAdd(br); err != nil {
			return err
		}
		if err := netlink.LinkSetAlias(br, "fairway:0123"); err != nil {
			return err
		}
		f()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestRunFindsWhatIsWrongWithAHost(t *testing.T) {
	root.Need(t)
	inHost(t, func() {
		attachForeign(t, "eth0")
		dir := t.TempDir()
		checks, err := Run(context.Background(), Options{
			Mode: datapath.EBPF, RunDir: dir, BPFFS: filepath.Join(dir, "bpf"), Uplinks: []string{"eth0"},
		})
		if err != nil {
			t.Error(err)
			return
		}
		for name, want := range map[string]struct {
			result request.Result
			fact   string
		}{
			"privileges":     {request.OK, ""},
			"bpffs":          {request.Warn, "is on none"},
			"uplinks":        {request.OK, "eth0"},
			"mtu":            {request.Warn, "br-left has 9000, uplink eth0 1400"},
			"other programs": {request.Warn, "tcx ingress somebody"},
			"leftovers":      {request.Warn, "br-left"},
			"local ports":    {request.OK, ""},
			"offloads":       {request.OK, ""},
		} {
			if got := worst(checks, name); got.Result != want.result || !strings.Contains(got.Fact, want.fact) {
				t.Errorf("%s: got %+v, want %s with %q", name, got, want.result, want.fact)
			}
		}
		if got := worst(checks, "daemon state"); got.Result != "" {
			t.Errorf("judged a daemon that isn't there: %+v", got)
		}
	})
}

// attachForeign attaches a program that isn't Fairway's; it goes with the device.
func attachForeign(t *testing.T, name string) {
	t.Helper()
	device, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	const next = -1
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "somebody", Type: ebpf.SchedCLS, License: "Dual BSD/GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, next), asm.Return()},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	l, err := ebpflink.AttachTCX(ebpflink.TCXOptions{Interface: device.Attrs().Index, Program: p, Attach: ebpf.AttachTCXIngress})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
}

func TestBindingTellsWhetherAPortIsReserved(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().(*net.TCPAddr).AddrPort()
	pub := model.PublishedPort{Port: model.Port{Num: 80, Proto: model.TCP}, HostIP: addr.Addr().Unmap(), HostPort: addr.Port()}
	if got := tryBind(pub); got != "" {
		t.Errorf("a port that is taken: %q", got)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got := tryBind(pub); !strings.HasPrefix(got, "not reserved") {
		t.Errorf("a port that is free: %q", got)
	}
	pub.HostIP = netip.MustParseAddr("192.0.2.99")
	if got := tryBind(pub); !strings.Contains(got, "no longer has") {
		t.Errorf("an address that isn't the host's: %q", got)
	}
}
