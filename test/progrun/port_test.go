// SPDX-License-Identifier: Apache-2.0

package progrun

import (
	"net"
	"net/netip"
	"strconv"
	"testing"

	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/test/progrun/frame"
	"github.com/fairway-project/fairway/test/progrun/rig"
	"github.com/fairway-project/fairway/userspace/model"
)

// Four ports to choose from.
const (
	portMin = 20000
	portMax = 20003
)

func fewPorts(t *testing.T) *rig.Host {
	return rig.New(t, rig.Options{Constants: map[string]any{
		object.DatapathVarMasqueradePortMin: uint16(portMin), object.DatapathVarMasqueradePortMax: uint16(portMax),
	}})
}

// masquerade sends a packet from e and returns the port it left with, 0 if it
// was dropped. The packet out and the way back are checked.
func masquerade(t *testing.T, h *rig.Host, f family, e rig.Endpoint, out frame.Frame) uint16 {
	t.Helper()
	got := h.Run(t, rig.Run{Program: rig.FromContainer, Device: e.Name, Frame: out.Bytes()})
	if got.Action == rig.Drop {
		return 0
	}
	check(t, frame.Check(got.Frame))
	var port uint16
	for _, half := range halves(t, h) {
		if half.Origin() && half.Src == out.Src() && half.Dst == out.Dst() && half.Proto == out.Protocol() {
			port = half.NATSrc.Port()
		}
	}
	wire := out.From(f.host(), port).Hop()
	back := wire.Reply().MACs(f.RouterMAC, f.Eth0.MAC)
	runStep(t, h, 0, fromContainer(e, out, forwarded(), wire))
	runStep(t, h, 1, fromUplink(f.Eth0, back, delivered(e), f.into(e, out.Reply())))
	return port
}

func TestPortConflict(t *testing.T) {
	h := fewPorts(t)
	for name, f := range families() {
		t.Run(name, func(t *testing.T) {
			h.Restore(t)
			for _, sport := range []uint16{portMin, portMin + 1, portMin + 2} {
				if got := masquerade(t, h, f, f.Web, f.sends(f.Web, f.far()).UDP(sport, 53)); got != sport {
					t.Errorf("free port %d became %d", sport, got)
				}
			}
			app := f.sends(f.App, f.far())
			if got := masquerade(t, h, f, f.Web, f.sends(f.Web, f.client()).UDP(40000, 53)); got < portMin || got > portMax {
				t.Errorf("port 40000 became %d, want one of %d to %d", got, portMin, portMax)
			}
			if got := masquerade(t, h, f, f.App, app.UDP(portMin, 53)); got != portMax {
				t.Errorf("taken port became %d, want %d, the only free one", got, portMax)
			}
			runStep(t, h, 0, fromContainer(f.App, app.UDP(portMin+1, 53), dropped(noPort), nil))
			if got := masquerade(t, h, f, f.App, app.UDP(portMin, 54)); got != portMin {
				t.Errorf("port %d towards another destination became %d", portMin, got)
			}
			if got := masquerade(t, h, f, f.App, app.TCP(portMin, 53, "S")); got != portMin {
				t.Errorf("port %d of another protocol became %d", portMin, got)
			}
			if n := checkPairs(t, h); n != 7 {
				t.Errorf("%d flows, want 7", n)
			}
		})
	}
}

// Privileged ports stay privileged, and echo identifiers are ports too.
func TestPortClasses(t *testing.T) {
	h := rig.New(t, rig.Options{})
	for name, f := range families() {
		t.Run(name, func(t *testing.T) {
			h.Restore(t)
			for _, c := range []struct {
				sport    uint16
				min, max uint16
			}{{100, 1, 511}, {700, 600, 1023}, {5000, 1024, 65535}} {
				masquerade(t, h, f, f.Web, f.sends(f.Web, f.far()).UDP(c.sport, 53))
				got := masquerade(t, h, f, f.App, f.sends(f.App, f.far()).UDP(c.sport, 53))
				if got < c.min || got > c.max || got == c.sport {
					t.Errorf("taken port %d became %d, want another of %d to %d", c.sport, got, c.min, c.max)
				}
			}
			masquerade(t, h, f, f.Web, f.sends(f.Web, f.far()).Echo(7))
			app := f.sends(f.App, f.far()).Echo(7)
			got := h.Run(t, rig.Run{Program: rig.FromContainer, Device: "app", Frame: app.Bytes()})
			check(t, frame.Check(got.Frame))
			if n := checkPairs(t, h); got.Action != rig.Redirect || n != 8 {
				t.Errorf("echo with a taken identifier: action %d, %d flows", got.Action, n)
			}
		})
	}
}

// A port that is published or that a program of the host listens on isn't chosen,
// not even where the container itself uses it.
func TestHostPortsAreNotTaken(t *testing.T) {
	h := fewPorts(t)
	for name, f := range families() {
		for _, proto := range []model.Proto{model.TCP, model.UDP} {
			for how, reserve := range map[string]func(*testing.T, uint16){
				"published":                func(t *testing.T, port uint16) { h.Publish(t, rig.Any(f.v6), port, proto, f.DB, 80) },
				"listening":                func(t *testing.T, port uint16) { listen(t, h, proto, rig.Any(f.v6), port) },
				"listening on the address": func(t *testing.T, port uint16) { listen(t, h, proto, f.host(), port) },
			} {
				t.Run(name+"/"+proto.String()+"/"+how, func(t *testing.T) {
					h.Restore(t)
					for port := uint16(portMin); port < portMax; port++ {
						reserve(t, port)
					}
					out := f.sends(f.Web, f.far()).UDP(portMin, 53)
					if proto == model.TCP {
						out = out.TCP(portMin, 53, "S")
					}
					if got := masquerade(t, h, f, f.Web, out); got != portMax {
						t.Errorf("port %d became %d, want %d, the only free one", portMin, got, portMax)
					}
				})
			}
		}
	}
}

// listen opens a socket in the host's namespace until the end of the test.
func listen(t *testing.T, h *rig.Host, proto model.Proto, addr netip.Addr, port uint16) {
	t.Helper()
	at := net.JoinHostPort(addr.String(), strconv.Itoa(int(port)))
	var s interface{ Close() error }
	var err error
	h.Do(func() {
		if proto == model.TCP {
			s, err = net.Listen("tcp", at)
		} else {
			s, err = net.ListenPacket("udp", at)
		}
	})
	check(t, err)
	t.Cleanup(func() { check(t, s.Close()) })
}
