// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/net/netutil"
	"golang.org/x/sys/unix"
)

// Limits on clients of the metrics, who may be whoever reaches the address.
const (
	askTimeout    = 5 * time.Second
	bodyTimeout   = 30 * time.Second // nobody needs a body; it also bounds the look at the datapath
	readTimeout   = time.Minute      // of the answer
	betweenScrape = 3 * time.Minute
	maxScrapers   = 64 // the next ones wait
)

// checkMetrics refuses what can't be an address; one that is taken is found later.
func (c *Config) checkMetrics() error {
	if c.Metrics == "" {
		return nil
	}
	_, port, err := net.SplitHostPort(c.Metrics)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil {
		return fmt.Errorf("metrics %q: want an address like 127.0.0.1:9090", c.Metrics)
	}
	return nil
}

// endpoint is where Prometheus asks. The zero value is none.
type endpoint struct {
	mu       sync.Mutex
	listener net.Listener
	server   *http.Server
	handler  http.Handler
	// failed takes why it doesn't answer any more.
	failed chan<- error
}

// listenMetrics takes the address; nobody is answered yet.
func (d *daemon) listenMetrics() error {
	d.onClose(d.metrics.close)
	if d.config.Metrics == "" || d.parts.Metrics == nil {
		return nil
	}
	var err error
	d.metrics.listener, err = listenAt(d.config.Metrics)
	return err
}

func listenAt(address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	return l, nil
}

// serveMetrics answers at the Prometheus endpoint if there is one.
func (d *daemon) serveMetrics(failed chan<- error) {
	if d.parts.Metrics == nil {
		return
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", d.parts.Metrics(d.engine))
	d.metrics.mu.Lock()
	defer d.metrics.mu.Unlock()
	d.metrics.handler, d.metrics.failed = mux, failed
	d.metrics.serve()
}

// serve needs mu.
func (e *endpoint) serve() {
	if e.listener == nil {
		return
	}
	listener := e.listener
	server := metricsServer(e.handler)
	e.server = server
	go func() {
		if err := server.Serve(netutil.LimitListener(listener, maxScrapers)); !errors.Is(err, http.ErrServerClosed) {
			e.failed <- fmt.Errorf("metrics: %w", err)
		}
	}()
}

func metricsServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: askTimeout, ReadTimeout: bodyTimeout, WriteTimeout: readTimeout, IdleTimeout: betweenScrape,
	}
}

// move has the endpoint answer at another address, and at none if that is empty. With
// an error it answers where it did.
func (e *endpoint) move(former, address string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if address == "" {
		return e.end()
	}
	l, err := listenAt(address)
	if errors.Is(err, unix.EADDRINUSE) && e.listener != nil {
		// By itself, perhaps: one of the two addresses may stand for all.
		err = e.end()
		if err == nil {
			l, err = listenAt(address)
		}
		if err != nil {
			back, backErr := listenAt(former)
			if backErr == nil {
				e.listener = back
				e.serve()
			}
			return errors.Join(err, backErr)
		}
	}
	if err != nil {
		return err
	}
	err = e.end()
	e.listener = l
	e.serve()
	return err
}

func (e *endpoint) close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.end()
}

// end needs mu.
func (e *endpoint) end() (err error) {
	if e.server != nil {
		err = e.server.Close()
	}
	// A server doesn't know the listener before it runs, and would leave it open until then.
	if e.listener != nil {
		if closed := e.listener.Close(); !errors.Is(closed, net.ErrClosed) {
			err = errors.Join(err, closed)
		}
	}
	e.listener, e.server = nil, nil
	return err
}
