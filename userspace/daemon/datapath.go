// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/datapath/ebpf"
	"github.com/fairway-project/fairway/userspace/datapath/ebpf/expiry"
	"github.com/fairway-project/fairway/userspace/datapath/iptables"
)

// openDatapath opens an implementation in the daemon's network namespace. The
// caller closes it.
func openDatapath(ctx context.Context, c Config, m datapath.Mode, log *slog.Logger) (datapath.Datapath, error) {
	switch m {
	case datapath.EBPF:
		return ebpf.New(ctx, c.ebpf(log))
	case datapath.IPTables:
		return iptables.New(iptables.Options{Log: log, MasqueradePorts: c.MasqueradePorts})
	}
	return nil, fmt.Errorf("unknown mode %q", m)
}

func (c Config) ebpf(log *slog.Logger) ebpf.Config {
	return ebpf.Config{
		BPFFS: c.BPFFS, RunDir: c.RunDir, Logger: log,
		FlowTableSize: c.FlowTableSize, MasqueradePorts: c.MasqueradePorts, Timeouts: expiry.Timeouts(c.Timeouts),
		XDP: c.XDP, FirstPacket: c.firstPacket(),
	}
}

// openFormer opens an implementation that is only to be removed. That has to be
// possible where its programs don't load, which may be why it is to go.
func openFormer(ctx context.Context, c Config, m datapath.Mode, log *slog.Logger) (datapath.Datapath, error) {
	if m == datapath.EBPF {
		return ebpf.NewRemains(c.ebpf(log)), nil
	}
	return openDatapath(ctx, c, m, log)
}

// openOwn opens the datapath that this daemon works with.
func (d *daemon) openOwn(ctx context.Context) (datapath.Datapath, error) {
	m := d.config.Datapath
	dp, err := openDatapath(ctx, d.config, m, d.log)
	if err != nil && d.sweep {
		d.log.Warn("datapath is removed without being opened", "datapath", m, "err", err)
		dp, err = openFormer(ctx, d.config, m, d.log)
	}
	if err != nil {
		return nil, fmt.Errorf("%s datapath: %w", m, err)
	}
	return dp, nil
}
