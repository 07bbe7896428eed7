// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"context"
	"errors"

	"github.com/fairway-project/fairway/loader"
	"github.com/fairway-project/fairway/userspace/datapath"
)

// Remains is what an earlier process left, where it is only to be removed. It loads
// nothing, so that a host can leave this datapath whose programs don't load any more,
// and says nothing to those that are attached: they work on until Uninstall, those of an
// endpoint until its device goes.
type Remains struct {
	datapath.Leaving
	cfg Config
}

var _ datapath.Datapath = (*Remains)(nil)

// NewRemains touches nothing. Of cfg only the directories and Others count.
func NewRemains(cfg Config) *Remains { return &Remains{datapath.Leaving{Of: datapath.EBPF}, cfg} }

// Uninstall removes every program, map and directory of the instance.
func (r *Remains) Uninstall(context.Context) error {
	return errors.Join(
		loader.Remove(loader.Config{Dir: r.cfg.BPFFS, RunDir: r.cfg.RunDir, Others: r.cfg.Others}),
		strictness{dir: r.cfg.RunDir}.restore(),
	)
}
