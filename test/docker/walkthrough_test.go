// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/fairway-project/fairway/test/harness"
)

var update = flag.Bool("update", false, "write docs/walkthrough.md anew")

const walkthroughFile = "../../docs/walkthrough.md"

// The exercises of the Docker network tutorials, as a reader would type them. The
// page in docs is what happens here.
func TestWalkthrough(t *testing.T) {
	onEngines(t, func(t *testing.T, d *engine) {
		w := newWalk(t, d)
		w.configure(`{"dns": ["` + harness.WANIP4 + `"]}`)
		// The engine comes first, so that docker0 has the subnet that everybody knows.
		d.start()
		d.Daemon.Start(t)
		w.importImages()
		w.serveAround()
		for _, exercise := range []func(){
			w.images, w.twoContainers, w.published, w.publishedSomewhere, w.ownNetwork, w.twoNetworks,
			w.links, w.namesOnNetwork, w.namesFromOutside, w.proxy, w.counter, w.hostMode, w.containerMode,
			w.noneMode, w.byHand, w.monitor, w.otherAddresses,
		} {
			exercise()
		}
		if s := d.status(); len(s.Degraded) > 0 {
			t.Errorf("degraded: %q", s.Degraded)
		}
		w.compare()
	})
}

// configure writes the engine's daemon.json.
func (w *walk) configure(text string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.engine.dir, "daemon.json"), []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
}
