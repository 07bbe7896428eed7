// SPDX-License-Identifier: Apache-2.0

package health

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairway-project/fairway/userspace/model"
)

func addrOf(t *testing.T, a net.Addr) netip.AddrPort {
	t.Helper()
	return a.(*net.TCPAddr).AddrPort()
}

func TestProbeTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	target := Target{Addr: addrOf(t, l.Addr()), Check: model.Health{Kind: model.HealthTCP, Timeout: time.Minute}}
	p := newProber()
	if err := p.probe(t.Context(), target); err != nil {
		t.Error(err)
	}
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("the server reads %d bytes, %v", n, err)
	}
	c.Close()
	l.Close()
	if err := p.probe(t.Context(), target); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("nobody listens: %v", err)
	}
}

func TestProbeHTTP(t *testing.T) {
	var connections, followed atomic.Int32
	mux := http.NewServeMux()
	status := func(path string, code int) {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
	}
	status("/ok", http.StatusOK)
	status("/nothing", http.StatusNoContent)
	status("/busy", http.StatusServiceUnavailable)
	status("/lost", http.StatusNotFound)
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/followed", http.StatusFound) })
	mux.HandleFunc("/followed", func(http.ResponseWriter, *http.Request) { followed.Add(1) })
	mux.HandleFunc("/query", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery != "deep=1" || r.UserAgent() != userAgent || r.Method != http.MethodGet {
			w.WriteHeader(http.StatusTeapot)
		}
	})
	mux.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) {
		for b := make([]byte, 4096); r.Context().Err() == nil; {
			if _, err := w.Write(b); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/silent", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/header", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 2*maxHeader)) })
	server := httptest.NewUnstartedServer(mux)
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	p := newProber()
	for _, c := range []struct{ path, want string }{
		{"/ok", ""},
		{"/nothing", ""},
		{"/moved", ""},
		{"/query?deep=1", ""},
		{"/endless", ""},
		{"/busy", "status 503"},
		{"/lost", "status 404"},
		{"/header", "header"},
		{"/silent", "no answer"},
	} {
		before := connections.Load()
		target := Target{Addr: addrOf(t, server.Listener.Addr()), Check: model.Health{Kind: model.HealthHTTP, Path: c.path, Timeout: time.Minute}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		if c.path == "/silent" {
			ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
		}
		err := p.probe(ctx, target)
		cancel()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.path, err, c.want)
		}
		if connections.Load() != before+1 {
			t.Errorf("%s: %d new connections", c.path, connections.Load()-before)
		}
	}
	if followed.Load() != 0 {
		t.Error("a redirection was followed")
	}
}

// With real backends, of which one comes, goes and comes back.
func TestCheckerOfListeners(t *testing.T) {
	news := make(chan Verdict, 100)
	c := New(Config{Tell: func(v Verdict) { news <- v }})
	defer c.Close()
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	addr := addrOf(t, server.Listener.Addr())
	check := model.Health{Kind: model.HealthHTTP, Path: "/", Interval: 10 * time.Millisecond, Timeout: time.Minute, Rise: 1, Fall: 1}
	c.Set("web", map[string]Target{"a": {Addr: addr, Check: check}})
	until := func(healthy bool) {
		t.Helper()
		for late := time.After(time.Minute); ; {
			select {
			case v := <-news:
				if v.Healthy == healthy {
					return
				}
			case <-late:
				t.Fatalf("healthy isn't %t within a minute", healthy)
			}
		}
	}
	until(true)
	server.Close()
	until(false)
	l, err := net.Listen("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	back := &httptest.Server{Listener: l, Config: &http.Server{Handler: server.Config.Handler}}
	back.Start()
	defer back.Close()
	until(true)
}

// A check that fails in the same way has the same reason, from whatever port it came.
func TestReasonHasNoPortOfTheCheck(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			// With what came unread, closing resets the connection.
			_, _ = c.Read(make([]byte, 1))
			_ = c.(*net.TCPConn).SetLinger(0)
			c.Close()
		}
	}()
	at := netip.MustParseAddrPort(l.Addr().String())
	target := Target{Addr: at, Check: model.Health{Kind: model.HealthHTTP, Path: "/", Timeout: time.Minute}}
	want := "read tcp " + at.String() + ": read: connection reset by peer"
	for range 2 {
		if err := newProber().probe(t.Context(), target); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
