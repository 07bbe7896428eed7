// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/userspace/datapath/ebpf/expiry"
)

// timed is a datapath whose timeouts can be changed while it works.
type timed interface{ SetTimeouts(expiry.Timeouts) }

// errRestart is why a setting stays.
var errRestart = errors.New("can't be changed without a restart")

// reload reads the settings again and carries out what can be changed. It logs each
// setting that is another now, changed or not, and ends nothing whatever is wrong.
func (d *daemon) reload() {
	d.tellSystemd(reloading())
	defer d.tellSystemd("READY=1")
	want, err := d.readAgain()
	if err != nil {
		d.log.Error("settings not reloaded, all stay as they are", "err", err)
		return
	}
	all := differences(d.now.get(), want)
	changed := 0
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if err := d.change(key, want); err != nil {
			d.log.Warn("setting not changed", "setting", key, "is", all[key].was, "wanted", all[key].is, "err", err)
			continue
		}
		d.now.take(key, want)
		changed++
		d.log.Info("setting changed", "setting", key, "from", all[key].was, "to", all[key].is)
	}
	d.log.Info("settings reloaded", "changed", changed, "unchanged", len(all)-changed)
}

func (d *daemon) readAgain() (Config, error) {
	if d.parts.Again == nil {
		return Config{}, errors.New("they can't be read again")
	}
	c, err := d.parts.Again()
	if err != nil {
		return c, err
	}
	return c, c.Validate()
}

// change carries one setting out.
func (d *daemon) change(key string, want Config) error {
	switch {
	case key == "debug":
		d.level.Set(levelOf(want))
		return nil
	case key == "metrics":
		return d.metrics.move(d.now.get().Metrics, want.Metrics)
	case key == "uplinks":
		return d.engine.SetUplinks(context.Background(), want.Uplinks)
	case strings.HasPrefix(key, "timeouts."):
		return d.setTimeouts(want.Timeouts)
	}
	return errRestart
}

func (d *daemon) setTimeouts(t Timeouts) error {
	dp, is := d.before.datapath.(timed)
	if !is {
		return fmt.Errorf("means nothing to datapath %s: its timeouts are net.netfilter.nf_conntrack_*_timeout*", d.config.Datapath)
	}
	dp.SetTimeouts(expiry.Timeouts(t))
	return nil
}

// reloading is what systemd wants to hear at the beginning, with the time by
// CLOCK_MONOTONIC (sd_notify(3)).
func reloading() string {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return "RELOADING=1"
	}
	return fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", now.Nano()/1000)
}

// tellSystemd is for news that isn't worth an end.
func (d *daemon) tellSystemd(state string) {
	if err := notifySystemd(state); err != nil {
		d.log.Warn("systemd not told", "state", state, "err", err)
	}
}
