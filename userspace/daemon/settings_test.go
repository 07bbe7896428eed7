// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"maps"
	"net"
	"net/http"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestDifferencesAreNamedAsInTheFile(t *testing.T) {
	have, want := Default(), Default()
	have.Uplinks = []string{}
	want.Debug, want.Metrics, want.XDP, want.FlowTableSize = true, "127.0.0.1:9090", "auto", 4096
	want.Timeouts.UDP, want.Timeouts.TCPClose = time.Minute, time.Second
	all := differences(have, want)
	keys := []string{"debug", "flow_table_size", "metrics", "timeouts.tcp_close", "timeouts.udp", "xdp"}
	if diff := cmp.Diff(keys, slices.Sorted(maps.Keys(all))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if d := all["timeouts.udp"]; d.was != "0s" || d.is != "1m0s" {
		t.Errorf("got %+v", d)
	}
	s := settings{config: have}
	s.take("timeouts.udp", want)
	s.take("metrics", want)
	after := have
	after.Timeouts.UDP, after.Metrics = want.Timeouts.UDP, want.Metrics
	if diff := cmp.Diff(after, s.get()); diff != "" {
		t.Errorf("two settings taken (-want +got):\n%s", diff)
	}
}

// The metrics go on at the old address where the new one can't be had, also if the old
// one was in its way.
func TestMetricsStayWhereTheyCan(t *testing.T) {
	d := newDaemon(Config{Metrics: "127.0.0.1:0"}, Parts{})
	l, err := listenAt("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	own := l.Addr().String()
	d.metrics.listener, d.metrics.handler, d.metrics.failed = l, http.NotFoundHandler(), make(chan error, 1)
	d.metrics.serve()
	defer d.metrics.close()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	answers := func(address string) {
		t.Helper()
		r, err := http.Get("http://" + address)
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
	}
	for _, bad := range []string{taken.Addr().String(), "192.0.2.77:1"} {
		if err := d.metrics.move(own, bad); err == nil {
			t.Errorf("%s: no error", bad)
		}
		answers(own)
	}
	_, port, _ := net.SplitHostPort(own)
	if err := d.metrics.move(own, "0.0.0.0:"+port); err != nil {
		t.Fatal(err)
	}
	answers(own)
	if err := d.metrics.move("0.0.0.0:"+port, ""); err != nil {
		t.Fatal(err)
	}
	if c, err := net.Dial("tcp", own); err == nil {
		c.Close()
		t.Error("somebody listens at an address that was given up")
	}
}

// What systemd 253 and later wants to hear of a reload.
func TestReloadingHasATime(t *testing.T) {
	if s := reloading(); !regexp.MustCompile(`^RELOADING=1\nMONOTONIC_USEC=[1-9][0-9]*$`).MatchString(s) {
		t.Errorf("got %q", s)
	}
}
