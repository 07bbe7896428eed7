// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"errors"
	"log/slog"

	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/maps/endpoint"
	"github.com/fairway-project/fairway/userspace/datapath"
)

// maxFrameTries bounds how often an endpoint is tried whose inner end isn't found or
// is down: one of Docker's is until its container starts.
const maxFrameTries = 16

// frames says which endpoints get frames from XDP.
type frames struct {
	log       *slog.Logger
	xdp       XDP
	endpoints *endpoints
	// without are those that should and don't, by ID.
	without map[string]*frameless
}

// frameless is an endpoint that XDP doesn't serve, and how often that was tried.
type frameless struct {
	endpoint datapath.Endpoint
	tries    int
}

func newFrames(cfg Config, es *endpoints) *frames {
	return &frames{log: cfg.Logger, xdp: cfg.XDP, endpoints: es, without: make(map[string]*frameless)}
}

// take makes the container's end of the veth accept what XDP sends to it, and reports
// whether it does. Without, such frames would be lost, so the XDP program leaves the
// endpoint's packets to the others.
func (f *frames) take(e datapath.Endpoint) bool {
	delete(f.without, e.ID)
	if !f.xdp.forwards() {
		return false
	}
	if err := enableNAPI(e); err != nil {
		f.log.Debug("endpoint gets no frames from XDP", "endpoint", e.ID, "device", e.HostIf, "err", err)
		f.without[e.ID] = &frameless{endpoint: e}
		return false
	}
	return true
}

// retry tries again where XDP should forward and can't.
func (f *frames) retry() error {
	for id, w := range f.without {
		st, ok := f.endpoints.byID[id]
		if w.tries++; !ok || w.tries > maxFrameTries {
			delete(f.without, id)
			continue
		}
		if enableNAPI(w.endpoint) != nil {
			continue
		}
		delete(f.without, id)
		st.value.TakesFrames = true
		if err := f.endpoints.table.Put(st.slot, st.value); err != nil {
			return err
		}
	}
	return nil
}

// framesChanged is called when a device takes no frames any more, or again; 0 stands for
// every device.
func (d *Datapath) framesChanged(index int) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.frames.changed(index)
}

// changed makes the XDP program leave alone the endpoint at a device that takes no frames
// any more, and serve it again when it does. The container may have turned GRO off, which
// is its business: it stays off.
func (f *frames) changed(index int) error {
	var errs []error
	for id, st := range f.endpoints.byID {
		if index != 0 && st.value.Index != index || !st.value.Ready {
			continue
		}
		changed, err := f.follow(st.slot, &st.value)
		if changed && st.value.TakesFrames {
			delete(f.without, id)
		}
		errs = append(errs, err)
	}
	for slot, orphan := range f.endpoints.orphans {
		if index == 0 || orphan.Index == index {
			_, err := f.follow(slot, &orphan)
			f.endpoints.orphans[slot] = orphan
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// follow has an endpoint's entry say what the kernel says of its device, and reports
// whether it said something else.
func (f *frames) follow(slot uint16, e *endpoint.Endpoint) (bool, error) {
	takes, err := takesXDP(e.Index)
	if errors.Is(err, unix.ENODEV) {
		return false, nil
	}
	if err != nil || takes == e.TakesFrames {
		return false, err
	}
	e.TakesFrames = takes
	f.log.Info("endpoint takes frames of XDP", "device", e.Index, "takes", takes)
	return true, f.endpoints.table.Put(slot, *e)
}
