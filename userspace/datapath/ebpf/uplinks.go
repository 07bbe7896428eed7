// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"errors"
	"log/slog"
	"reflect"

	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/loader"
	"github.com/fairway-project/fairway/maps/host"
	"github.com/fairway-project/fairway/userspace/model"
)

// uplinks are the devices that lead outside.
type uplinks struct {
	log      *slog.Logger
	table    *host.Table
	programs *programs
	xdp      XDP
	// entries is the map's content, names the indexes of those that are served.
	entries map[int]host.Uplink
	names   map[string]int
	// l3 are the names of those that can't be served.
	l3 []string
	// withoutXDP tells why some don't run the XDP program that they should.
	withoutXDP map[string]string
}

func adoptUplinks(cfg Config, t *host.Table, p *programs) (*uplinks, error) {
	entries, err := t.Uplinks()
	return &uplinks{log: cfg.Logger, table: t, programs: p, xdp: cfg.XDP, entries: entries, withoutXDP: make(map[string]string)}, err
}

// ensure serves these devices. Others are served until drop.
func (u *uplinks) ensure(devices []model.Uplink) error {
	var errs []error
	before := u.withoutXDP
	u.l3, u.withoutXDP, u.names = nil, make(map[string]string), make(map[string]int)
	for _, device := range devices {
		if device.L3 {
			// The programs read Ethernet frames. A device that is no uplink
			// gets nothing from containers: refused and counted as no_route.
			u.l3 = append(u.l3, device.Name)
			continue
		}
		u.names[device.Name] = device.Index
		errs = append(errs, u.serve(device), u.ensureXDP(device, before))
	}
	return errors.Join(errs...)
}

func (u *uplinks) serve(device model.Uplink) error {
	var want host.Uplink
	for _, p := range device.Addresses {
		if p.Addr().Is4() {
			want.IPv4 = append(want.IPv4, p)
		} else {
			want.IPv6 = append(want.IPv6, p.Addr())
		}
	}
	want.IPv4 = want.IPv4[:min(len(want.IPv4), host.MaxAddresses)]
	want.IPv6 = want.IPv6[:min(len(want.IPv6), host.MaxAddresses)]
	if have, ok := u.entries[device.Index]; !ok || !reflect.DeepEqual(have, want) {
		if err := u.table.PutUplink(device.Index, want); err != nil {
			return err
		}
		u.entries[device.Index] = want
	}
	err := u.programs.serve(device.Index)
	if errors.Is(err, unix.ENODEV) {
		// It went away since the caller looked; the next call will say so.
		u.log.Info("uplink is gone", "device", device.Name, "index", device.Index)
		return nil
	}
	return err
}

// drop detaches from devices that are uplinks no more. The programs go first: one
// without its uplink's entry would judge by nothing.
func (u *uplinks) drop() error {
	want := make(map[int]bool)
	for _, index := range u.names {
		want[index] = true
	}
	attached, err := u.programs.attached()
	if err != nil {
		return err
	}
	var errs []error
	for _, a := range attached {
		switch {
		case want[a.Index]:
		case a.Program == loader.UplinkXDP:
			errs = append(errs, u.dropXDP(a.Index))
		case a.Program == loader.FromUplink, a.Program == loader.ToUplink:
			errs = append(errs, u.programs.detach(a.Index, a.Program))
		}
	}
	for index := range u.entries {
		if want[index] {
			continue
		}
		errs = append(errs, u.table.DeleteUplink(index))
		delete(u.entries, index)
	}
	return errors.Join(errs...)
}
