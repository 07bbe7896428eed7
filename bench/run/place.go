// SPDX-License-Identifier: Apache-2.0

package run

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/userspace/netns"
)

// instance makes the places of one instance and returns what removes them, with
// whatever is still in them.
func (p Place) instance() (plan.Env, func() error, error) {
	dir, err := os.MkdirTemp(p.Dir, "instance")
	if err != nil {
		return plan.Env{}, nil, err
	}
	env := plan.Env{
		Dir: filepath.Join(dir, "files"), Netns: filepath.Join(dir, "netns"), BPFFS: filepath.Join(p.BPFFS, filepath.Base(dir)),
		Proc: p.Proc, Fairway: p.Fairway, CPU: p.CPU, Log: p.Log,
	}
	remove := func() error {
		return errors.Join(netns.RemoveDir(env.Netns), os.RemoveAll(env.BPFFS), os.RemoveAll(dir))
	}
	if err := errors.Join(os.Mkdir(env.Dir, 0o755), netns.PrepareDir(env.Netns)); err != nil {
		return plan.Env{}, nil, errors.Join(err, remove())
	}
	return env, remove, nil
}
