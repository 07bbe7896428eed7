// SPDX-License-Identifier: Apache-2.0

package driver_test

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/fairway-project/fairway/userspace/driver"
	"github.com/fairway-project/fairway/userspace/driver/bridge"
	"github.com/fairway-project/fairway/userspace/driver/host"
	"github.com/fairway-project/fairway/userspace/driver/none"
	"github.com/fairway-project/fairway/userspace/link"
	"github.com/fairway-project/fairway/userspace/model"
)

func set() driver.Set {
	return driver.Set{bridge.New(nil, slog.New(slog.DiscardHandler)), host.New(), none.New()}
}

func TestFind(t *testing.T) {
	for _, tt := range []struct {
		name        model.Driver
		find, users string // errors, "" for none
	}{
		{"", "", ""},
		{"bridge", "", ""},
		{"host", "", `driver "host": only one instance of this network is allowed`},
		{"null", "", `driver "null": only one instance of this network is allowed`},
		{"pigeon", `driver "pigeon": unknown; want bridge`, `driver "pigeon": unknown; want bridge`},
	} {
		d, err := set().Find(tt.name)
		if message(err) != tt.find || err == nil && tt.name != "" && d.About().Name != tt.name {
			t.Errorf("%q: found %v, %q", tt.name, d, message(err))
		}
		if _, err := set().ForUsers(tt.name); message(err) != tt.users {
			t.Errorf("%q: for users: %q", tt.name, message(err))
		}
	}
	if d, err := set().Find(""); err != nil || d.About().Name != model.DriverBridge {
		t.Errorf("a network that names no driver: %v", err)
	}
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// The networks that every host has, as Docker calls them.
func TestPredefined(t *testing.T) {
	want := map[string]model.Driver{"bridge": "bridge", "host": "host", "none": "null"}
	for _, d := range set() {
		n := d.(driver.Predefining).Predefined("id")
		if n.ID != "id" || n.Driver != d.About().Name || want[n.Name] != n.Driver || !n.Predefined() {
			t.Errorf("%s: %+v", d.About().Name, n)
		}
		delete(want, n.Name)
		if told := d.Told(n, link.Device{}) != nil; told != d.About().Endpoints {
			t.Errorf("%s: the datapath is told of it: %t", n.Name, told)
		}
	}
	if len(want) > 0 {
		t.Errorf("not there: %v", want)
	}
}

// Host and none have nothing to be attached to.
func TestStill(t *testing.T) {
	for _, d := range set()[1:] {
		n := d.(driver.Predefining).Predefined("id")
		p := driver.Plug{Network: n, Endpoint: &model.Endpoint{}}
		if _, err := d.Attach(t.Context(), p); err == nil || !strings.Contains(err.Error(), "has no endpoints") {
			t.Errorf("%s: attached: %v", n.Name, err)
		}
		if _, err := d.Restore(t.Context(), p); err == nil {
			t.Errorf("%s: restored", n.Name)
		}
		if err := d.Validate(&driver.Wish{Network: &model.Network{}}); err == nil {
			t.Errorf("%s: another one is allowed", n.Name)
		}
		made, err := d.Make(t.Context(), n)
		if err != nil || made != (link.Device{}) {
			t.Errorf("%s: made %v, %v", n.Name, made, err)
		}
		if err := d.Detach(t.Context(), p); err != nil {
			t.Error(err)
		}
		if err := d.Remove(t.Context(), n); err != nil {
			t.Error(err)
		}
	}
}
