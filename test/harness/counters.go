// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// MetricsAddr is where the daemon serves its counters if started with
// WithMetrics.
const MetricsAddr = "127.0.0.1:9420"

// WithMetrics makes the daemon serve its counters.
func WithMetrics() Option { return DaemonArgs("--metrics", MetricsAddr) }

// Metrics is one scrape.
type Metrics string

// Scrape reads the counters over HTTP.
func (e *Env) Scrape(t testing.TB) Metrics {
	t.Helper()
	return Metrics(e.Host.Must(t, "curl", "-sSf", "-m", "10", "http://"+MetricsAddr+"/metrics"))
}

// Sum adds up the samples of a metric that have all of the labels, each written
// as in reason="spoofed".
func (m Metrics) Sum(name string, labels ...string) (sum float64) {
	for line := range strings.Lines(string(m)) {
		series, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || series != name && !strings.HasPrefix(series, name+"{") || !hasAll(series, labels) {
			continue
		}
		if v, err := strconv.ParseFloat(value, 64); err == nil {
			sum += v
		}
	}
	return sum
}

func hasAll(text string, words []string) bool {
	for _, w := range words {
		if !strings.Contains(text, w) {
			return false
		}
	}
	return true
}

// Drops are the packets that the datapath refused, by reason.
func (e *Env) Drops(t testing.TB) map[string]uint64 {
	t.Helper()
	var status struct {
		Stats struct {
			Drops []struct {
				Reason  string `json:"reason"`
				Packets uint64 `json:"packets"`
			} `json:"drops"`
		} `json:"stats"`
	}
	e.JSON(t, &status, "status", "-o", "json")
	drops := map[string]uint64{}
	for _, d := range status.Stats.Drops {
		drops[d.Reason] += d.Packets
	}
	return drops
}

// Dropped waits until more packets than before were refused for the reason.
func (e *Env) Dropped(t testing.TB, reason string, before map[string]uint64, atLeast uint64) {
	t.Helper()
	Eventually(t, "drops by "+reason+" to be counted", func() error {
		now := e.Drops(t)
		if got := now[reason] - before[reason]; got < atLeast {
			return fmt.Errorf("%d of %d; all: %v", got, atLeast, now)
		}
		return nil
	})
}
