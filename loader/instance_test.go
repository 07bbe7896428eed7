// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/maps/flow"
	"github.com/fairway-project/fairway/userspace/netns"
	"github.com/fairway-project/fairway/userspace/nl"
)

// instance is a directory of its own on bpffs, in a network namespace of its own.
type instance struct {
	cfg   Config
	netns string
}

func newInstance(t *testing.T) *instance {
	t.Helper()
	run := t.TempDir()
	i := &instance{
		cfg: Config{
			Dir: filepath.Join("/sys/fs/bpf", "fairway-test-"+random()), RunDir: run,
			FlowTableSize: 4096, Logger: slog.New(slog.DiscardHandler),
		},
		netns: filepath.Join(run, "netns"),
	}
	if err := netns.Create(i.netns); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := netns.Delete(i.netns); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(i.cfg.Dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left: %v", i.cfg.Dir, err)
		}
	})
	return i
}

func random() string {
	var b [6]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// do runs f in the namespace.
func (i *instance) do(t *testing.T, f func() error) {
	t.Helper()
	if err := netns.Do(i.netns, f); err != nil {
		t.Fatal(err)
	}
}

func (i *instance) device(t *testing.T, name string) int {
	t.Helper()
	index := 0
	i.do(t, func() error {
		d := veth(name)
		err := netlink.LinkAdd(d)
		index = d.Attrs().Index
		return err
	})
	return index
}

func (i *instance) open(t *testing.T) *Loader {
	t.Helper()
	var l *Loader
	i.do(t, func() (err error) {
		l, err = Open(i.cfg)
		return err
	})
	return l
}

// putFlow stores half a flow.
func putFlow(t *testing.T, l *Loader) flow.Half {
	t.Helper()
	half := flow.Half{Key: flow.Key{Proto: 6}, LastSeen: 77}
	half.Src, half.Dst = mustAddrPort("192.0.2.1:1"), mustAddrPort("192.0.2.2:2")
	half.NATSrc, half.NATDst = half.Src, half.Dst
	if err := flow.New(l.Maps()).Put(half); err != nil {
		t.Fatal(err)
	}
	return half
}

// programs returns the IDs of the programs on a device, ingress first, by tcx or
// by clsact, whichever the kernel makes the loader use.
func (i *instance) programs(t *testing.T, index int) []ebpf.ProgramID {
	t.Helper()
	var ids []ebpf.ProgramID
	i.do(t, func() error {
		for _, p := range []Program{FromUplink, ToUplink} {
			found, err := programsAt(index, p)
			if err != nil {
				return err
			}
			ids = append(ids, found...)
		}
		return nil
	})
	return ids
}

func programsAt(index int, p Program) ([]ebpf.ProgramID, error) {
	var ids []ebpf.ProgramID
	if haveTCX() == nil {
		r, err := link.QueryPrograms(link.QueryOptions{Target: index, Attach: attachPoint(p)})
		if err != nil {
			return nil, err
		}
		for _, a := range r.Programs {
			ids = append(ids, a.ID)
		}
		return ids, nil
	}
	filters, err := nl.FilterList(nil, &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Index: index}}, parent(p))
	for _, f := range filters {
		if b, ok := f.(*netlink.BpfFilter); ok && b.Id != 0 {
			ids = append(ids, ebpf.ProgramID(b.Id))
		}
	}
	if errors.Is(err, unix.EINVAL) {
		return nil, nil // no clsact qdisc
	}
	return ids, err
}

func veth(name string) *netlink.Veth {
	return &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: name + "-peer"}
}

func remove(index int) error {
	return netlink.LinkDel(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Index: index}})
}

func mustAddrPort(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }
