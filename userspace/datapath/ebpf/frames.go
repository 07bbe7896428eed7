// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"fmt"

	"github.com/safchain/ethtool"
	"github.com/vishvananda/netlink"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/netns"
)

// maxFrameTries bounds how often an endpoint is tried whose namespace isn't found:
// one of Docker's has no process before its container starts.
const maxFrameTries = 16

// takesFrames makes the container's end of the veth accept what XDP sends to it,
// and reports whether it does. Without, such frames would be lost, so the XDP
// program leaves the endpoint's packets to the others.
func (d *Datapath) takesFrames(e datapath.Endpoint) bool {
	delete(d.state.frameless, e.ID)
	if !d.xdp.forwards() {
		return false
	}
	if err := enableNAPI(e); err != nil {
		d.log.Debug("endpoint gets no frames from XDP", "endpoint", e.ID, "device", e.HostIf, "err", err)
		d.state.frameless[e.ID] = &frameless{endpoint: e}
		return false
	}
	return true
}

// frameless is an endpoint that XDP doesn't serve, and how often that was tried.
type frameless struct {
	endpoint datapath.Endpoint
	tries    int
}

// retryFrames tries again where XDP should forward and can't.
func (d *Datapath) retryFrames() error {
	for id, f := range d.state.frameless {
		st, ok := d.state.endpoints[id]
		if f.tries++; !ok || f.tries > maxFrameTries {
			delete(d.state.frameless, id)
			continue
		}
		if enableNAPI(f.endpoint) != nil {
			continue
		}
		delete(d.state.frameless, id)
		st.value.TakesFrames = true
		if err := d.tables.endpoints.Put(st.slot, st.value); err != nil {
			return err
		}
	}
	return nil
}

// enableNAPI turns on GRO at the inner end, which is what gives a veth NAPI
// (kernel commit d3256efd8e8b, Linux 5.13).
func enableNAPI(e datapath.Endpoint) error {
	outer, err := netlink.LinkByIndex(e.HostIndex)
	if err != nil {
		return fmt.Errorf("device %s: %w", e.HostIf, err)
	}
	a := outer.Attrs()
	if outer.Type() != "veth" {
		return fmt.Errorf("device %s: is a %s, not a veth", e.HostIf, outer.Type())
	}
	if a.NetNsID < 0 {
		return enableGRO(a.ParentIndex)
	}
	path := e.Netns
	if path == "" {
		if path, err = namespaceOf(a.NetNsID); err != nil {
			return fmt.Errorf("device %s: %w", e.HostIf, err)
		}
	}
	return netns.Do(path, func() error { return enableGRO(a.ParentIndex) })
}

// enableGRO works in the thread's namespace.
func enableGRO(index int) error {
	dev, err := netlink.LinkByIndex(index)
	if err != nil {
		return fmt.Errorf("device %d: %w", index, err)
	}
	tool, err := ethtool.NewEthtool()
	if err != nil {
		return fmt.Errorf("ethtool: %w", err)
	}
	defer tool.Close()
	if err := tool.Change(dev.Attrs().Name, map[string]bool{"rx-gro": true}); err != nil {
		return fmt.Errorf("device %s: rx-gro: %w", dev.Attrs().Name, err)
	}
	return nil
}
