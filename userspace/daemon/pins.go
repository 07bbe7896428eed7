// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"errors"
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
	// The lock comes first: another daemon may have taken the place by now, and would find
	// these objects among its own.
	now, err := p.lockAgain()
	if err != nil {
		return err
	}
	if err := loader.PinAgain(p.dir, p.held); err != nil {
		return errors.Join(err, now.Close())
	}
	before := p.held
	p.held = now
	// Not before: after a deletion there is nothing to pin, and each look would say so.
	p.log.Warn("bpffs was unmounted by another program, all objects are pinned again", "bpffs", p.dir)
	return before.Close()
}

// lockAgain makes the directory and takes it.
func (p *pins) lockAgain() (*os.File, error) {
	if err := loader.PrepareDir(p.dir); err != nil {
		return nil, err
	}
	f, err := os.Open(p.dir)
	if err != nil {
		return nil, fmt.Errorf("bpffs: %w", err)
	}
	if err := flock(f); err != nil {
		return nil, errors.Join(fmt.Errorf("bpffs %s: %w", p.dir, err), f.Close())
	}
	return f, nil
}

func (p *pins) close() error { return p.held.Close() }
