// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fairway-project/fairway/test/harness"
)

// fakeDaemon answers a shim and remembers what it said.
type fakeDaemon struct {
	socket string
	said   chan string
}

func newFakeDaemon(t *testing.T, status int, body string) *fakeDaemon {
	t.Helper()
	d := &fakeDaemon{socket: filepath.Join(t.TempDir(), "s"), said: make(chan string, 4)}
	l, err := net.Listen("unix", d.socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		d.said <- r.Method + " " + r.URL.Path + " " + string(raw)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return d
}

// shim is a running docker-proxy as dockerd starts it.
type shim struct {
	*exec.Cmd
	status string
}

// startShim returns when the shim has told its status.
func startShim(t *testing.T, socket string, listen *os.File, args ...string) *shim {
	t.Helper()
	return startShimUnder(t, nil, socket, listen, args...)
}

// startShimUnder starts it by another command that becomes it.
func startShimUnder(t *testing.T, prefix []string, socket string, listen *os.File, args ...string) *shim {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	argv := append(append(slices.Clone(prefix), os.Getenv(envProxy)), args...)
	s := &shim{Cmd: exec.Command(argv[0], argv[1:]...)}
	s.Env = append(os.Environ(), "FAIRWAY_SOCKET="+socket)
	s.ExtraFiles = []*os.File{w}
	if listen != nil {
		s.ExtraFiles = append(s.ExtraFiles, listen)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	raw, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	s.status = string(raw)
	t.Cleanup(func() {
		_ = s.Process.Kill()
		_ = s.Wait()
	})
	return s
}

func (s *shim) end(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := errors.Join(s.Process.Signal(sig), s.Wait()); err != nil {
		t.Errorf("after %s: %v", sig, err)
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

func tuple(port string) []string {
	return []string{"-proto", "tcp", "-host-ip", "127.0.0.1", "-host-port", port, "-container-ip", "172.17.0.2", "-container-port", "80"}
}

func told(t *testing.T, d *fakeDaemon) string {
	t.Helper()
	select {
	case s := <-d.said:
		return s
	case <-time.After(harness.Patience):
		t.Fatal("the shim says nothing")
		return ""
	}
}

func TestShimHoldsAndReleases(t *testing.T) {
	d, port := newFakeDaemon(t, 200, "{}"), freePort(t)
	s := startShim(t, d.socket, nil, tuple(port)...)
	is(t, "status", s.status, "0\n")
	body := fmt.Sprintf(`{"pid":%d,"proto":"tcp","host_ip":"127.0.0.1","host_port":%s,"container_ip":"172.17.0.2","container_port":80}`, s.Process.Pid, port)
	is(t, "said", told(t, d), "POST /v1/docker/ports "+body)
	refuses(t, port)
	s.end(t, syscall.SIGINT)
	is(t, "said at the end", told(t, d), "DELETE /v1/docker/ports "+body)
	// The engine has died: the port is still wanted.
	s = startShim(t, d.socket, nil, tuple(port)...)
	told(t, d)
	s.end(t, syscall.SIGTERM)
	if len(d.said) > 0 {
		t.Errorf("said after SIGTERM: %s", told(t, d))
	}
}

// refuses demands that a port is held and that its connections fail at once.
func refuses(t *testing.T, port string) {
	t.Helper()
	if c, err := net.DialTimeout("tcp4", "127.0.0.1:"+port, harness.Patience); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a connection to the shim: %v, %v, want a refusal", c, err)
	}
	if l, err := net.Listen("tcp4", "0.0.0.0:"+port); err == nil {
		l.Close()
		t.Error("another program gets the port")
	}
}

// Engines from 28.0 hand over a socket that listens.
func TestShimTakesTheSocket(t *testing.T) {
	d := newFakeDaemon(t, 200, "{}")
	// By its number, as engines do: the kernel keeps only such a port for a socket
	// that ceases to listen.
	port := freePort(t)
	l, err := net.Listen("tcp4", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := startShim(t, d.socket, f, append(tuple(port), "-use-listen-fd")...)
	is(t, "status", s.status, "0\n")
	told(t, d)
	refuses(t, port)
	s.end(t, syscall.SIGINT)
}

func TestShimSaysWhyNot(t *testing.T) {
	refusing, port := newFakeDaemon(t, 409, `{"error":"published port is taken"}`), freePort(t)
	if s := startShim(t, refusing.socket, nil, tuple(port)...); s.status != "1\nfairway: published port is taken" {
		t.Errorf("refused: %q", s.status)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	if s := startShim(t, refusing.socket, nil, tuple(port)...); !strings.HasPrefix(s.status, "1\n") || !strings.Contains(s.status, "in use") {
		t.Errorf("port in use: %q", s.status)
	}
	l.Close()
	if s := startShim(t, refusing.socket, nil, append(tuple(port), "-new-flag", "x")...); !strings.Contains(s.status, "-new-flag") {
		t.Errorf("unknown flag: %q", s.status)
	}
	// Nobody listens: the container starts, and the daemon finds the shim later.
	if s := startShim(t, filepath.Join(t.TempDir(), "none"), nil, tuple(port)...); s.status != "0\n" {
		t.Errorf("without a daemon: %q", s.status)
	}
}
