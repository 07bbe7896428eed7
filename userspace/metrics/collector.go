// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"context"
	"iter"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
)

// scrapeLimit is how long the reading for one scrape may take. Prometheus gives
// up after 10 s by default.
const scrapeLimit = 8 * time.Second

// Source is what a Collector reads; the engine is the real one. Stats returns
// what it could read along with the error.
type Source interface {
	Stats(context.Context) (datapath.Stats, error)
	Networks(context.Context) ([]request.NetworkView, error)
	Sandboxes(context.Context) ([]request.SandboxView, error)
	Services(context.Context) iter.Seq[request.ServiceView]
	// ServiceStats are those of all owners' services if none is named.
	ServiceStats(ctx context.Context, ids ...string) ([]datapath.ServiceStats, error)
	Carried(context.Context) (request.Carried, error)
	// Degraded has a sentence for each thing that isn't as it should be.
	Degraded() []string
}

// Info is what stays the same as long as the daemon runs.
type Info struct {
	Version request.Version
	Mode    datapath.Mode
}

// Collector implements prometheus.Collector. Its scrapes may run at the same time.
type Collector struct {
	source   Source
	info     Info
	families families
	errors   atomic.Uint64
}

// NewCollector returns a collector that reads source at each scrape.
func NewCollector(source Source, info Info) *Collector {
	return &Collector{source: source, info: info, families: newFamilies()}
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, f := range c.families.all() {
		ch <- f.desc
	}
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	ctx, stop := context.WithTimeout(context.Background(), scrapeLimit)
	defer stop()
	s := scrape{ch: ch, families: &c.families}
	s.build(c.info)
	s.add(s.degraded, float64(len(c.source.Degraded())))
	networks, err := c.source.Networks(ctx)
	if !c.failed(err) {
		s.add(s.networks, float64(len(networks)), string(model.OwnerFairway))
	}
	sandboxes, err := c.source.Sandboxes(ctx)
	if !c.failed(err) {
		s.model(sandboxes)
	}
	services := sums(c.source.Services(ctx))
	s.add(s.services, float64(len(services)), string(model.OwnerFairway))
	carried, err := c.source.Carried(ctx)
	if !c.failed(err) {
		s.carried(carried)
	}
	services = append(services, sums(slices.Values(carried.Services))...)
	s.backends(services)
	serviceStats, err := c.source.ServiceStats(ctx)
	c.failed(err)
	s.serviceConnections(services, serviceStats)
	stats, err := c.source.Stats(ctx)
	c.failed(err)
	s.stats(stats)
	s.endpointTraffic(stats.Endpoints, append(sandboxes, carried.Containers...))
	// Last, so that it counts the errors of this scrape too.
	s.add(s.scrapeErrors, float64(c.errors.Load()))
}

func (c *Collector) failed(err error) bool {
	if err == nil {
		return false
	}
	c.errors.Add(1)
	return true
}
