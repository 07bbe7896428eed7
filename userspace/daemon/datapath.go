// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"fmt"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/datapath/ebpf"
	"github.com/fairway-project/fairway/userspace/datapath/ebpf/expiry"
	"github.com/fairway-project/fairway/userspace/datapath/iptables"
)

// openDatapath opens an implementation in the daemon's network namespace. The
// caller closes it.
func (d *daemon) openDatapath(ctx context.Context, m datapath.Mode) (datapath.Datapath, error) {
	switch m {
	case datapath.EBPF:
		return ebpf.New(ctx, d.ebpfConfig())
	case datapath.IPTables:
		return iptables.New(iptables.Options{Log: d.log, MasqueradePorts: d.config.MasqueradePorts})
	}
	return nil, fmt.Errorf("unknown mode %q", m)
}

func (d *daemon) ebpfConfig() ebpf.Config {
	c := d.config
	return ebpf.Config{
		BPFFS: c.BPFFS, RunDir: c.RunDir, Others: !d.alone, Logger: d.log,
		FlowTableSize: c.FlowTableSize, MasqueradePorts: c.MasqueradePorts, Timeouts: expiry.Timeouts(c.Timeouts),
		XDP: c.XDP, FirstPacket: c.firstPacket(),
	}
}

// openFormer opens an implementation that is only to be removed. That has to be
// possible where its programs don't load, which may be why it is to go.
func (d *daemon) openFormer(ctx context.Context, m datapath.Mode) (datapath.Datapath, error) {
	if m == datapath.EBPF {
		return ebpf.NewRemains(d.ebpfConfig()), nil
	}
	return d.openDatapath(ctx, m)
}

// openOwn opens the datapath that this daemon works with.
func (d *daemon) openOwn(ctx context.Context) (datapath.Datapath, error) {
	m := d.config.Datapath
	dp, err := d.openDatapath(ctx, m)
	if err != nil && d.sweep {
		d.log.Warn("datapath is removed without being opened", "datapath", m, "err", err)
		dp, err = d.openFormer(ctx, m)
	}
	if err != nil {
		return nil, fmt.Errorf("%s datapath: %w", m, err)
	}
	return dp, nil
}
