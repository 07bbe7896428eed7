// SPDX-License-Identifier: Apache-2.0

package ebpf

import "github.com/fairway-project/fairway/userspace/datapath"

// maxFrameTries bounds how often an endpoint is tried whose inner end isn't found or
// is down: one of Docker's is until its container starts.
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
