// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fairway-project/fairway/userspace/api"
	"github.com/fairway-project/fairway/userspace/api/apitest"
	"github.com/fairway-project/fairway/userspace/request"
)

// send writes raw bytes to the socket and returns what comes back.
func send(t *testing.T, socket, request string) (status int, body string, header http.Header) {
	t.Helper()
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go io.WriteString(conn, request)
	resp, err := http.ReadResponse(newReader(conn), nil)
	if err != nil {
		t.Fatalf("%.100q: %v", request, err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(raw)), resp.Header
}

func plainRequest(line, body string) string {
	return line + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: " + itoa(len(body)) + "\r\n\r\n" + body
}

func TestErrorAnswers(t *testing.T) {
	var log bytes.Buffer
	fake := apitest.NewFake(t)
	fake.Panic = true
	socket := apitest.Serve(t, fake, slog.New(slog.NewTextHandler(&log, nil)))
	huge := `{"name":"` + strings.Repeat("x", api.MaxBody) + `"}`
	for _, tc := range []struct {
		line, body string
		status     int
		want       string
	}{
		{"GET /", "", 404, "no such path: /"},
		{"GET /v2/networks", "", 404, "no such path"},
		{"GET /v1/networks/", "", 404, "no such path"},
		{"GET /v1/networks/../../etc/passwd", "", 404, "no such path"},
		{"GET /v1/networks/..%2f..%2fetc%2fpasswd", "", 404, "no such path"},
		{"GET /v1/sandboxes/x%2fy", "", 404, "sandbox x/y not found"},
		{"GET /v1//networks", "", 404, "no such path"},
		{"GET /v1/networks/nope", "", 404, "network nope not found"},
		{"PUT /v1/networks", "", 405, "method PUT not allowed; want GET, HEAD, POST"},
		{"DELETE /v1/version", "", 405, "method DELETE not allowed"},
		{"POST /v1/networks", `{"name":"bridge"}`, 409, "network with name bridge already exists"},
		{"POST /v1/networks", `{"name":"../../etc"}`, 400, `network name \"../../etc\": want letters`},
		{"POST /v1/networks", `{"nmae":"a"}`, 400, `field \"nmae\": unknown`},
		{"POST /v1/networks", `{"name":7}`, 400, `field \"name\": 7: want a string`},
		{"POST /v1/networks", `{"name":"a"`, 400, "ends too early"},
		{"POST /v1/networks", `[]`, 400, "request body: []: want an object"},
		{"POST /v1/networks", "", 400, "network name is missing"},
		{"POST /v1/networks", huge, 413, "larger than 1048576 bytes"},
		{"GET /v1/networks?filter=colour=red", "", 400, `filter \"colour\": unknown key; want one of dangling`},
		{"GET /v1/networks?filter=name", "", 400, `want KEY=VALUE`},
		{"GET /v1/networks?fliter=name=a", "", 400, `query parameter \"fliter\": unknown`},
		{"GET /v1/sandboxes?all=maybe", "", 400, `query parameter \"all\": value \"maybe\"`},
		{"GET /v1/sandboxes?filter=status=dead", "", 400, `filter status=dead: want one of created, running, exited`},
		{"POST /v1/networks/prune?filter=until=soon", "", 400, "filter until=soon"},
		{"DELETE /v1/networks/host", "", 400, "pre-defined"},
		{"GET /v1/services/nope", "", 404, "service nope not found"},
		{"GET /v1/services/nope/backends", "", 404, "service nope not found"},
		{"GET /v1/services?filter=network=nope", "", 400, "filter network=nope: there is none of that name; want one of bridge"},
		{"GET /v1/services?filter=name=(", "", 400, "want a part of the name, or a regular expression"},
		{"GET /v1/services/nope/backends?filter=state=dead", "", 400, "filter state=dead: want one of active, draining, down"},
		{"POST /v1/services", `{"nmae":"a"}`, 400, `field \"nmae\": unknown`},
		{"POST /v1/services", `{"name":"a","networks":"front"}`, 400, `field \"networks\": \"front\": want a list`},
		{"POST /v1/services", `{"name":"a","networks":["bridge"],"sources":["192.0.2.1"]}`, 400, `field \"sources[0]\"`},
		{"POST /v1/services", `{"name":"a","networks":["front"],"ports":["80"]}`, 404, "network front not found"},
		{"PATCH /v1/services/nope", `{"ports":80}`, 400, `field \"ports\": 80: want a list`},
		{"PATCH /v1/services/nope", `{"name":"other"}`, 400, `field \"name\": unknown`},
		{"PATCH /v1/services/nope", `{}`, 404, "service nope not found"},
		{"PUT /v1/services/nope", `{}`, 405, "method PUT not allowed; want DELETE, GET, HEAD, PATCH"},
		{"DELETE /v1/services/nope", "", 404, "service nope not found"},
		{"POST /v1/services/nope/drain", `{"backend":"web"}`, 404, "service nope not found"},
		{"POST /v1/sandboxes/run?attach=1", `{"command":["a"]}`, 400, "Upgrade: fairway-stdio"},
		{"GET /v1/doctor", "", 500, "internal error"},
		{"GET /v1/version", "", 200, "version"},
	} {
		status, body, header := send(t, socket, plainRequest(tc.line, tc.body))
		if status != tc.status || !strings.Contains(body, tc.want) {
			t.Errorf("%s %.60s: got %d %.300s; want %d with %q", tc.line, tc.body, status, body, tc.status, tc.want)
		}
		if got := header.Get("Content-Type"); got != "application/json" {
			t.Errorf("%s: content type %q", tc.line, got)
		}
		if tc.status >= 400 && !strings.HasPrefix(body, `{"error":"`) {
			t.Errorf("%s: answer %q is no error object", tc.line, body)
		}
	}
	if !strings.Contains(log.String(), "made by a test") {
		t.Errorf("the panic is not in the log: %s", log.String())
	}
}

func TestListen(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "run", api.SocketName)
	if err := os.Mkdir(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	// What a daemon that was killed leaves behind.
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()
	l, err := api.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o660 {
		t.Errorf("%s has mode %o; want 660", path, info.Mode().Perm())
	}
	occupied := filepath.Join(dir, "file")
	if err := os.WriteFile(occupied, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := api.Listen(occupied); err == nil || !strings.Contains(err.Error(), "something else is there") {
		t.Errorf("over a file: %v", err)
	}
	if _, err := api.Listen(filepath.Join(dir, strings.Repeat("x", 120))); err == nil || !strings.Contains(err.Error(), "at most 107") {
		t.Errorf("over-long path: %v", err)
	}
}

func TestUnreachable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none.sock")
	client := api.NewClient(path)
	want := "cannot reach the daemon at " + path + `: no such file or directory; is "fairway daemon" running?`
	_, err := client.Version(t.Context())
	if !errors.Is(err, api.ErrUnreachable) || err.Error() != want {
		t.Errorf("got %v; want %s", err, want)
	}
	_, err = client.RunAttached(t.Context(), request.Run{}, nil)
	if !errors.Is(err, api.ErrUnreachable) || err.Error() != want {
		t.Errorf("attached: got %v; want %s", err, want)
	}
}

func TestClientTellsKinds(t *testing.T) {
	socket := apitest.Serve(t, apitest.NewFake(t), slog.New(slog.DiscardHandler))
	client := api.NewClient(socket)
	defer client.Close()
	for _, tc := range []struct {
		err  error
		want error
	}{
		{client.RemoveNetwork(t.Context(), "nope"), request.ErrNotFound},
		{client.RemoveNetwork(t.Context(), "../host"), request.ErrNotFound},
		{client.RemoveNetwork(t.Context(), ".."), request.ErrNotFound},
		{client.RemoveNetwork(t.Context(), ""), request.ErrNotFound},
		{client.RemoveNetwork(t.Context(), "host"), request.ErrInvalid},
		{second(client.CreateNetwork(t.Context(), request.NetworkCreate{Name: "host"})), request.ErrConflict},
		{second(client.CreateNetwork(t.Context(), request.NetworkCreate{Name: strings.Repeat("x", api.MaxBody)})), request.ErrTooLarge},
	} {
		if !errors.Is(tc.err, tc.want) {
			t.Errorf("got %v; want %v", tc.err, tc.want)
		}
	}
}

func TestFlowsStreamEndsWithItsError(t *testing.T) {
	fake := apitest.NewFake(t)
	fake.FlowError = errors.New("table went away")
	socket := apitest.Serve(t, fake, slog.New(slog.DiscardHandler))
	client := api.NewClient(socket)
	defer client.Close()
	read := func() (n int, err error) {
		for _, err := range client.Flows(t.Context()) {
			if err != nil {
				return n, err
			}
			n++
		}
		return n, nil
	}
	if n, err := read(); n != 0 || err == nil || err.Error() != "table went away" {
		t.Errorf("before the first: got %d, %v", n, err)
	}
	fake.FlowList = make([]request.FlowView, 1000)
	if n, err := read(); n != 1000 || err == nil || err.Error() != "table went away" {
		t.Errorf("after a thousand: got %d, %v", n, err)
	}
}

func TestShutdownEndsServe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := api.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	server := api.NewServer(apitest.NewFake(t), slog.New(slog.DiscardHandler), nil)
	done := make(chan error)
	go func() { done <- server.Serve(l) }()
	if err := server.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left behind: %v", err)
	}
}

// waited tells when somebody waits.
type waited struct {
	*apitest.Fake
	began chan struct{}
}

func (w waited) Wait(ctx context.Context, ref string) (int, error) {
	close(w.began)
	return w.Fake.Wait(ctx, ref)
}

// The end of a process may be days off, and a daemon's restart not wait for it.
func TestShutdownEndsWaits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := api.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	backend := waited{apitest.NewFake(t), make(chan struct{})}
	server := api.NewServer(backend, slog.New(slog.DiscardHandler), nil)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	client := api.NewClient(path)
	defer client.Close()
	_, err = client.Run(t.Context(), request.Run{SandboxConfig: request.SandboxConfig{Name: "a"}, Command: []string{"sleep", "1000"}})
	if err != nil {
		t.Fatal(err)
	}
	answer := make(chan error, 1)
	go func() {
		_, err := client.Wait(t.Context(), "a")
		answer <- err
	}()
	<-backend.began
	if err := errors.Join(server.Shutdown(t.Context()), <-served); err != nil {
		t.Error(err)
	}
	var told *api.Error
	if err := <-answer; !errors.As(err, &told) || told.Status != http.StatusServiceUnavailable || told.Message != request.ErrEnding.Error() {
		t.Errorf("the wait got %v, want ErrEnding", err)
	}
}

// Nor does a restart wait for who follows a log and doesn't read on.
func TestShutdownLeavesFollowerOfLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := api.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	server := api.NewServer(apitest.NewFake(t), slog.New(slog.DiscardHandler), nil)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	client := api.NewClient(path)
	defer client.Close()
	_, err = client.Run(t.Context(), request.Run{SandboxConfig: request.SandboxConfig{Name: "a"},
		Command: []string{"sh", "-c", "yes | head -c 16M; exec sleep 1000"}})
	if err != nil {
		t.Fatal(err)
	}
	output, err := client.Logs(t.Context(), "a", request.Logs{Follow: true, Tail: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer output.Close()
	if _, err := io.CopyN(io.Discard, output, 4<<20); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := errors.Join(server.Shutdown(ctx), <-served); err != nil {
		t.Error(err)
	}
}

func TestUninstallTellsTheServersOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := api.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan struct{})
	server := api.NewServer(apitest.NewFake(t), slog.New(slog.DiscardHandler), func() { close(told) })
	go server.Serve(l)
	defer server.Close()
	var removed []string
	err = api.NewClient(path).Uninstall(t.Context(), true, func(line string) { removed = append(removed, line) })
	if err != nil || len(removed) != 1 {
		t.Errorf("got %q, %v", removed, err)
	}
	<-told
}
