// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// socket serves a driver as the daemon does.
func socket(t *testing.T) (path string, client *http.Client) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "s")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(open(t, newKernel(), t.TempDir()), slog.New(slog.DiscardHandler))
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		if err := errors.Join(s.Shutdown(context.Background()), <-served); err != nil {
			t.Error(err)
		}
	})
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}
	transport := &http.Transport{DialContext: dial}
	t.Cleanup(transport.CloseIdleConnections)
	return path, &http.Client{Transport: transport}
}

// sent sends a request and returns the answer.
func sent(t *testing.T, c *http.Client, method, path string, body io.Reader) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://plugin"+path, body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(raw)
}

// zeros is as much as is wanted of what isn't JSON.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// Whatever comes to the socket, the next request is answered.
func TestGarbageOnTheSocket(t *testing.T) {
	path, c := socket(t)
	activated := func(after string) {
		t.Helper()
		if code, got := sent(t, c, http.MethodPost, "/Plugin.Activate", nil); code != http.StatusOK || !strings.Contains(got, "NetworkDriver") {
			t.Fatalf("after %s: %d %s", after, code, got)
		}
	}
	for _, method := range []string{"GET", "PUT", "DELETE", "HEAD", "OPTIONS", "BREW"} {
		if code, got := sent(t, c, method, "/NetworkDriver.CreateNetwork", nil); code != http.StatusNotFound || method != "HEAD" && !strings.Contains(got, "not a call") {
			t.Errorf("%s: %d %s", method, code, got)
		}
	}
	for _, call := range []string{"/", "/NetworkDriver.Nope", "/IpamDriver.RequestPool", "/NetworkDriver.Join/x"} {
		if code, got := sent(t, c, http.MethodPost, call, nil); code != http.StatusNotFound || !strings.Contains(got, "not a call") {
			t.Errorf("%s: %d %s", call, code, got)
		}
	}
	activated("wrong methods and calls")
	if code, got := sent(t, c, http.MethodPost, "/NetworkDriver.CreateNetwork", io.LimitReader(zeros{}, maxBody+1)); code != http.StatusRequestEntityTooLarge || !strings.Contains(got, "more than") {
		t.Errorf("a huge body: %d %s", code, got)
	}
	activated("a huge body")
	for _, text := range []string{
		"\x16\x03\x01\x02\x00\x01\r\n\r\n", "GET\r\n\r\n", "POST /Plugin.Activate HTTP/9.9\r\n\r\n", "POST /Plugin.Activate HTTP/1.1\r\n\r\n",
		"POST /Plugin.Activate HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", "POST /Plugin.Activate HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"POST /Plugin.Activate HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 2<<20) + "\r\n\r\n",
	} {
		if code := raw(t, path, text); code < 400 || code > 599 {
			t.Errorf("%.40q: status %d", text, code)
		}
		activated("what isn't a request")
	}
}

// raw sends what may be no request, and returns the status of the answer.
func raw(t *testing.T, path, text string) int {
	t.Helper()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	// Who sends too much is answered before everything is read.
	go func() { _, _ = io.WriteString(c, text) }()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Errorf("%.40q: %v", text, err)
		return 0
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

// Clients that begin and don't go on keep nobody else from being served.
func TestHalfOpenRequests(t *testing.T) {
	path, c := socket(t)
	for i := range 300 {
		half, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer half.Close()
		begun := []string{"", "POST /Plug", "POST /NetworkDriver.CreateNetwork HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"}[i%3]
		if _, err := io.WriteString(half, begun); err != nil {
			t.Fatal(err)
		}
	}
	if code, got := sent(t, c, http.MethodPost, "/Plugin.Activate", nil); code != http.StatusOK {
		t.Errorf("%d %s", code, got)
	}
}
