// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
)

// exchange is one request and the answer to it, "null" where it has host ports that
// were free. Those of 20.10 were recorded as they are; those of 29.7 have the form
// and the order of captures with shortened IDs, which were filled in.
type exchange struct {
	Call, Body, Answer string
}

// recorded reads the life of one container with an engine: network, endpoint, ports and back.
func recorded(t testing.TB, engine string) (out []exchange) {
	t.Helper()
	raw, err := os.ReadFile("testdata/" + engine + ".ndjson")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		var e struct {
			Call         string
			Body, Answer json.RawMessage
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		out = append(out, exchange{e.Call, string(e.Body), string(e.Answer)})
	}
	return out
}

func engines() []string { return []string{"20.10", "29.7"} }

func world(t testing.TB) (*kernel, http.Handler, string) {
	t.Helper()
	k, dir := newKernel(), t.TempDir()
	return k, handler(open(t, k, dir), slog.New(slog.DiscardHandler)), dir
}

func expect(t *testing.T, h http.Handler, e exchange) {
	t.Helper()
	code, got := post(h, e.Call, e.Body)
	if code != http.StatusOK || e.Answer != "null" && got != e.Answer {
		t.Errorf("%s %s:\n%d %s\nwant %s", e.Call, e.Body, code, got, e.Answer)
	}
}

// Every request is answered as recorded, the first time and the second, and after
// the last one nothing is left.
func TestRecorded(t *testing.T) {
	for _, engine := range engines() {
		for _, times := range []int{1, 2, 3} {
			k, h, _ := world(t)
			for _, e := range recorded(t, engine) {
				for range times {
					expect(t, h, e)
				}
			}
			k.empty(t)
		}
	}
}

// A driver that is restarted between any two requests answers the same.
func TestRecordedAcrossRestarts(t *testing.T) {
	for _, engine := range engines() {
		k, dir := newKernel(), t.TempDir()
		for _, e := range recorded(t, engine) {
			d := open(t, k, dir)
			expect(t, handler(d, slog.New(slog.DiscardHandler)), e)
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
		}
		k.empty(t)
	}
}

// Backwards, or with any one request missing, no request makes the driver give up,
// and what ends a network ends all that is in it.
func TestWrongOrder(t *testing.T) {
	for _, engine := range engines() {
		all := recorded(t, engine)
		last := all[len(all)-1]
		for skip := range all {
			k, h, _ := world(t)
			for i, e := range all {
				if i != skip {
					wellBehaved(t, h, e)
				}
			}
			expect(t, h, last)
			k.empty(t)
		}
		k, h, _ := world(t)
		slices.Reverse(all)
		for _, e := range all {
			wellBehaved(t, h, e)
		}
		expect(t, h, last)
		k.empty(t)
	}
}

// wellBehaved demands success, or a refusal that Docker can show. What ends
// something always succeeds.
func wellBehaved(t *testing.T, h http.Handler, e exchange) {
	t.Helper()
	code, got := post(h, e.Call, e.Body)
	var f failure
	if err := json.Unmarshal([]byte(got), &f); err != nil {
		t.Fatalf("%s: %d %s: %v", e.Call, code, got, err)
	}
	ends := strings.Contains(e.Call, "Delete") || strings.HasSuffix(e.Call, "Leave") || strings.Contains(e.Call, "Revoke")
	if code != http.StatusOK && (f.Err == "" || ends) || code == http.StatusOK && f.Err != "" {
		t.Errorf("%s: %d %s", e.Call, code, got)
	}
}

// A datapath that refuses leaves no half of anything, and the same request works
// afterwards.
func TestFailingDatapath(t *testing.T) {
	for _, engine := range engines() {
		k, h, _ := world(t)
		for _, e := range recorded(t, engine) {
			k.fail = errors.New("table is full")
			devices := len(k.devices)
			if code, got := post(h, e.Call, e.Body); code != http.StatusOK && !strings.Contains(got, "table is full") {
				t.Errorf("%s: %d %s", e.Call, code, got)
			} else if code != http.StatusOK && strings.Contains(e.Call, "Create") && len(k.devices) != devices {
				t.Errorf("%s: %d devices, were %d", e.Call, len(k.devices), devices)
			}
			k.fail = nil
			expect(t, h, e)
		}
		k.empty(t)
	}
}

func TestNotACall(t *testing.T) {
	_, h, _ := world(t)
	for path, want := range map[string]int{
		"/NetworkDriver.Nothing": http.StatusNotFound, "/": http.StatusNotFound, "/NetworkDriver.AllocateNetwork": http.StatusBadRequest,
	} {
		if code, got := post(h, path, "{}"); code != want || !strings.HasPrefix(got, `{"Err":"`) {
			t.Errorf("%s: %d %s, want %d", path, code, got, want)
		}
	}
	large := `{"NetworkID":"` + strings.Repeat("a", maxBody) + `"}`
	if code, got := post(h, "/NetworkDriver.CreateNetwork", large); code != http.StatusRequestEntityTooLarge {
		t.Errorf("large body: %d %.100s", code, got)
	}
}
