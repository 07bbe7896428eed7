// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/maps/endpoint"
	"github.com/fairway-project/fairway/userspace/datapath"
)

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

// framesChanged makes the XDP program leave alone the endpoint at a device that takes no
// frames any more, and serve it again when it does; 0 stands for every device. The container
// may have turned GRO off, which is its business: it stays off.
func (d *Datapath) framesChanged(index int) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var errs []error
	for id, st := range d.state.endpoints {
		if index != 0 && st.value.Index != index || !st.value.Ready {
			continue
		}
		changed, err := d.followFrames(st.slot, &st.value)
		if changed && st.value.TakesFrames {
			delete(d.state.frameless, id)
		}
		errs = append(errs, err)
	}
	for slot, orphan := range d.state.orphanEndpoints {
		if index == 0 || orphan.Index == index {
			_, err := d.followFrames(slot, &orphan)
			d.state.orphanEndpoints[slot] = orphan
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// followFrames has an endpoint's entry say what the kernel says of its device, and reports
// whether it said something else.
func (d *Datapath) followFrames(slot uint16, e *endpoint.Endpoint) (bool, error) {
	takes, err := takesXDP(e.Index)
	if errors.Is(err, unix.ENODEV) {
		return false, nil
	}
	if err != nil || takes == e.TakesFrames {
		return false, err
	}
	e.TakesFrames = takes
	d.log.Info("endpoint takes frames of XDP", "device", e.Index, "takes", takes)
	return true, d.tables.endpoints.Put(slot, *e)
}
