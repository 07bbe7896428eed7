// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"slices"
	"strings"
	"unsafe"

	"github.com/cilium/ebpf"
	ebpflink "github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/loader"
	"github.com/fairway-project/fairway/userspace/link"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/nl"
)

func readDevices(host model.Host) ([]device, error) {
	links, err := nl.LinkList(nil)
	if err != nil {
		return nil, err
	}
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("devices: %w", err)
	}
	defer unix.Close(socket)
	owners := make(map[int]string)
	for _, l := range links {
		if owner, made := strings.CutPrefix(l.Attrs().Alias, link.AliasPrefix); made {
			owners[l.Attrs().Index] = owner
		}
	}
	var all []device
	for _, l := range links {
		a := l.Attrs()
		d := device{
			name: a.Name, mtu: a.MTU, kind: l.Type(), ethernet: a.EncapType == "ether",
			uplink: slices.ContainsFunc(host.Uplinks, func(u model.Uplink) bool { return u.Index == a.Index }),
		}
		d.owner, d.master = owners[a.Index], owners[a.MasterIndex]
		if d.uplink {
			d.programs = programsOfOthers(l)
			d.lro, d.gro = offload(socket, a.Name)
		}
		all = append(all, d)
	}
	return all, nil
}

// programsOfOthers lists the XDP, tcx and clsact programs of a device but for
// Fairway's, which are known by their names.
func programsOfOthers(l netlink.Link) []string {
	var all []string
	if x := l.Attrs().Xdp; x != nil && x.Attached {
		all = append(all, "XDP "+programName(ebpf.ProgramID(x.ProgId)))
	}
	for _, hook := range []struct {
		name   string
		attach ebpf.AttachType
		parent uint32
	}{
		{"ingress", ebpf.AttachTCXIngress, netlink.HANDLE_MIN_INGRESS},
		{"egress", ebpf.AttachTCXEgress, netlink.HANDLE_MIN_EGRESS},
	} {
		// Kernels without tcx answer with an error, devices without clsact too.
		result, err := ebpflink.QueryPrograms(ebpflink.QueryOptions{Target: l.Attrs().Index, Attach: hook.attach})
		if err == nil {
			for _, p := range result.Programs {
				all = append(all, "tcx "+hook.name+" "+programName(p.ID))
			}
		}
		filters, err := nl.FilterList(nil, l, hook.parent)
		if err == nil {
			for _, f := range filters {
				all = append(all, "tc "+hook.name+" "+filterName(f))
			}
		}
	}
	return slices.DeleteFunc(all, isOwn)
}

func isOwn(program string) bool {
	name := program[strings.LastIndexByte(program, ' ')+1:]
	own := []loader.Program{loader.FromUplink, loader.ToUplink, loader.FromContainer, loader.ToContainer}
	return slices.Contains(own, loader.Program(name))
}

func programName(id ebpf.ProgramID) string {
	p, err := ebpf.NewProgramFromID(id)
	if err != nil {
		return fmt.Sprintf("id-%d", id)
	}
	defer p.Close()
	info, err := p.Info()
	if err != nil || info.Name == "" {
		return fmt.Sprintf("id-%d", id)
	}
	return info.Name
}

func filterName(f netlink.Filter) string {
	b, isBPF := f.(*netlink.BpfFilter)
	if !isBPF {
		return f.Type()
	}
	if b.Id > 0 {
		return programName(ebpf.ProgramID(b.Id))
	}
	return b.Name
}

// Of linux/ethtool.h.
const (
	ethtoolGetGRO   = 0x2b
	ethtoolGetFlags = 0x25
	ethtoolFlagLRO  = 1 << 15
)

// ethtoolValue is struct ethtool_value, ethtoolRequest struct ifreq around a pointer.
type ethtoolValue struct{ command, data uint32 }

type ethtoolRequest struct {
	name [unix.IFNAMSIZ]byte
	data unsafe.Pointer
	_    [16]byte
}

// offload reads whether LRO and GRO are on; a device that can't tell has GRO.
func offload(socket int, name string) (lro, gro bool) {
	flags, ok := ethtool(socket, name, ethtoolGetFlags)
	lro = ok && flags&ethtoolFlagLRO != 0
	value, ok := ethtool(socket, name, ethtoolGetGRO)
	return lro, !ok || value != 0
}

func ethtool(socket int, name string, command uint32) (uint32, bool) {
	v := ethtoolValue{command: command}
	req := ethtoolRequest{data: unsafe.Pointer(&v)}
	copy(req.name[:len(req.name)-1], name)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(socket), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&req)))
	return v.data, errno == 0
}
