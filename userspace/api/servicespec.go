// SPDX-License-Identifier: Apache-2.0

package api

import (
	"cmp"
	"fmt"
	"net"
	"strconv"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
)

// specOf is s in the words of a request that would make it.
func specOf(s model.Service) request.ServiceSpec {
	spec := request.ServiceSpec{
		Selector: s.Selector, Scheduler: s.Scheduler, Affinity: affinityText(s.Affinity), Health: healthText(s.Health),
		Passive: s.Passive, Drain: s.Drain.String(), Sources: s.Sources, Labels: s.Labels,
	}
	for _, p := range s.Ports {
		spec.Ports = append(spec.Ports, servicePortText(p))
	}
	for _, p := range s.Specs {
		spec.Publish = append(spec.Publish, publishText(p))
	}
	for _, b := range s.Backends {
		spec.Backends = append(spec.Backends, backendText(b))
	}
	return spec
}

func servicePortText(p model.ServicePort) string {
	if p.Target == p.Port.Num {
		return p.Port.String()
	}
	return fmt.Sprintf("%d:%d/%s", p.Port.Num, p.Target, p.Port.Proto)
}

func publishText(s model.PortSpec) string {
	host := requested(s)
	if s.HostIP.IsValid() {
		return net.JoinHostPort(host.HostIP, host.HostPort) + ":" + s.Port.String()
	}
	if host.HostPort == "" {
		return s.Port.String()
	}
	return host.HostPort + ":" + s.Port.String()
}

func backendText(b model.ServiceBackend) string {
	text := cmp.Or(b.Name, text(b.Addr))
	if b.Port != 0 {
		text = net.JoinHostPort(text, strconv.Itoa(int(b.Port)))
	}
	if b.Weight != 1 {
		text += ",weight=" + strconv.Itoa(b.Weight)
	}
	return text
}

func affinityText(a model.Affinity) string {
	text := string(a.Kind)
	if a.Timeout != 0 {
		text += ",timeout=" + a.Timeout.String()
	}
	return text
}

func healthText(h model.Health) string {
	text := string(h.Kind)
	if h.Kind == model.HealthHTTP {
		text += ":" + h.Path
	}
	if h.Port != 0 {
		text += ",port=" + strconv.Itoa(int(h.Port))
	}
	if h.Interval != 0 {
		text += ",interval=" + h.Interval.String()
	}
	if h.Timeout != 0 {
		text += ",timeout=" + h.Timeout.String()
	}
	if h.Rise != 0 {
		text += ",rise=" + strconv.Itoa(h.Rise)
	}
	if h.Fall != 0 {
		text += ",fall=" + strconv.Itoa(h.Fall)
	}
	return text
}
