// SPDX-License-Identifier: Apache-2.0

package rig

import (
	"testing"

	"github.com/fairway-project/fairway/test/progrun/frame"
)

// A test run takes what a case says: device, ingress and frame reach the program.
func TestRunReachesTheProgram(t *testing.T) {
	h := New(t, Options{})
	f := frame.Between(h.App.MAC, h.Web.MAC).IP(h.App.IPv4, h.Web.IPv4).UDP(1, 2)
	got := h.Run(t, Run{Program: FromContainer, Device: "app", Frame: f.Bytes()})
	if got.Action != Redirect {
		t.Errorf("peer: action %d, want %d", got.Action, Redirect)
	}
	c, err := h.Counters.Endpoint(h.Web.Slot)
	if err != nil || c.Receive.Packets != 1 {
		t.Errorf("web received %+v, %v", c, err)
	}
}
