// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairway-project/fairway/userspace/api"
	"github.com/fairway-project/fairway/userspace/api/apitest"
	"github.com/fairway-project/fairway/userspace/request"
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

// What is kept first stays. Who means another daemon's state is refused.
func TestDockerConfig(t *testing.T) {
	fake := apitest.NewFake(t)
	client := api.NewClient(apitest.Serve(t, fake, slog.New(slog.DiscardHandler)))
	defer client.Close()
	own := api.DockerConfigs{Client: client, Root: fake.Root}
	expect := func(what string, want []byte, is bool) {
		t.Helper()
		if content, kept, err := own.Kept(t.Context()); err != nil || kept != is || !bytes.Equal(content, want) {
			t.Errorf("%s: kept %q (%t), %v", what, content, kept, err)
		}
	}
	expect("at first", nil, false)
	for _, content := range []string{"{\"a\": 1}\n", "other"} {
		if err := own.Keep(t.Context(), []byte(content)); err != nil {
			t.Fatal(err)
		}
		expect("kept", []byte("{\"a\": 1}\n"), true)
	}
	for _, root := range []string{"", t.TempDir(), "/nowhere"} {
		other := api.DockerConfigs{Client: client, Root: root}
		_, _, err := other.Kept(t.Context())
		for _, err := range []error{err, other.Keep(t.Context(), nil), other.Forget(t.Context())} {
			if !errors.Is(err, request.ErrConflict) {
				t.Errorf("root %q: %v", root, err)
			}
		}
	}
	expect("still kept", []byte("{\"a\": 1}\n"), true)
	if err := own.Forget(t.Context()); err != nil {
		t.Fatal(err)
	}
	expect("forgotten", nil, false)
	if err := own.Keep(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	expect("a file that wasn't there", nil, true)
}
