// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/fairway-project/fairway/userspace/api"
)

// shutdownTimeout is how long requests under way may take at the end.
const shutdownTimeout = 5 * time.Second

// serve answers the API, and the metrics, until ctx ends, the daemon was
// uninstalled or a listener fails.
func (d *daemon) serve(ctx context.Context, s signals) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	failed := make(chan error, 3)
	d.serveMetrics(failed)
	socket := filepath.Join(d.config.RunDir, api.SocketName)
	listener, err := api.Listen(socket)
	if err != nil {
		return fmt.Errorf("api: %w", err)
	}
	server := api.NewServer(d.engine, d.log, func() { end(errUninstalled) })
	d.serveDocker(server)
	server.KeepDocker(d.config.Root, d.kept)
	if err := d.kept.Migrate(ctx); err != nil {
		return errors.Join(err, listener.Close())
	}
	endPlugin, err := d.servePlugin(failed)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	go func() { failed <- server.Serve(listener) }()
	d.ready = true
	d.tellSystemd("READY=1")
	d.log.Info("daemon is ready", "socket", socket, "datapath", d.config.Datapath)
	err = d.wait(ctx, s, failed)
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

// wait does what signals ask for until the daemon is to end.
func (d *daemon) wait(ctx context.Context, s signals, failed <-chan error) error {
	for {
		select {
		case err := <-failed:
			return err
		case <-ctx.Done():
			d.log.Info(lastWords(context.Cause(ctx)))
			return nil
		case sig := <-s.caught:
			d.react(sig)
		}
	}
}

// errUninstalled is why a daemon ends that nothing goes on after.
var errUninstalled = errors.New("uninstalled")

func lastWords(why error) string {
	if errors.Is(why, errUninstalled) {
		return "daemon ends; nothing is left of it in the kernel"
	}
	return "daemon ends; sandboxes and their traffic go on"
}
