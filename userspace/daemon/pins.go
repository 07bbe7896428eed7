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
// is attached would end with this process.
func (p *pins) keep() error {
	ok, err := loader.InPlace(p.dir, p.held)
	if err != nil || ok {
		return err
	}
	p.log.Warn("bpffs was unmounted by another program, pinning all objects again", "bpffs", p.dir)
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
	return before.Close()
}

func (p *pins) close() error { return p.held.Close() }
