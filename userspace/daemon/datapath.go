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
		return ebpf.New(ctx, ebpf.Config{
			BPFFS: c.BPFFS, RunDir: c.RunDir, Logger: log,
			FlowTableSize: c.FlowTableSize, MasqueradePorts: c.MasqueradePorts, Timeouts: expiry.Timeouts(c.Timeouts),
			XDP: c.XDP, FirstPacket: c.firstPacket(),
		})
	case datapath.IPTables:
		return iptables.New(iptables.Options{Log: log, MasqueradePorts: c.MasqueradePorts})
	}
	return nil, fmt.Errorf("unknown mode %q", m)
}
