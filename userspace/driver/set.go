// SPDX-License-Identifier: Apache-2.0

package driver

import (
	"fmt"
	"strings"

	"github.com/fairway-project/fairway/userspace/model"
)

// Set is the drivers of a host. The first is the one of networks that don't name theirs.
type Set []Driver

// Find returns the driver of this name, the first for "".
func (s Set) Find(name model.Driver) (Driver, error) {
	for _, d := range s {
		if name == "" || d.About().Name == name {
			return d, nil
		}
	}
	return nil, fmt.Errorf("driver %q: unknown; want %s", name, strings.Join(s.usable(), " or "))
}

// ForUsers is Find of a driver that users may make networks with.
func (s Set) ForUsers(name model.Driver) (Driver, error) {
	d, err := s.Find(name)
	if err == nil && !d.About().Users {
		return nil, fmt.Errorf("driver %q: only one instance of this network is allowed", name)
	}
	return d, err
}

func (s Set) usable() []string {
	var names []string
	for _, d := range s {
		if a := d.About(); a.Users {
			names = append(names, string(a.Name))
		}
	}
	return names
}
