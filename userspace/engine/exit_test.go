// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"testing"

	"github.com/fairway-project/fairway/userspace/request"
)

// The datapath forgets an endpoint whose device can't be removed.
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
