// SPDX-License-Identifier: Apache-2.0

package apitest

import (
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/fairway-project/fairway/userspace/api"
)

// Serve serves b on a socket of its own until the test ends, and returns the
// socket's path.
func Serve(t testing.TB, b api.Backend, log *slog.Logger) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "run", api.SocketName)
	l, err := api.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	server := api.NewServer(b, log, nil)
	if d, ok := b.(api.DockerBackend); ok {
		server.ServeDocker(d)
	}
	if f, ok := b.(*Fake); ok {
		server.KeepDocker(f.Root, f)
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return path
}
