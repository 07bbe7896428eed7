// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairway-project/fairway/userspace/api"
	"github.com/fairway-project/fairway/userspace/api/apitest"
)

const dockerPort = `{"pid":7,"proto":"tcp","host_ip":"::","host_port":80,"container_ip":"172.17.0.2","container_port":80}`

func dockerCall(method, body string) string {
	return fmt.Sprintf("%s /v1/docker/ports HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", method, len(body), body)
}

func TestDockerPorts(t *testing.T) {
	socket := apitest.Serve(t, apitest.NewFake(t), slog.New(slog.DiscardHandler))
	other := strings.Replace(dockerPort, `"pid":7`, `"pid":8`, 1)
	for _, step := range []struct {
		method, body string
		status       int
		text         string
	}{
		{"POST", dockerPort, 200, "{}"},
		{"POST", other, 409, "host port 80 is process 7's"},
		{"DELETE", other, 200, "{}"},
		{"POST", other, 409, "process 7's"},
		{"DELETE", dockerPort, 200, "{}"},
		{"POST", other, 200, "{}"},
		{"POST", strings.Replace(other, "172.17", "10.1", 1), 200, `{"internal":true}`},
		{"POST", strings.Replace(dockerPort, "tcp", "icmp", 1), 400, `icmp`},
		{"POST", strings.Replace(dockerPort, `"pid":7`, `"pid":0`, 1), 400, "pid 0"},
		{"POST", strings.Replace(dockerPort, `"::"`, `""`, 1), 400, "host_ip"},
		{"POST", strings.Replace(dockerPort, `"host_port":80`, `"host_port":0`, 1), 400, "host_port 0"},
		{"POST", "", 400, "pid 0"},
	} {
		status, body, _ := send(t, socket, dockerCall(step.method, step.body))
		if status != step.status || !strings.Contains(body, step.text) {
			t.Errorf("%s %s: %d %s, want %d with %q", step.method, step.body, status, body, step.status, step.text)
		}
	}
}

func TestDockerPortsWithoutDocker(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := api.NewServer(apitest.NewFake(t), slog.New(slog.DiscardHandler), nil)
	defer server.Close()
	go server.Serve(l)
	if status, body, _ := send(t, path, dockerCall("POST", dockerPort)); status != 409 || !strings.Contains(body, "--docker") {
		t.Errorf("%d %s, want 409 that names --docker", status, body)
	}
}
