// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	kernel "github.com/cilium/ebpf/features"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// Names of the features that the loader itself asks for.
const (
	featureTCX      = "tcx"
	featureKernCtx  = "bpf_cast_to_kern_ctx"
	featureCsumIPv6 = "bpf_l4_csum_replace with BPF_F_IPV6"
)

func features() []Feature {
	return []Feature{
		{Name: "socket hooks of cgroup v2", Since: "5.8", Required: true,
			With:  "sockets of the host reach published ports without a proxy",
			probe: haveHelper(ebpf.CGroupSockAddr, asm.FnGetNetnsCookie)},
		{Name: "batched map operations", Since: "5.6", Required: true,
			With: "flows are collected in batches", probe: haveBatch},
		{Name: "bpf_redirect_neigh", Since: "5.10", Required: true,
			With:  "packets leave uplinks past the host's stack",
			probe: haveHelper(ebpf.SchedCLS, asm.FnRedirectNeigh)},
		{Name: "bpf_redirect_peer", Since: "5.10", Required: true,
			With:  "packets enter containers past the host's stack",
			probe: haveHelper(ebpf.SchedCLS, asm.FnRedirectPeer)},
		{Name: "programs run by system call", Since: "5.14", Required: true,
			With:  "expired flows are removed without a race against packets",
			probe: func() error { return kernel.HaveProgramType(ebpf.Syscall) }},
		{Name: "bpf_loop", Since: "5.17", Required: true,
			With:  "searches and collection are loops of a bounded length",
			probe: haveHelper(ebpf.Syscall, asm.FnLoop)},
		{Name: featureKernCtx, Since: "6.2",
			With:    "transport checksums are rewritten in place",
			Without: "transport checksums are rewritten by helpers", probe: HaveKernCtx},
		{Name: featureTCX, Since: "6.6",
			With:    "programs are attached by pinned links, those of new containers after a moment",
			Without: "programs are clsact filters", probe: haveTCX},
		{Name: featureCsumIPv6, Since: "6.16",
			With:    "the kernel keeps CHECKSUM_COMPLETE right when IPv6 addresses change",
			Without: "the programs correct CHECKSUM_COMPLETE themselves", probe: haveCsumIPv6},
	}
}

func haveHelper(t ebpf.ProgramType, helper asm.BuiltinFunc) func() error {
	return func() error { return kernel.HaveProgramHelper(t, helper) }
}

// HaveKernCtx looks whether the kernel has the function by which programs see its own
// view of a packet: it came for all kinds of programs at once. An error that wraps
// ebpf.ErrNotSupported says that it hasn't.
func HaveKernCtx() error {
	types, err := btf.LoadKernelSpec()
	if err != nil {
		return fmt.Errorf("%s: %w", featureKernCtx, err)
	}
	var fn *btf.Func
	if err := types.TypeByName("bpf_cast_to_kern_ctx", &fn); errors.Is(err, btf.ErrNotFound) {
		return ebpf.ErrNotSupported
	} else if err != nil {
		return fmt.Errorf("%s: %w", featureKernCtx, err)
	}
	return nil
}

// haveTCX asks which tcx programs lo has, which kernels without tcx can't read.
func haveTCX() error {
	const loopback = 1
	_, err := link.QueryPrograms(link.QueryOptions{Target: loopback, Attach: ebpf.AttachTCXIngress})
	if errors.Is(err, unix.EINVAL) {
		return ebpf.ErrNotSupported
	}
	return err
}

func haveBatch() error {
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Hash, KeySize: 4, ValueSize: 4, MaxEntries: 1})
	if err != nil {
		return fmt.Errorf("batched map operations: %w", err)
	}
	defer m.Close()
	_, err = m.BatchUpdate([]uint32{1}, []uint32{1}, nil)
	return err
}

// haveCsumIPv6 runs the helper with the flag over a frame of zeroes: kernels that
// don't know the flag answer EINVAL before they look at anything.
func haveCsumIPv6() error {
	const csumIPv6, pseudoHdr, offset = 1 << 7, 1 << 4, 50
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "probe_csum", Type: ebpf.SchedCLS, License: "Dual BSD/GPL",
		Instructions: asm.Instructions{
			asm.Mov.Imm(asm.R2, offset),
			asm.Mov.Imm(asm.R3, 0),
			asm.Mov.Imm(asm.R4, 1),
			asm.Mov.Imm(asm.R5, csumIPv6|pseudoHdr),
			asm.FnL4CsumReplace.Call(),
			asm.Return(),
		},
	})
	if err != nil {
		return fmt.Errorf("%s: %w", featureCsumIPv6, err)
	}
	defer p.Close()
	ret, _, err := p.Test(make([]byte, 64))
	if err != nil {
		return fmt.Errorf("%s: %w", featureCsumIPv6, err)
	}
	switch int32(ret) {
	case 0:
		return nil
	case -int32(unix.EINVAL):
		return ebpf.ErrNotSupported
	}
	return fmt.Errorf("%s: unexpected answer %d", featureCsumIPv6, int32(ret))
}
