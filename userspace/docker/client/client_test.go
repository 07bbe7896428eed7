// SPDX-License-Identifier: Apache-2.0

package client

import (
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

func TestNegotiate(t *testing.T) {
	for engine, want := range map[string]string{"1.41": "1.41", "1.55": newest, "2.0": newest, "": oldest, "x": oldest} {
		if got := negotiate(engine); got != want {
			t.Errorf("engine %q: %s, want %s", engine, got, want)
		}
	}
}

func TestSocketPath(t *testing.T) {
	for host, want := range map[string]string{"unix:///run/d.sock": "/run/d.sock", "/run/d.sock": "/run/d.sock", "tcp://h:1": "", "": "", "d.sock": ""} {
		got, err := SocketPath(host)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v, want %q", host, got, err, want)
		}
	}
}

// engine serves h at a socket.
func engine(t *testing.T, h http.Handler) *Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: h}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	c, err := New(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestAnswers(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/_ping", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Api-Version", "1.41") })
	mux.HandleFunc("/v1.41/networks", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `[{"Id":"x","Name":"n"}]`) })
	mux.HandleFunc("/v1.41/networks/gone", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, `{"message":"network gone not found"}`, http.StatusNotFound)
	})
	mux.HandleFunc("/v1.41/containers/json", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusInternalServerError) })
	mux.HandleFunc("/v1.41/version", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"Version":`) })
	mux.HandleFunc("/v1.41/events", func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.URL.Query().Get("filters"), "network") || r.URL.Query().Get("since") == "" {
			http.Error(w, "no", http.StatusBadRequest)
			return
		}
		_, _ = io.WriteString(w, `{"Type":"network","Action":"connect","Actor":{"ID":"x"}}`+"\n"+`{"Type":`)
	})
	c := engine(t, mux)
	if err := c.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	if list, err := c.Networks(t.Context()); err != nil || len(list) != 1 || list[0].Name != "n" {
		t.Errorf("networks %+v, %v", list, err)
	}
	if _, err := c.Network(t.Context(), "gone"); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "network gone not found") {
		t.Errorf("a network that is gone: %v", err)
	}
	if _, err := c.Containers(t.Context()); err == nil || errors.Is(err, ErrNotFound) {
		t.Errorf("an engine that fails: %v", err)
	}
	if _, err := c.Version(t.Context()); err == nil {
		t.Error("half an answer is taken")
	}
	s, err := c.Events(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if e, err := s.Next(); err != nil || e.Action != "connect" || e.Actor.ID != "x" {
		t.Errorf("event %+v, %v", e, err)
	}
	if _, err := s.Next(); err == nil {
		t.Error("half an event is taken")
	}
}

func TestNobodyListens(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none")
	c, err := New("unix://" + path)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Connect(t.Context()); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v, want the path in it", err)
	}
}
