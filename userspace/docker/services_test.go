// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/fairway-project/fairway/userspace/docker/client"
	"github.com/fairway-project/fairway/userspace/model"
)

// labeled makes the engine say that the attached container c-ENDPOINT has these labels.
func (w *world) labeled(endpoint string, labels client.Labels) {
	c := client.Container{ID: "c-" + endpoint, Names: []string{"/" + endpoint}, Labels: labels}
	c.NetworkSettings.Networks = map[string]client.Attachment{"net": {NetworkID: netID, EndpointID: endpoint}}
	w.engine.edit(func() { w.engine.containers = []client.Container{c} })
}

// served is what the datapath has of a service: its fronts' ports, and its backends.
func (w *world) served(name string) string {
	w.dp.mu.Lock()
	defer w.dp.mu.Unlock()
	s, is := w.dp.services[name]
	if !is {
		return "none"
	}
	var texts []string
	for _, f := range s.Fronts {
		texts = append(texts, fmt.Sprintf("%s:%d", f.Addr, f.Port.Num))
	}
	for _, p := range s.Pools {
		for _, b := range p.Backends {
			texts = append(texts, fmt.Sprintf("%s %s", b.Target, b.State))
		}
	}
	slices.Sort(texts)
	return strings.Join(slices.Compact(texts), ", ")
}

func (w *world) serves(what, name, want string) {
	w.t.Helper()
	w.eventually(what+": "+want+" of "+name+", has "+w.served(name), func() bool { return w.served(name) == want })
}

// A container with labels is a service's backend while it has its device; it gets no new
// flows once it is told to end.
func TestServiceOfLabels(t *testing.T) {
	w := newWorld(t)
	remove := w.veth("veth0000001")
	w.attach("e1")
	w.labeled("e1", client.Labels{"fairway.service": "web", "fairway.service.port": "80:8080", "fairway.service.publish": "127.0.0.1:7080:80"})
	w.engine.tell("connect", netID)
	w.serves("it runs", "web", "10.3.0.2:8080 active, 127.0.0.1:7080")
	if l, err := net.Listen("tcp", "127.0.0.1:7080"); err == nil {
		l.Close()
		t.Error("the published port isn't held")
	}
	c := w.watcher.Carried(t.Context())
	if len(c.Services) != 1 || c.Services[0].Name != "web" || len(c.Services[0].Backends) != 1 || c.Services[0].Backends[0].Name != "e1" ||
		len(c.Services[0].Warnings) != 0 || c.Counts()[0].Services != 1 {
		t.Errorf("shown as %+v", c.Services)
	}
	w.engine.signal("e1", "1", "fairway.service", "web")
	w.engine.signal("e1", "15", "fairway.service", "web")
	w.serves("it is told to end", "web", "10.3.0.2:8080 draining, 127.0.0.1:7080")
	w.engine.edit(func() { w.engine.containers = nil })
	w.attach("")
	w.engine.tell("disconnect", netID)
	w.serves("it is gone", "web", "none")
	remove()
	if l, err := net.Listen("tcp", "127.0.0.1:7080"); err != nil {
		t.Error(err)
	} else {
		l.Close()
	}
	if d := w.state.Degraded(); len(d) != 0 {
		t.Errorf("degraded: %q", d)
	}
}

// A port that is taken and labels that can't be read are told, and harm nothing else.
func TestServiceTroubles(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:7081")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	w.veth("veth0000001")
	w.attach("e1")
	labels := client.Labels{"fairway.service": "web", "fairway.service.port": "80", "fairway.service.publish": "127.0.0.1:7081:80,127.0.0.1:7082:80"}
	w.labeled("e1", labels)
	w.engine.tell("connect", netID)
	w.serves("one port is taken", "web", "10.3.0.2:80 active, 127.0.0.1:7082")
	degraded := func(want string) func() bool {
		return func() bool {
			d := w.state.Degraded()
			return want == "" && len(d) == 0 || len(d) == 1 && want != "" && strings.Contains(d[0], want)
		}
	}
	w.eventually("the port is told", degraded("docker: published ports of service web on net: "))
	if c := w.watcher.Carried(t.Context()); len(c.Services) != 1 || len(c.Services[0].Warnings) != 1 {
		t.Errorf("shown as %+v", c.Services)
	}
	l.Close()
	w.watcher.Relist()
	w.serves("the port is free", "web", "10.3.0.2:80 active, 127.0.0.1:7081, 127.0.0.1:7082")
	w.eventually("nothing is told", degraded(""))

	w.labeled("e1", client.Labels{"fairway.service": "web", "fairway.service.prt": "80"})
	w.watcher.Relist()
	w.serves("labels that can't be read", "web", "none")
	w.eventually("they are told", degraded(`a service has no option "prt"`))
	if got := w.dp.devices(); len(got) != 1 {
		t.Errorf("devices %v", got)
	}
	w.labeled("e1", nil)
	w.watcher.Relist()
	w.eventually("nothing is told", degraded(""))
}

// After a restart services wait for devices that no endpoint is found for, but not for long,
// and nothing else has to happen for that.
func TestServicesBeginThoughADeviceIsNobodys(t *testing.T) {
	silent, never := make(chan struct{}), make(chan struct{})
	defer close(never)
	w := newWorldWith(t, 0, func(w *world) {
		w.engine.silent, w.watcher.Absent = silent, true
		w.veth("veth0000001")
		w.vethWith("veth0000002", model.MAC{2, 0x42, 10, 3, 0, 9})
		w.attach("e1")
		w.labeled("e1", client.Labels{"fairway.service": "web", "fairway.service.port": "80", "fairway.service.publish": "127.0.0.1:7083:80"})
		n := w.engine.networks[netID]
		n.Containers["c-e2"] = client.Endpoint{Name: "c-e2", EndpointID: "e2", MacAddress: "02:42:0a:03:00:03", IPv4Address: "10.3.0.3/24"}
	})
	locked := func(f func() bool) func() bool {
		return func() bool {
			w.watcher.mu.Lock()
			defer w.watcher.mu.Unlock()
			return f()
		}
	}
	// The engine answers so late that nobody asks for the devices any more.
	w.eventually("both devices are seen", locked(func() bool { return len(w.watcher.since) == 2 }))
	locked(func() bool {
		for index, a := range w.watcher.since {
			a.at = a.at.Add(-eventIsLost)
			w.watcher.since[index] = a
		}
		return true
	})()
	close(silent)
	w.eventually("the engine has answered", locked(func() bool { return w.watcher.view.complete }))
	w.engine.edit(func() { w.engine.silent = never })
	w.serves("the wait is over", "web", "10.3.0.2:80 active, 127.0.0.1:7083")
}

// A port that moves to another service is there at once, without another listing.
func TestServicePortMoves(t *testing.T) {
	w := newWorld(t)
	w.veth("veth0000001")
	w.attach("e1")
	labels := func(name string) client.Labels {
		return client.Labels{"fairway.service": name, "fairway.service.port": "80", "fairway.service.publish": "127.0.0.1:7084:80"}
	}
	w.labeled("e1", labels("web"))
	w.engine.tell("connect", netID)
	w.serves("it runs", "web", "10.3.0.2:80 active, 127.0.0.1:7084")
	w.labeled("e1", labels("shop"))
	before := len(w.state.Degraded())
	w.watcher.Relist()
	w.eventually("the other service is there", func() bool { return strings.HasPrefix(w.served("shop"), "10.3.0.2:80") || w.served("shop") == "" })
	w.serves("the first one is gone", "web", "none")
	if got := w.served("shop"); got != "10.3.0.2:80 active, 127.0.0.1:7084" || len(w.state.Degraded()) != before {
		t.Errorf("shop has %s; degraded %q", got, w.state.Degraded())
	}
}

// A container's own stop signal counts, and a start ends what a signal has begun.
func TestServiceStopSignal(t *testing.T) {
	w := newWorld(t)
	w.veth("veth0000001")
	w.attach("e1")
	wanted := client.Wanted{}
	wanted.Config.StopSignal = "SIGWINCH"
	w.engine.edit(func() { w.engine.wanted["c-e1"] = wanted })
	w.labeled("e1", client.Labels{"fairway.service": "web", "fairway.service.port": "80", "fairway.service.publish": "127.0.0.1:7085:80"})
	w.engine.tell("connect", netID)
	w.serves("it runs", "web", "10.3.0.2:80 active, 127.0.0.1:7085")
	w.eventually("its stop signal is known", func() bool {
		l := w.watcher.services.leaving
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.signals["c-e1"] == 28
	})
	w.engine.signal("e1", "28", "fairway.service", "web")
	w.serves("it got its stop signal", "web", "10.3.0.2:80 draining, 127.0.0.1:7085")
	start := client.Event{Type: "container", Action: "start"}
	start.Actor.ID = "c-e1"
	w.engine.send(start)
	w.serves("it was started again", "web", "10.3.0.2:80 active, 127.0.0.1:7085")
}

func TestSignalOf(t *testing.T) {
	for text, want := range map[string]int{"15": 15, "TERM": 15, "SIGQUIT": 3, "sigwinch": 28, "RTMIN+3": 37, "SIGRTMAX-1": 63, "": 0, "x": 0} {
		if got := signalOf(text); int(got) != want {
			t.Errorf("%q is %d, want %d", text, got, want)
		}
	}
}
