// SPDX-License-Identifier: Apache-2.0

package link

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"testing"
)

// The wait ends when the bridge forwards for the device, and not before.
func TestAwaitCarrier(t *testing.T) {
	h, _ := newTestHost(t)
	ensure(t, h, testBridge())
	sb, _ := newTestSandbox(t)
	v := testVeth()
	if _, err := h.CreateVeth(v, sb); err != nil {
		t.Fatal(err)
	}
	if err := h.nl.LinkSetUp(linkOf(t, h.nl, testBridge().Name)); err != nil {
		t.Fatal(err)
	}
	if err := h.SetUp(v.HostName); err != nil {
		t.Fatal(err)
	}
	if err := h.AwaitCarrier(t.Context(), v.HostName); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("the other end is down: got %v", err)
	}
	if err := sb.SetUp(Interface{Name: v.PeerName}); err != nil {
		t.Fatal(err)
	}
	if err := h.AwaitCarrier(t.Context(), v.HostName); err != nil {
		t.Fatal(err)
	}
	err := h.ns.Do(func() error {
		out, err := exec.Command("bridge", "link", "show", "dev", v.HostName).CombinedOutput()
		if !strings.Contains(string(out), "state forwarding") {
			t.Errorf("the bridge's port: %s", out)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.AwaitCarrier(t.Context(), "nobody"); !errors.Is(err, ErrNotFound) {
		t.Errorf("no device: got %v", err)
	}
}
