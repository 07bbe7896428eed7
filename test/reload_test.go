// SPDX-License-Identifier: Apache-2.0

package test

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/fairway-project/fairway/test/harness"
)

// hostStatus is what `fairway status` says of the host.
type hostStatus struct {
	Pid      int
	Metrics  string
	Uplinks  []string
	Degraded []string
}

// SIGHUP has the daemon read its file again: what can be changed is, the rest is named,
// and nothing ends, whatever is in the file.
func TestReload(t *testing.T) {
	const first = "uplinks: [eth0]\ntimeouts: {udp: 600s, udp_stream: 600s}\n"
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		c1, _ := pair(t, e)
		t.Run("changes are logged", func(t *testing.T) { logsChanges(t, e) })
		dropped := dropsSomething(t, e, c1)
		takesOver(t, e, `msg="taken over" owner=fairway networks=4 sandboxes=2 endpoints=2 ports=0 services=0`)
		stillDropped(t, e, dropped)
		serve(t, e.WAN, 80, "wan")
		pid := e.Daemon.Pid()
		reload := func(yaml string) string {
			e.File(t, "config.yaml", yaml)
			return logged(t, e.Daemon, "msg=\"settings ", func() { e.Daemon.Signal(t, syscall.SIGHUP) })
		}
		expect := func(log string, words ...string) {
			t.Helper()
			for _, w := range words {
				if !strings.Contains(log, w) {
					t.Errorf("the log doesn't say %q:\n%s", w, log)
				}
			}
		}
		harness.Reaches(t, c1.Netns, harness.WANIP4, 80, "wan")
		if left := udpExpires(t, e, "c1"); e.Mode == harness.EBPF && left < 20 {
			t.Errorf("a UDP flow is kept for %v s more, want 600", left)
		}
		expect(reload(first), "changed=0 unchanged=0")
		expect(reload("uplinks: [eth0, nope]\nmetrics: "+harness.MetricsAddr+"\ndebug: true\nflow_table_size: 8192\ntimeouts: {udp: 20s, udp_stream: 20s}\n"),
			`setting=metrics from="" to=`+harness.MetricsAddr, "setting=debug from=false to=true", `setting=uplinks from=[eth0] to="[eth0 nope]"`,
			`"setting not changed" setting=flow_table_size is=0 wanted=8192 err="can't be changed without a restart"`, `uplink=nope`)
		if e.Scrape(t).Sum("fairway_build_info") != 1 {
			t.Error("nothing answers at the new address of the metrics")
		}
		status := func() (s hostStatus) { e.JSON(t, &s, "status", "-o", "json"); return s }
		s := status()
		if s.Pid != pid || s.Metrics != harness.MetricsAddr || !slices.Equal(s.Uplinks, []string{"eth0"}) || len(s.Degraded) != 1 || !strings.Contains(s.Degraded[0], "uplink nope") {
			t.Errorf("status: %+v", s)
		}
		if out := e.Fairway(t, "doctor").Out; !strings.Contains(out, "nope: there is no network device of this name") {
			t.Errorf("doctor:\n%s", out)
		}
		if left := udpExpires(t, e, "c1"); e.Mode == harness.EBPF && (left < 0 || left > 20) {
			t.Errorf("a UDP flow is kept for %v s more, want 20 at most", left)
		}
		// The same port at another address, and back: one of them stands for both.
		expect(reload("uplinks: [eth0]\nmetrics: 0.0.0.0:9420\n"), "setting=metrics", "setting=debug from=true to=false")
		s = status()
		if e.Scrape(t).Sum("fairway_build_info") != 1 || s.Metrics != "0.0.0.0:9420" || len(s.Degraded) != 0 {
			t.Errorf("status: %+v", s)
		}
		expect(reload("uplinks: [eth0]\nmetrics: 192.0.2.77:1\n"), `"setting not changed" setting=metrics`)
		// A name that no device has would cut everything off.
		log := reload("uplinks: [etho]\n")
		expect(log, `setting=metrics from=0.0.0.0:9420 to=""`, `"setting not changed" setting=uplinks is=[eth0] wanted=[etho] err="no network device has any of these names`)
		if strings.Contains(log, "uplink removed") {
			t.Errorf("an uplink was removed:\n%s", log)
		}
		if s = status(); !slices.Equal(s.Uplinks, []string{"eth0"}) || len(s.Degraded) != 0 {
			t.Errorf("status after a reload with a wrong uplink: %+v", s)
		}
		harness.Reaches(t, c1.Netns, harness.WANIP4, 80, "wan")
		// Not xdp: nor mode:, which a run of the tests may give as flags.
		for wrong, text := range map[string]string{"timeouts: {udp: bogus}\n": "bogus", "rooot: x\n": "line 1: rooot"} {
			expect(reload(wrong), "level=ERROR", "settings not reloaded", text)
		}
		expect(reload("uplinks: []\n"), "setting=uplinks from=[eth0] to=[]")
		expect(reload(first), "setting=uplinks from=[] to=[eth0]")
		harness.Reaches(t, c1.Netns, harness.WANIP4, 80, "wan")
		for sig, text := range map[syscall.Signal]string{syscall.SIGUSR1: "goroutine ", syscall.SIGUSR2: "signal=SIGUSR2"} {
			expect(logged(t, e.Daemon, "signal=", func() { e.Daemon.Signal(t, sig) }), text)
		}
		e.Daemon.Signal(t, syscall.SIGPIPE)
		if s = status(); s.Pid != pid {
			t.Errorf("the daemon is process %d now, was %d", s.Pid, pid)
		}
	}, harness.Config(first))
}

// logged returns what the daemon logs until it says done, from act on.
func logged(t *testing.T, d *harness.Daemon, done string, act func()) (text string) {
	t.Helper()
	before := len(d.Log())
	act()
	harness.Eventually(t, "the log to say "+done, func() error {
		text = d.Log()[before:]
		if _, rest, said := strings.Cut(text, done); !said || !strings.Contains(rest+"\n", "\n") {
			return fmt.Errorf("it says %q", text)
		}
		return nil
	})
	return text
}

// udpExpires returns the time that the shortest-lived UDP flow of a sandbox has left,
// in seconds.
func udpExpires(t *testing.T, e *harness.Env, sandbox string) float64 {
	t.Helper()
	var flows []struct {
		Sandbox string
		Proto   string  `json:"proto_name"`
		Expires float64 `json:"expires_seconds"`
	}
	e.JSON(t, &flows, "flow", "ls", "-o", "json")
	least := -1.0
	for _, f := range flows {
		if f.Sandbox == sandbox && f.Proto == "udp" && (least < 0 || f.Expires < least) {
			least = f.Expires
		}
	}
	return least
}

// dropsSomething has the LAN try a container's own address, and returns how many packets
// were refused for that.
func dropsSomething(t *testing.T, e *harness.Env, to *harness.Sandbox) uint64 {
	t.Helper()
	routeTo(t, e.LAN2, numA)
	before := e.Drops(t)
	harness.Misses(t, e.LAN2, to.IP(t, "a", harness.V4()), 80)
	e.Dropped(t, "direct_routing", before, 1)
	return e.Drops(t)["direct_routing"]
}

// stillDropped demands that a daemon that has just started knows of the packets, and
// that none of them is recent.
func stillDropped(t *testing.T, e *harness.Env, packets uint64) {
	t.Helper()
	var s struct {
		Recent struct {
			Seconds float64
			Drops   []struct{ Reason string }
		} `json:"recent_drops"`
	}
	harness.Eventually(t, "a look at the counters", func() error {
		if e.JSON(t, &s, "status", "-o", "json"); s.Recent.Seconds == 0 {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
	if now := e.Drops(t)["direct_routing"]; now < packets {
		t.Errorf("%d packets were dropped after a start of the daemon, %d before", now, packets)
	}
	for _, d := range s.Recent.Drops {
		if d.Reason == "direct_routing" {
			t.Errorf("what was dropped before the daemon's start is recent: %+v", s.Recent)
		}
	}
	if out := e.Must(t, "status"); !strings.Contains(out, "direct_routing") || !strings.Contains(out, "0 in the last ") {
		t.Errorf("status:\n%s", out)
	}
}
