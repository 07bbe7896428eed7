// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/test/root"
)

// alone gives the test a network namespace of its own: what is asked for may be any port.
func alone(t *testing.T) {
	t.Helper()
	// The thread ends with the test's goroutine, and the namespace with it.
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
}

// whole fails the test unless the driver remembers what the datapath was told, and nothing
// else.
func whole(t *testing.T, k *kernel, d *Driver) {
	t.Helper()
	for id := range k.networks {
		if d.records.Networks[id] == nil {
			t.Errorf("the datapath has network %s, the driver hasn't", id)
		}
	}
	for id, e := range d.records.Endpoints {
		_, carried := k.endpoints[id]
		if d.records.Networks[e.NetworkID] == nil || carried != (e.SandboxKey != "") {
			t.Errorf("endpoint %+v: known to the datapath: %v, network %v", e, carried, d.records.Networks[e.NetworkID])
		}
	}
	for id := range k.endpoints {
		if d.records.Endpoints[id] == nil {
			t.Errorf("the datapath has endpoint %s, the driver hasn't", id)
		}
	}
}

// answered fails the test unless the answer is one of the protocol's: carried out, or
// refused with a reason. Only the host may be the reason of anything else, as for a port
// that is taken.
func answered(t *testing.T, call, body string, code int, got string) {
	t.Helper()
	var f failure
	if err := json.Unmarshal([]byte(got), &f); err != nil {
		t.Errorf("%s %s: %d %q: %v", call, body, code, got, err)
	}
	host := code == http.StatusInternalServerError && call == "/NetworkDriver.ProgramExternalConnectivity"
	if code != http.StatusOK && (f.Err == "" || code != http.StatusBadRequest && !host) {
		t.Errorf("%s %s: %d %s", call, body, code, got)
	}
}

// names are all calls, in a stable order.
func names() []string { return slices.Sorted(maps.Keys(calls(nil))) }

// FuzzRequests sends requests to a driver with one container that publishes a port. Their
// seeds are what engines send, for that container.
func FuzzRequests(f *testing.F) {
	root.Need(f)
	for _, engine := range engines() {
		for _, e := range recorded(f, engine) {
			f.Add(uint8(slices.Index(names(), e.Call)), []byte(e.Body))
		}
	}
	f.Fuzz(func(t *testing.T, number uint8, body []byte) {
		alone(t)
		k, dir := newKernel(), t.TempDir()
		d := open(t, k, dir)
		h := handler(d, slog.New(slog.DiscardHandler))
		joined(t, h, "")
		program(t, h, `{"Proto":6,"Port":80}`)
		call := names()[int(number)%len(names())]
		for range 2 {
			code, got := post(h, call, string(body))
			answered(t, call, string(body), code, got)
			whole(t, k, d)
		}
		// It can read again what it wrote.
		whole(t, k, open(t, k, dir))
		for _, id := range slices.Collect(maps.Keys(d.records.Networks)) {
			must(t, h, "DeleteNetwork", `{"NetworkID":"`+id+`"}`)
		}
		k.empty(t)
	})
}

// A call with nothing of what it needs, or with something else in its place, is refused
// with a reason, and what there is stays.
func TestGarbageInRequests(t *testing.T) {
	root.Need(t)
	alone(t)
	deep := strings.Repeat(`{"Options":`, 20000)
	for _, call := range names() {
		k := newKernel()
		d := open(t, k, t.TempDir())
		h := handler(d, slog.New(slog.DiscardHandler))
		joined(t, h, "")
		for _, body := range []string{
			"", "null", "{}", "[]", `""`, "1", "{", "\x00\xff", `{"NetworkID":null}`, `{"NetworkID":1}`, `{"NetworkID":"` + strings.Repeat("a", 64) + `"}x`,
			`{"NetworkID":"x","EndpointID":[]}`, `{"Options":{"com.docker.network.generic":"x"}}`, `{"IPv4Data":{}}`, deep,
			ref("x", ""), ref(ep2, `,"Interface":null`), ref(ep2, `,"Interface":{"Address":"198.51.100.9"}`), ref(ep2, `,"Interface":{"Address":"198.51.100.9/24%eth0"}`),
			ref(ep2, `,"Interface":{"Address":"198.51.100.9/24","MacAddress":"x"}`), ref(ep1, `,"SandboxKey":7`),
			ref(ep1, `,"Options":{"com.docker.network.portmap":[{"Proto":6,"Port":65536}]}`),
			ref(ep1, `,"Options":{"com.docker.network.portmap":[{"Proto":6,"Port":80,"HostPort":-1}]}`),
			ref(ep1, `,"Options":{"com.docker.network.portmap":[{"Proto":6,"Port":80,"HostIP":"fe80::1%eth0"}]}`),
		} {
			code, got := post(h, call, body)
			answered(t, call, body, code, got)
			whole(t, k, d)
		}
		ends := strings.Contains(call, "Delete") || strings.HasSuffix(call, "Leave")
		if !ends && (len(k.networks) != 1 || len(k.endpoints) != 1) {
			t.Errorf("%s: networks %v, endpoints %v, want those that there were", call, k.networks, k.endpoints)
		}
	}
}
