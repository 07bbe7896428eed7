// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/fairway-project/fairway/userspace/request"
	"github.com/fairway-project/fairway/userspace/store"
)

// failSaves lets the engine find its disk full until the function that it returns.
func (w *world) failSaves() (mend func()) {
	w.t.Helper()
	broken, err := store.Open(filepath.Join(w.t.TempDir(), store.FileName))
	must(w.t, errors.Join(err, broken.Close()))
	w.Engine.store = broken
	return func() { w.Engine.store = w.store }
}

// A network whose removal can't be saved is there, and works.
func TestNetworkThatCannotBeRemovedWorks(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	w.network(request.NetworkCreate{Name: "n"})
	mend := w.failSaves()
	removal := w.RemoveNetwork(ctx, "n")
	uninstall := w.Uninstall(ctx, true, func(string) {})
	mend()
	if removal == nil || uninstall == nil {
		t.Fatalf("removed %v, uninstalled %v without a save", removal, uninstall)
	}
	for _, name := range []string{"n", "bridge"} {
		w.run(request.SandboxConfig{Name: "on-" + name, Networks: []request.EndpointSettings{{Network: name}}})
	}
	if all := w.Wanted.Degraded(); len(all) > 0 {
		t.Errorf("degraded: %q", all)
	}
}
