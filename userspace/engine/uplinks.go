// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/fairway-project/fairway/userspace/datapath"
)

// errNoDevice is about an uplink that was named and isn't there. It may come yet.
var errNoDevice = errors.New("there is no network device of this name, so that nothing goes out or comes in by it")

const uplinkPrefix = "uplink "

// SetUplinks replaces the names of the devices that lead outside. With an error they
// are what they were.
func (e *Engine) SetUplinks(ctx context.Context, names []string) error {
	before := e.swapUplinks(names)
	err := e.refreshHost(ctx, true)
	if err != nil {
		e.swapUplinks(before)
		err = errors.Join(err, e.refreshHost(ctx, true))
	}
	return err
}

func (e *Engine) swapUplinks(names []string) (before []string) {
	e.hostLook.Lock()
	defer e.hostLook.Unlock()
	before, e.Uplinks = e.Uplinks, names
	return before
}

// tellUplinks has the status and the log name the uplinks that were asked for and
// aren't there, and the log those that come and go. It needs hostLook.
func (e *Engine) tellUplinks(now datapath.Host) {
	have, had := uplinkNames(now), uplinkNames(e.facts.hostNow())
	for _, name := range have {
		if !slices.Contains(had, name) {
			e.log.Info("uplink added", "uplink", name)
		}
	}
	for _, name := range had {
		if !slices.Contains(have, name) {
			e.log.Info("uplink removed", "uplink", name)
		}
	}
	e.health.forget(func(subject string) bool {
		name, is := strings.CutPrefix(subject, uplinkPrefix)
		return is && (slices.Contains(have, name) || !slices.Contains(e.Uplinks, name))
	})
	for _, name := range e.Uplinks {
		if !slices.Contains(have, name) && e.health.report(uplinkPrefix+name, errNoDevice) {
			e.log.Warn("uplink isn't there", "uplink", name, "err", errNoDevice)
		}
	}
}

func uplinkNames(h datapath.Host) (names []string) {
	for _, u := range h.Uplinks {
		names = append(names, u.Name)
	}
	return names
}
