// SPDX-License-Identifier: Apache-2.0

package metrics

import "github.com/prometheus/client_golang/prometheus"

const prefix = "fairway_"

// family is one metric: its description, with what that was made of, and its type.
type family struct {
	desc       *prometheus.Desc
	kind       prometheus.ValueType
	name, help string
	labels     []string
}

func newFamily(kind prometheus.ValueType, name, help string, labels []string) family {
	return family{prometheus.NewDesc(prefix+name, help, labels, nil), kind, prefix + name, help, labels}
}

func counter(name, help string, labels ...string) family {
	return newFamily(prometheus.CounterValue, name, help, labels)
}

func gauge(name, help string, labels ...string) family {
	return newFamily(prometheus.GaugeValue, name, help, labels)
}

// families are all metrics of the package, which descriptions lists too.
type families struct {
	buildInfo, degraded, networks, sandboxes, endpoints, publishedPorts        family
	services, serviceBackends, serviceFlows, serviceRefused, servicePassedOver family
	containerFlows, containerRefused                                           family
	flows, flowsLimit, flowsEarlyDropped                                       family
	receivePackets, receiveBytes                                               family
	transmitPackets, transmitBytes                                             family
	forwardedPackets, forwardedBytes                                           family
	droppedPackets, droppedBytes                                               family
	fragmentsParked                                                            family
	mapEntries, mapMaxEntries                                                  family
	programRuns                                                                family
	collectionRuns, collectionSeconds, collectionExpired                       family
	scrapeErrors                                                               family
}

func newFamilies() families {
	return families{
		buildInfo:         gauge("build_info", "A constant 1 with the build of the daemon and the datapath it works with.", "version", "commit", "goversion", "datapath"),
		degraded:          gauge("degraded", "Things that are not as they should be; the daemon's status has a sentence for each."),
		networks:          gauge("networks", "Networks by whose they are (fairway, docker, docker-plugin), the predefined ones among them.", "owner"),
		sandboxes:         gauge("sandboxes", "Sandboxes by status.", "status"),
		endpoints:         gauge("endpoints", "Attachments of sandboxes and containers to networks.", "owner"),
		publishedPorts:    gauge("published_ports", "Host ports that lead to a sandbox or container, counted per host address; those of services aren't among them.", "owner"),
		services:          gauge("services", "Services by whose they are.", "owner"),
		serviceBackends:   gauge("service_backends", "Backends of a service by state; those of services beyond the first thousand names are one, without a name.", "service", "owner", "state"),
		serviceFlows:      counter("service_flows_total", "Connections that were led to a backend of a service; the first thousand services by name have it.", "service", "owner"),
		servicePassedOver: counter("service_backends_passed_over_total", "How often a backend of a service that refused clients began to be passed over by new connections, in eBPF mode.", "service", "owner"),
		serviceRefused:    counter("service_flows_refused_total", "Connections to a service that got no backend: none served (no_backend), or they came from elsewhere than its source ranges (service_source).", "service", "owner", "reason"),
		flows:             gauge("flows", "Tracked connections, as of the last collection in eBPF mode."),
		flowsLimit:        gauge("flows_limit", "Connections that the tables have room for. New ones beyond it are refused, or take the place of half-open ones."),
		flowsEarlyDropped: counter("flows_early_dropped_total", "Half-open connections that gave way to others because the tables were full."),
		receivePackets:    counter("container_receive_packets_total", "Packets delivered to a sandbox or container on a network.", "network", "name", "owner"),
		receiveBytes:      counter("container_receive_bytes_total", "Bytes delivered to a sandbox or container on a network, from the network header on.", "network", "name", "owner"),
		transmitPackets:   counter("container_transmit_packets_total", "Packets sent by a sandbox or container on a network.", "network", "name", "owner"),
		transmitBytes:     counter("container_transmit_bytes_total", "Bytes sent by a sandbox or container on a network, from the network header on.", "network", "name", "owner"),
		containerFlows:    gauge("container_flows", "Connections that a sandbox or container on a network answers for: those it opened, and those from outside.", "network", "name", "owner"),
		containerRefused:  counter("container_flows_refused_total", "Connections of a sandbox or container that were refused, because the flow table (flows) or the source ports (ports) were used up or kept for others.", "network", "name", "owner", "want"),
		forwardedPackets:  counter("forwarded_packets_total", "Packets of containers by how they were forwarded: by the programs alone (ebpf) or through the host's stack (stack).", "path"),
		forwardedBytes:    counter("forwarded_bytes_total", "Bytes of containers by how they were forwarded.", "path"),
		droppedPackets:    counter("dropped_packets_total", "Packets refused, by reason and by direction as seen from the container.", "reason", "direction"),
		droppedBytes:      counter("dropped_bytes_total", "Bytes of refused packets, by reason and direction.", "reason", "direction"),
		fragmentsParked:   counter("fragments_parked_total", "Fragments that came before the first one of their datagram and were kept for it, by direction as seen from the container.", "direction"),
		mapEntries:        gauge("map_entries", "Entries in use of a table of the datapath.", "map"),
		mapMaxEntries:     gauge("map_max_entries", "Entries that a table of the datapath has room for.", "map"),
		programRuns:       counter("program_runs_total", "Runs of a program of the datapath since its tables exist, by what it did with the packet.", "program", "verdict"),

		collectionRuns:    counter("collection_runs_total", "Searches of the flow tables for expired connections."),
		collectionSeconds: counter("collection_seconds_total", "Time spent on searching the flow tables for expired connections."),
		collectionExpired: counter("collection_expired_total", "Connections that were removed because they had expired."),
		scrapeErrors:      counter("scrape_errors_total", "Things that could not be read at a scrape and are missing from it."),
	}
}

func (f *families) all() []family {
	return []family{
		f.buildInfo, f.degraded, f.networks, f.sandboxes, f.endpoints, f.publishedPorts, f.services, f.serviceBackends, f.serviceFlows, f.serviceRefused, f.servicePassedOver, f.flows, f.flowsLimit, f.flowsEarlyDropped,
		f.receivePackets, f.receiveBytes, f.transmitPackets, f.transmitBytes, f.containerFlows, f.containerRefused,
		f.forwardedPackets, f.forwardedBytes, f.droppedPackets, f.droppedBytes, f.fragmentsParked,
		f.mapEntries, f.mapMaxEntries, f.programRuns,
		f.collectionRuns, f.collectionSeconds, f.collectionExpired, f.scrapeErrors,
	}
}
