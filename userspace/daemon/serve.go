// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/fairway-project/fairway/userspace/api"
)

const (
	// shutdownTimeout is how long requests under way may take at the end.
	shutdownTimeout = 5 * time.Second
	// scrapeTimeout bounds a client of the metrics that is slow to ask.
	scrapeTimeout = 5 * time.Second
)

// serve answers the API, and the metrics, until ctx ends, the daemon was
// uninstalled or a listener fails.
func (d *daemon) serve(ctx context.Context) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	failed := make(chan error, 3)
	if err := d.serveMetrics(failed); err != nil {
		return err
	}
	socket := filepath.Join(d.config.RunDir, api.SocketName)
	listener, err := api.Listen(socket)
	if err != nil {
		return fmt.Errorf("api: %w", err)
	}
	server := api.NewServer(d.engine, d.log, func() { end(errUninstalled) })
	d.serveDocker(server)
	endPlugin, err := d.servePlugin(failed)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	go func() { failed <- server.Serve(listener) }()
	if err := notifySystemd("READY=1"); err != nil {
		d.log.Warn("systemd not told that the daemon is ready", "err", err)
	}
	d.log.Info("daemon is ready", "socket", socket, "datapath", d.config.Datapath)
	select {
	case err = <-failed:
	case <-ctx.Done():
		d.log.Info(lastWords(context.Cause(ctx)))
	}
	bounded, stop := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer stop()
	if shutErr := server.Shutdown(bounded); shutErr != nil && !errors.Is(shutErr, context.DeadlineExceeded) {
		err = errors.Join(err, shutErr)
	}
	if endErr := endPlugin(bounded); endErr != nil && !errors.Is(endErr, context.DeadlineExceeded) {
		err = errors.Join(err, endErr)
	}
	return errors.Join(err, d.removePurged())
}

// errUninstalled is why a daemon ends that nothing goes on after.
var errUninstalled = errors.New("uninstalled")

func lastWords(why error) string {
	if errors.Is(why, errUninstalled) {
		return "daemon ends; nothing is left of it in the kernel"
	}
	return "daemon ends; sandboxes and their traffic go on"
}

// serveMetrics answers at the Prometheus endpoint if there is one.
func (d *daemon) serveMetrics(failed chan<- error) error {
	if d.config.Metrics == "" || d.parts.Metrics == nil {
		return nil
	}
	listener, err := net.Listen("tcp", d.config.Metrics)
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", d.parts.Metrics(d.engine))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: scrapeTimeout}
	d.onClose(server.Close)
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			failed <- fmt.Errorf("metrics: %w", err)
		}
	}()
	return nil
}
