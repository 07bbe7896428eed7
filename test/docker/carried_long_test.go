// SPDX-License-Identifier: Apache-2.0

//go:build long

package docker

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairway-project/fairway/test/harness"
)

// TestLongCarriedWithoutEvents starts containers whose ports are carried by what their proxies and
// the kernel say, though the daemon hears of no event.
func TestLongCarriedWithoutEvents(t *testing.T) {
	onEngines(t, func(t *testing.T, d *engine) {
		d.start()
		d.importImage()
		d.Daemon.Args = append(d.Daemon.Args, "--docker=unix://"+d.withoutEvents(t))
		d.Daemon.Start(t)
		for i := range 20 {
			name := fmt.Sprintf("c%d", i)
			d.docker("run", "-d", "--name", name, "-p", "7000:80", "-p", "7001:80/udp", image, "/peer", "serve", "80", name)
			d.carries("tcp 0.0.0.0:7000", "udp 0.0.0.0:7001", "tcp [::]:7000", "udp [::]:7001")
			d.ready(name)
			d.answersAtOnce(harness.HostIP4+":7000", name)
			d.docker("rm", "-f", name)
		}
	})
}

// withoutEvents returns a socket that leads to the engine's, but for the engine's events.
func (d *engine) withoutEvents(t *testing.T) (socket string) {
	t.Helper()
	socket = filepath.Join(d.dir, "quiet")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: "docker"})
	proxy.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", d.socket)
	}}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/events") {
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			return
		}
		proxy.ServeHTTP(w, r)
	})}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return socket
}
