// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"cmp"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fairway-project/fairway/maps/drop"
	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
)

// scrape is the answer to one scrape in the making.
type scrape struct {
	*families
	ch chan<- prometheus.Metric
}

func (s *scrape) add(f family, value float64, labels ...string) {
	s.ch <- prometheus.MustNewConstMetric(f.desc, f.kind, value, labels...)
}

func (s *scrape) build(i Info) {
	s.add(s.buildInfo, 1, i.Version.Version, i.Version.Commit, i.Version.Go, string(i.Mode))
}

// model exports the counts of what the engine keeps.
func (s *scrape) model(sandboxes []request.SandboxView) {
	status := map[model.Status]int{model.StatusCreated: 0, model.StatusRunning: 0, model.StatusExited: 0}
	var endpoints, ports int
	for i := range sandboxes {
		status[sandboxes[i].State.Status]++
		endpoints += len(sandboxes[i].Endpoints)
		ports += len(sandboxes[i].Published)
	}
	for name, n := range status {
		s.add(s.sandboxes, float64(n), string(name))
	}
	s.add(s.endpoints, float64(endpoints), string(model.OwnerFairway))
	s.add(s.publishedPorts, float64(ports), string(model.OwnerFairway))
}

// carried exports the counts of what others have.
func (s *scrape) carried(c request.Carried) {
	for _, n := range c.Counts() {
		s.add(s.networks, float64(n.Networks), string(n.Owner))
		s.add(s.endpoints, float64(n.Endpoints), string(n.Owner))
		s.add(s.publishedPorts, float64(n.Ports), string(n.Owner))
		s.add(s.services, float64(n.Services), string(n.Owner))
	}
}

// stats exports the datapath's counters.
func (s *scrape) stats(st datapath.Stats) {
	s.add(s.flows, float64(st.Flows))
	s.add(s.flowsLimit, float64(st.FlowLimit))
	s.add(s.flowsEarlyDropped, float64(st.EarlyDropped))
	for _, path := range []datapath.Path{datapath.PathEBPF, datapath.PathStack} {
		c := st.Forwarded[path]
		s.add(s.forwardedPackets, float64(c.Packets), string(path))
		s.add(s.forwardedBytes, float64(c.Bytes), string(path))
	}
	s.drops(st.Drops)
	for _, d := range []datapath.Direction{datapath.Receive, datapath.Transmit} {
		s.add(s.fragmentsParked, float64(st.Parked[d].Packets), string(d))
	}
	for _, m := range st.Maps {
		s.add(s.mapEntries, float64(m.Entries), m.Map)
		s.add(s.mapMaxEntries, float64(m.Max), m.Map)
	}
	for _, p := range st.Programs {
		s.add(s.programRuns, float64(p.Redirected), p.Name, "redirect")
		s.add(s.programRuns, float64(p.Passed), p.Name, "pass")
		s.add(s.programRuns, float64(p.Dropped), p.Name, "drop")
	}
	s.add(s.collectionRuns, float64(st.Collection.Runs))
	s.add(s.collectionSeconds, st.Collection.Total.Seconds())
	s.add(s.collectionExpired, float64(st.Collection.Expired))
}

// drops exports every reason from the start, so that rate() sees the first drop
// of its kind.
func (s *scrape) drops(drops []datapath.Drop) {
	type key struct {
		reason    string
		direction datapath.Direction
	}
	counts := make(map[key]datapath.Counter)
	for _, r := range drop.Reasons() {
		counts[key{r.Name, datapath.Receive}] = datapath.Counter{}
		counts[key{r.Name, datapath.Transmit}] = datapath.Counter{}
	}
	for _, d := range drops {
		c := counts[key{d.Reason, d.Direction}]
		counts[key{d.Reason, d.Direction}] = plus(c, d.Counter)
	}
	for k, c := range counts {
		s.add(s.droppedPackets, float64(c.Packets), k.reason, string(k.direction))
		s.add(s.droppedBytes, float64(c.Bytes), k.reason, string(k.direction))
	}
}

// endpointTraffic exports what each sandbox received and sent on each network.
// Counters of endpoints that no sandbox has any more are left out.
func (s *scrape) endpointTraffic(counters []datapath.EndpointCounters, sandboxes []request.SandboxView) {
	type labels struct{ network, name, owner string }
	type traffic struct {
		receive, transmit                 datapath.Counter
		flows, flowsRefused, portsRefused uint64
	}
	of := make(map[string]labels)
	for i := range sandboxes {
		for _, ep := range sandboxes[i].Endpoints {
			of[ep.ID] = labels{ep.NetworkName, sandboxes[i].Name, string(cmp.Or(sandboxes[i].Owner, model.OwnerFairway))}
		}
	}
	sums := make(map[labels]traffic)
	for _, c := range counters {
		if l, known := of[c.EndpointID]; known {
			sum := sums[l]
			sums[l] = traffic{
				plus(sum.receive, c.Receive), plus(sum.transmit, c.Transmit),
				sum.flows + c.Flows, sum.flowsRefused + c.FlowsRefused, sum.portsRefused + c.PortsRefused,
			}
		}
	}
	for l, sum := range sums {
		s.add(s.receivePackets, float64(sum.receive.Packets), l.network, l.name, l.owner)
		s.add(s.receiveBytes, float64(sum.receive.Bytes), l.network, l.name, l.owner)
		s.add(s.transmitPackets, float64(sum.transmit.Packets), l.network, l.name, l.owner)
		s.add(s.transmitBytes, float64(sum.transmit.Bytes), l.network, l.name, l.owner)
		s.add(s.containerFlows, float64(sum.flows), l.network, l.name, l.owner)
		s.add(s.containerRefused, float64(sum.flowsRefused), l.network, l.name, l.owner, "flows")
		s.add(s.containerRefused, float64(sum.portsRefused), l.network, l.name, l.owner, "ports")
	}
}

func plus(a, b datapath.Counter) datapath.Counter {
	return datapath.Counter{Packets: a.Packets + b.Packets, Bytes: a.Bytes + b.Bytes}
}
