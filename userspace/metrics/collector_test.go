// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"iter"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"

	"github.com/fairway-project/fairway/maps/drop"
	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
)

var update = flag.Bool("update", false, "write the golden files anew")

// fake is a Source with what it is told.
type fake struct {
	stats     datapath.Stats
	networks  []request.NetworkView
	sandboxes []request.SandboxView
	services  []request.ServiceView
	serviced  []datapath.ServiceStats
	carried   request.Carried
	degraded  []string

	statsErr, networksErr, sandboxesErr, servicedErr error
}

func (f *fake) Stats(context.Context) (datapath.Stats, error) { return f.stats, f.statsErr }
func (f *fake) Networks(context.Context) ([]request.NetworkView, error) {
	return f.networks, f.networksErr
}
func (f *fake) Services(context.Context) iter.Seq[request.ServiceView] {
	return slices.Values(f.services)
}
func (f *fake) ServiceStats(context.Context, ...string) ([]datapath.ServiceStats, error) {
	return f.serviced, f.servicedErr
}
func (f *fake) Carried(context.Context) (request.Carried, error) { return f.carried, nil }
func (f *fake) Degraded() []string                               { return f.degraded }
func (f *fake) Sandboxes(context.Context) ([]request.SandboxView, error) {
	return f.sandboxes, f.sandboxesErr
}

var testInfo = Info{Version: request.Version{Version: "v0.1.0", Commit: "4f0c", Go: "go1.26.0"}, Mode: datapath.EBPF}

func sandbox(name string, status model.Status, endpoints ...request.SandboxEndpoint) request.SandboxView {
	v := request.SandboxView{Sandbox: model.Sandbox{Name: name, State: model.State{Status: status}}, Endpoints: endpoints}
	return v
}

func endpoint(id, network string) request.SandboxEndpoint {
	return request.SandboxEndpoint{Endpoint: model.Endpoint{ID: id}, NetworkName: network}
}

func serving(name string, owner model.Owner, states ...model.BackendState) request.ServiceView {
	v := request.ServiceView{Service: model.Service{ID: name + " of " + string(owner), Name: name}, Owner: owner}
	for _, s := range states {
		v.Backends = append(v.Backends, request.ServiceBackendView{State: s})
	}
	return v
}

// host is a source with something of everything.
func host() *fake {
	web := sandbox("web", model.StatusRunning, endpoint("e1", "front"), endpoint("e2", "back"))
	web.Published = []model.PublishedPort{{
		Port: model.Port{Num: 80, Proto: model.TCP}, HostIP: netip.IPv4Unspecified(), HostPort: 8080,
	}}
	return &fake{
		networks:  make([]request.NetworkView, 5),
		degraded:  []string{"uplink nope: there is none", "docker: /run/docker.sock has not said yet what it has"},
		sandboxes: []request.SandboxView{web, sandbox("db", model.StatusExited)},
		services: []request.ServiceView{
			serving("shop", "", model.BackendActive, model.BackendActive, model.BackendDown), serving("idle", ""),
			// The same name in another network.
			serving("shop", "", model.BackendDraining),
		},
		serviced: []datapath.ServiceStats{
			{ServiceID: "shop of ", Flows: 40, Refused: 2}, {ServiceID: "shop of docker", Flows: 7, Strangers: 3}, {ServiceID: "idle of "},
			{ServiceID: "gone", Flows: 9},
		},
		carried: request.Carried{
			Services: []request.ServiceView{serving("shop", model.OwnerDocker, model.BackendActive)},
			Networks: []request.NetworkView{{Owner: model.OwnerDocker}, {Owner: model.OwnerDocker}, {Owner: model.OwnerDockerPlugin}},
			Containers: []request.SandboxView{
				{Owner: model.OwnerDocker, Sandbox: model.Sandbox{Name: "web", Published: web.Published}, Endpoints: []request.SandboxEndpoint{endpoint("d1", "front")}},
			},
		},
		stats: datapath.Stats{
			Forwarded: map[datapath.Path]datapath.Counter{datapath.PathEBPF: {Packets: 100, Bytes: 6400}},
			Drops: []datapath.Drop{
				{Reason: "icc", Direction: datapath.Transmit, Counter: datapath.Counter{Packets: 3, Bytes: 180}},
			},
			Endpoints: []datapath.EndpointCounters{
				{EndpointID: "e1", Receive: datapath.Counter{Packets: 10, Bytes: 1000}, Transmit: datapath.Counter{Packets: 20, Bytes: 2000}},
				{EndpointID: "e2", Receive: datapath.Counter{Packets: 1, Bytes: 60}},
				{EndpointID: "d1", Receive: datapath.Counter{Packets: 5, Bytes: 500}},
				{EndpointID: "gone", Receive: datapath.Counter{Packets: 7, Bytes: 70}},
			},
			Parked: map[datapath.Direction]datapath.Counter{datapath.Receive: {Packets: 2, Bytes: 3000}},
			Flows:  12, FlowLimit: 65536,
			Maps:       []datapath.Fill{{Map: "flows4", Entries: 24, Max: 131072}},
			Collection: datapath.Collection{Runs: 4, Expired: 2, Total: 1500 * time.Millisecond},
			Programs:   []datapath.ProgramStats{{Name: "from_container", Runs: 90, Redirected: 70, Passed: 15, Dropped: 5}},
		},
	}
}

func TestMetricsAreNamedAsPrometheusWantsThem(t *testing.T) {
	problems, err := testutil.CollectAndLint(NewCollector(host(), testInfo))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// gathered returns the exposition of source, which a pedantic registry has
// compared with the descriptions.
func gathered(t *testing.T, c *Collector) string {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(c)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&text, f); err != nil {
			t.Fatal(err)
		}
	}
	return text.String()
}

func TestEverythingIsExported(t *testing.T) {
	const golden = "testdata/metrics.golden"
	got := gathered(t, NewCollector(host(), testInfo))
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("exposition (-want +got):\n%s", diff)
	}
}

func TestEveryDropReasonIsThereBeforeTheFirstDrop(t *testing.T) {
	got := gathered(t, NewCollector(&fake{}, testInfo))
	for _, r := range drop.Reasons() {
		for _, d := range []datapath.Direction{datapath.Receive, datapath.Transmit} {
			line := `fairway_dropped_packets_total{direction="` + string(d) + `",reason="` + r.Name + `"} 0`
			if !strings.Contains(got, line+"\n") {
				t.Errorf("missing: %s", line)
			}
		}
	}
}

func TestScrapeGoesOnPastErrors(t *testing.T) {
	broken := errors.New("broken")
	f := host()
	f.statsErr, f.networksErr = broken, broken
	c := NewCollector(f, testInfo)
	got := gathered(t, c)
	for _, line := range []string{
		"fairway_scrape_errors_total 2", "fairway_flows 12", `fairway_endpoints{owner="fairway"} 2`,
		`fairway_container_transmit_bytes_total{name="web",network="front",owner="fairway"} 2000`,
	} {
		if !strings.Contains(got, line+"\n") {
			t.Errorf("missing: %s", line)
		}
	}
	if strings.Contains(got, `fairway_networks{owner="fairway"}`) {
		t.Error("the number of networks is exported although it couldn't be read")
	}
	f.sandboxesErr, f.servicedErr = broken, broken
	if got := gathered(t, c); !strings.Contains(got, "fairway_scrape_errors_total 6\n") {
		t.Errorf("errors don't add up:\n%s", got)
	}
}

func TestHandlerAnswersAScrape(t *testing.T) {
	f := host()
	f.networksErr = errors.New("broken")
	rec := httptest.NewRecorder()
	Handler(f, testInfo).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if rec.Code != http.StatusOK {
		t.Fatalf("status %d: %s", rec.Code, rec.Body)
	}
	for _, want := range []string{
		`fairway_build_info{commit="4f0c",datapath="ebpf",goversion="go1.26.0",version="v0.1.0"} 1`,
		"process_resident_memory_bytes ", "go_goroutines ",
	} {
		if !strings.Contains(rec.Body.String(), "\n"+want) {
			t.Errorf("missing: %s", want)
		}
	}
}

// However many services there are, so many names are in metrics at most; those that can't
// serve are among them, and no backend is lost.
func TestManyServices(t *testing.T) {
	f := &fake{}
	for i := range 3 * maxNamed {
		name := fmt.Sprintf("s%05d", i)
		f.services = append(f.services, serving(name, "", model.BackendActive, model.BackendDown))
		f.serviced = append(f.serviced, datapath.ServiceStats{ServiceID: name + " of ", Flows: uint64(i)})
	}
	f.services = append(f.services, serving("zz", ""))
	f.serviced = append(f.serviced, datapath.ServiceStats{ServiceID: "zz of ", Flows: 1})
	got := gathered(t, NewCollector(f, testInfo))
	for series, want := range map[string]int{"fairway_service_backends{": 3 * (maxNamed + 1), "fairway_service_flows_total{": maxNamed, "fairway_service_flows_refused_total{": 2 * maxNamed} {
		if n := strings.Count(got, series); n != want {
			t.Errorf("%d series of %s, want %d", n, series, want)
		}
	}
	for _, line := range []string{
		`fairway_service_backends{owner="fairway",service="zz",state="active"} 0`,
		fmt.Sprintf(`fairway_service_backends{owner="fairway",service="",state="active"} %d`, 2*maxNamed+1),
		`fairway_service_flows_total{owner="fairway",service="s00999"} 999`,
	} {
		if !strings.Contains(got, line+"\n") {
			t.Errorf("missing: %s", line)
		}
	}
}

// Which services have counts follows from their names: one that can't be read takes none of its
// sums down, and gives nobody else its place.
func TestServicesThatArentRead(t *testing.T) {
	f := &fake{}
	for i := range maxNamed + 1 {
		name := fmt.Sprintf("s%05d", i)
		f.services = append(f.services, serving(name, ""))
		f.serviced = append(f.serviced, datapath.ServiceStats{ServiceID: name + " of ", Flows: 7})
	}
	// The first is of two networks.
	other := f.services[0]
	other.ID = "other"
	f.services = append(f.services, other)
	got := gathered(t, NewCollector(f, testInfo))
	if n := strings.Count(got, "fairway_service_flows_total{"); n != maxNamed-1 {
		t.Errorf("%d series, want %d", n, maxNamed-1)
	}
	for _, name := range []string{"s00000", fmt.Sprintf("s%05d", maxNamed)} {
		if strings.Contains(got, `fairway_service_flows_total{owner="fairway",service="`+name) {
			t.Errorf("%s has counts", name)
		}
	}
}
