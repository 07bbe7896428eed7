// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/fairway-project/fairway/userspace/driver"
	"github.com/fairway-project/fairway/userspace/driver/bridge"
	"github.com/fairway-project/fairway/userspace/link"
	"github.com/fairway-project/fairway/userspace/request"
)

// The datapath forgets an endpoint whose driver is gone: nobody knows of a device.
func TestDetachWithoutDriver(t *testing.T) {
	w := newWorld(t)
	w.network(request.NetworkCreate{Name: "n"})
	v := w.run(request.SandboxConfig{Name: "s", Networks: on("n")})
	a := w.state.attachments(v.ID)[0]
	n := *a.net
	n.Driver = "none of these"
	a.net = &n
	if err := w.detach(context.Background(), a); err == nil {
		t.Error("it is detached without a driver")
	}
	w.fake.mu.Lock()
	defer w.fake.mu.Unlock()
	if len(w.fake.endpoints) != 0 {
		t.Errorf("the datapath has %v", w.fake.endpoints)
	}
}

// stuck is the bridge driver with devices that can't be removed for a while.
type stuck struct {
	*bridge.Driver
	held *atomic.Bool
}

func (stuck) About() driver.About {
	return driver.About{Name: "stuck", Endpoints: true, Users: true}
}

func (d stuck) Detach(ctx context.Context, p driver.Plug) error {
	if d.held.Load() {
		return errInjected
	}
	return d.Driver.Detach(ctx, p)
}

// An endpoint whose device can't be removed goes on if it was to be disconnected, and stays
// guarded, with its addresses, after its sandbox until the device is gone.
func TestDeviceCannotBeRemoved(t *testing.T) {
	held := new(atomic.Bool)
	w := newWorldWith(t, func(links *link.Host) driver.Driver {
		return stuck{bridge.New(links, slog.New(slog.DiscardHandler)), held}
	})
	ctx := context.Background()
	n := w.network(request.NetworkCreate{Name: "n", Driver: "stuck"})
	v := w.run(request.SandboxConfig{Name: "s", Networks: on("n"), Publish: []string{"18099:80"}})
	id := v.Endpoints[0].ID
	before := w.snapshot()
	held.Store(true)
	if err := w.Disconnect(ctx, "n", "s", false); !errors.Is(err, errInjected) {
		t.Errorf("disconnected: %v", err)
	}
	w.unchanged(before)

	must(t, w.Remove(ctx, "s", true))
	if w.fake.endpoint(id).ID != id {
		t.Error("the datapath doesn't guard the device any more")
	}
	if told := strings.Join(w.owner.Degraded(), "; "); !strings.Contains(told, "end of endpoint "+shortID(id)+": injected") {
		t.Errorf("degraded: %s", told)
	}
	if w.ipam.Usage(n.ID, 4).InUse != before.Addresses["n"] {
		t.Error("the address may be given to another one")
	}
	if err := w.RemoveNetwork(ctx, "n"); err == nil || !strings.Contains(err.Error(), "is still there") {
		t.Errorf("the network is removed: %v", err)
	}
	held.Store(false)
	eventually(t, "the endpoint to go", func() bool {
		return w.fake.endpoint(id).ID == "" && w.ipam.Usage(n.ID, 4).InUse < before.Addresses["n"] && len(w.owner.Degraded()) == 0
	})
	must(t, w.RemoveNetwork(ctx, "n"))
	w.stored()
}
