// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode"

	"github.com/fairway-project/fairway/userspace/api"
	"github.com/fairway-project/fairway/userspace/api/apitest"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
	"github.com/fairway-project/fairway/userspace/sandbox"
)

// inert is a Fake that starts no process: what it would start is random.
type inert struct{ *apitest.Fake }

func (inert) Run(context.Context, request.Run, *request.Stdio) (request.SandboxView, request.Process, error) {
	return request.SandboxView{}, nil, &sandbox.StartError{Code: sandbox.CodeNotFound, Message: "not started"}
}

func (inert) Exec(context.Context, string, request.Exec, *request.Stdio) (request.Process, error) {
	return nil, &sandbox.StartError{Code: sandbox.CodeNotFound, Message: "not started"}
}

// FuzzRequests sends any method, target and body to the handler: no request is the
// daemon's own failure, and each answer is what docs/api.md says of answers.
func FuzzRequests(f *testing.F) {
	for _, seed := range [][3]string{
		{"GET", "/v1/networks?filter=name=fr%26%5Bont&filter=label=tier=front", ""},
		{"GET", "/v1/networks?filter=id=(", ""},
		{"POST", "/v1/networks", `{"name":"n","ipam":[{"subnet":"172.20.0.0/16","gateway":"172.20.0.1","aux_addresses":{"a":"172.20.0.5"}}],"options":{"com.docker.network.bridge.name":"br0"}}`},
		{"POST", "/v1/networks", `{"name":"n","ipam":[{}],"labels":{"":""}}`},
		{"POST", "/v1/networks/prune?filter=until=24h&filter=label!=x", ""},
		{"DELETE", "/v1/networks/front", ""},
		{"POST", "/v1/networks/front/connect", `{"sandbox":"web","ipv4":"172.20.0.9","aliases":["a"],"mac_address":"02:42:00:00:00:01"}`},
		{"POST", "/v1/networks/front/disconnect", `{"sandbox":"web","force":true}`},
		{"GET", "/v1/sandboxes?all=1&filter=status=exited&filter=network=front", ""},
		{"POST", "/v1/sandboxes/run", `{"name":"x","command":["true"],"publish":["127.0.0.1:8080-8081:80-81/udp"],"networks":[{"network":"front"}],"env":["A=B"]}`},
		{"POST", "/v1/sandboxes/run?attach=1", `{"command":["true"]}`},
		{"POST", "/v1/sandboxes/add", `{"name":"vm","netns":"/run/netns/vm","networks":[{"network":"container:web"}]}`},
		{"POST", "/v1/sandboxes/web/exec", `{"command":["id"],"workdir":"/"}`},
		{"POST", "/v1/sandboxes/web/stop", `{"timeout":1,"signal":"KILL"}`},
		{"POST", "/v1/sandboxes/web/wait", ""},
		{"GET", "/v1/sandboxes/web/ports", ""},
		{"DELETE", "/v1/sandboxes/web?force=1", ""},
		{"POST", "/v1/docker/ports", `{"pid":1,"proto":"tcp","host_ip":"0.0.0.0","host_port":80,"container_ip":"10.0.0.1","container_port":80}`},
		{"GET", "/v1/services?filter=network=front&filter=backend=web", ""},
		{"POST", "/v1/services", `{"name":"s","networks":["front"],"ports":["80:8080/udp"],"publish":["127.0.0.1:81:80/udp"],"backends":["web:1,weight=2"],"affinity":"client-ip,timeout=1h","health":"http:/,port=8,rise=1","drain":"1s","sources":["10.0.0.0/8"]}`},
		{"PATCH", "/v1/services/shop", `{"selector":{"a":"b"},"drain":"0s","publish":[],"scheduler":"random"}`},
		{"GET", "/v1/services/shop", ""}, {"GET", "/v1/services/shop/backends?filter=state=down", ""},
		{"POST", "/v1/services/shop/drain", `{"backend":"web","undo":true}`},
		{"GET", "/v1/flows", ""}, {"GET", "/v1/status", ""}, {"GET", "/v1/ports", ""},
		{"POST", "/v1/uninstall", `{"force":true,"purge":true}`},
		{"PUT", "/v1/../x%2fy?;=%zz", "{"},
	} {
		f.Add(seed[0], seed[1], []byte(seed[2]))
	}
	f.Fuzz(func(t *testing.T, method, target string, body []byte) {
		r, err := http.NewRequest(method, target, bytes.NewReader(body))
		if err != nil || !strings.HasPrefix(r.URL.Path, "/") {
			return // no server of net/http would hand it on
		}
		fake := apitest.NewFake(t)
		fake.AddNetwork(model.Network{Name: "front", Driver: model.DriverBridge, Labels: map[string]string{"tier": "front"}})
		fake.AddSandbox(request.SandboxView{Sandbox: model.Sandbox{Name: "web", Mode: model.ModeNetworks}})
		fake.AddService(request.ServiceView{Service: model.Service{Name: "shop"}, Backends: []request.ServiceBackendView{{Name: "web", State: model.BackendDown}}})
		w := httptest.NewRecorder()
		api.Handler(inert{fake}, slog.New(slog.NewTextHandler(failing{t}, nil))).ServeHTTP(w, r)
		if method != http.MethodHead {
			checkAnswer(t, w.Result())
		}
	})
}

// failing makes what is logged fail the test: panics, and errors without a kind.
type failing struct{ testing.TB }

func (f failing) Write(p []byte) (int, error) {
	f.Errorf("logged: %s", p)
	return len(p), nil
}

func checkAnswer(t *testing.T, resp *http.Response) {
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode == http.StatusInternalServerError {
		t.Errorf("%s: %s", resp.Status, body)
	}
	for line := range bytes.Lines(body) {
		if !json.Valid(line) {
			t.Errorf("%s: not JSON: %q", resp.Status, line)
		}
	}
	if resp.StatusCode < http.StatusBadRequest {
		return
	}
	var told struct{ Error string }
	if err := json.Unmarshal(body, &told); err != nil || told.Error == "" || strings.ContainsFunc(told.Error, unicode.IsControl) {
		t.Errorf("%s: %q (%v), want one line that says why", resp.Status, body, err)
	}
}
