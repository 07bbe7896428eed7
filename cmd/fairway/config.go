// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"

	"github.com/fairway-project/fairway/userspace/cli"
	"github.com/fairway-project/fairway/userspace/daemon"
)

// config puts the flags that were given on top of the file and the environment.
func config(o cli.DaemonOptions) (daemon.Config, error) {
	c, err := daemon.Load(o.ConfigFile, os.Getenv)
	if err != nil {
		return c, err
	}
	for _, f := range []struct {
		flag  string
		apply func()
	}{
		{"datapath", func() { c.Datapath = o.Datapath }},
		{"root", func() { c.Root = o.Root }},
		{"run-dir", func() { c.RunDir = o.RunDir }},
		{"bpffs", func() { c.BPFFS = o.BPFFS }},
		{"uplink", func() { c.Uplinks = o.Uplinks }},
		{"metrics", func() { c.Metrics = o.Metrics }},
		{"debug", func() { c.Debug = o.Debug }},
	} {
		if o.Given[f.flag] {
			f.apply()
		}
	}
	return c, nil
}
