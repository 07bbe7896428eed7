// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/datapath/ebpf"
	"github.com/fairway-project/fairway/userspace/datapath/ebpf/expiry"
	"github.com/fairway-project/fairway/userspace/datapath/iptables"
	"github.com/fairway-project/fairway/userspace/request"
)

// openDatapath opens an implementation in the daemon's network namespace. The
// caller closes it.
func (d *daemon) openDatapath(ctx context.Context, m datapath.Mode) (datapath.Datapath, error) {
	switch m {
	case datapath.EBPF:
		return ebpf.New(ctx, d.ebpfConfig())
	case datapath.IPTables:
		return iptables.New(d.iptablesOptions())
	}
	return nil, fmt.Errorf("unknown mode %q", m)
}

func (d *daemon) ebpfConfig() ebpf.Config {
	c := d.config
	return ebpf.Config{
		BPFFS: c.BPFFS, RunDir: c.RunDir, Others: !d.alone, Logger: d.log,
		FlowTableSize: c.FlowTableSize, MasqueradePorts: c.MasqueradePorts,
		EndpointReserve: c.EndpointReserve, Timeouts: expiry.Timeouts(c.Timeouts),
		XDP: c.XDP, FirstPacket: c.firstPacket(), Build: buildName(request.BuildVersion()),
	}
}

// iptablesOptions name the instance by the directory of its state, as that is what says
// which datapath has objects in the kernel.
func (d *daemon) iptablesOptions() iptables.Options {
	sum := sha256.Sum256([]byte(d.config.Root))
	return iptables.Options{
		Log: d.log, MasqueradePorts: d.config.MasqueradePorts,
		Instance: hex.EncodeToString(sum[:6]), Others: !d.alone,
	}
}

// buildName is what another version is told of this one.
func buildName(v request.Version) string { return strings.TrimSpace(v.Version + " " + v.Commit) }

// openFormer opens an implementation that is only to be removed. That has to be
// possible where its programs don't load, which may be why it is to go.
func (d *daemon) openFormer(m datapath.Mode) (datapath.Datapath, error) {
	switch m {
	case datapath.EBPF:
		return ebpf.NewRemains(d.ebpfConfig()), nil
	case datapath.IPTables:
		return iptables.NewRemains(d.iptablesOptions())
	}
	return nil, fmt.Errorf("unknown mode %q", m)
}

// openOwn opens the datapath that this daemon works with.
func (d *daemon) openOwn(ctx context.Context) (datapath.Datapath, error) {
	m := d.config.Datapath
	if d.sweep && !d.alone && m == datapath.IPTables {
		// The rules here may be another instance's.
		return d.openFormer(m)
	}
	dp, err := d.openDatapath(ctx, m)
	if err != nil && d.sweep {
		d.log.Warn("datapath is removed without being opened", "datapath", m, "err", err)
		dp, err = d.openFormer(m)
	}
	if err != nil {
		return nil, fmt.Errorf("%s datapath: %w", m, err)
	}
	return dp, nil
}
