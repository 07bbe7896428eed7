// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/link"
	"github.com/fairway-project/fairway/userspace/model"
)

// errNoDevice is about an uplink that was named and isn't there. It may come yet.
var errNoDevice = errors.New("there is no network device of this name, so that nothing goes out or comes in by it")

// ErrNoUplink is returned for a list of uplinks of which none is there.
var ErrNoUplink = errors.New("no network device has any of these names, so that nothing would go out or come in")

const uplinkPrefix = "uplink "

// SetUplinks replaces the names of the devices that lead outside. With an error they
// are what they were: ErrNoUplink for names none of which is a device's, most likely a
// typing error, which would cut everything off. A start takes them all the same,
// because devices may come late there.
func (e *Engine) SetUplinks(ctx context.Context, names []string) error {
	if err := e.checkUplinks(names); err != nil {
		return err
	}
	before := e.swapUplinks(names)
	err := e.refreshHost(ctx, true)
	if err != nil {
		e.swapUplinks(before)
		err = errors.Join(err, e.refreshHost(ctx, true))
	}
	return err
}

func (e *Engine) checkUplinks(names []string) error {
	if len(names) == 0 {
		return nil
	}
	host, err := e.links.Observe(link.Scope{Uplinks: names})
	// The eBPF datapath can't use those without an Ethernet header yet.
	usable := func(u model.Uplink) bool { return !u.L3 || e.datapath.Mode() != datapath.EBPF }
	if err == nil && !slices.ContainsFunc(host.Uplinks, usable) {
		err = ErrNoUplink
	}
	return err
}

func (e *Engine) swapUplinks(names []string) (before []string) {
	e.hostLook.Lock()
	defer e.hostLook.Unlock()
	before, e.Uplinks = e.Uplinks, names
	return before
}

// tellUplinks has the log name the uplinks that the datapath has been told of, or that
// they went. It needs hostLook.
func (e *Engine) tellUplinks(now model.Host) {
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
}

// tellMissing has the status and the log name the uplinks that were asked for and aren't
// there. It needs hostLook.
func (e *Engine) tellMissing(now model.Host) {
	have := uplinkNames(now)
	e.owner.Forget(func(subject string) bool {
		name, is := strings.CutPrefix(subject, uplinkPrefix)
		return is && (slices.Contains(have, name) || !slices.Contains(e.Uplinks, name))
	})
	for _, name := range e.Uplinks {
		if !slices.Contains(have, name) && e.owner.Note(uplinkPrefix+name, errNoDevice) {
			e.log.Warn("uplink isn't there", "uplink", name, "err", errNoDevice)
		}
	}
}

func uplinkNames(h model.Host) (names []string) {
	for _, u := range h.Uplinks {
		names = append(names, u.Name)
	}
	return names
}
