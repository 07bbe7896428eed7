// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"fmt"
	"log/slog"
	"os"

	"github.com/fairway-project/fairway/loader"
)

// pins are the daemon's hold on its directory of pinned objects, and the lock on it.
type pins struct {
	dir  string
	held *os.File
	log  *slog.Logger
}

// keep pins everything again where the directory's BPF filesystem was unmounted: what
// is attached would end with this process. It logs that it did; what fails is for the caller to tell.
func (p *pins) keep() error {
	ok, err := loader.InPlace(p.dir, p.held)
	if err != nil || ok {
		return err
	}
	if err := loader.PinAgain(p.dir, p.held); err != nil {
		return err
	}
	now, err := os.Open(p.dir)
	if err != nil {
		return fmt.Errorf("bpffs: %w", err)
	}
	if err := flock(now); err != nil {
		now.Close()
		return fmt.Errorf("bpffs %s: %w", p.dir, err)
	}
	before := p.held
	p.held = now
	// Not before: after a deletion there is nothing to pin, and each look would say so.
	p.log.Warn("bpffs was unmounted by another program, all objects are pinned again", "bpffs", p.dir)
	return before.Close()
}

func (p *pins) close() error { return p.held.Close() }
