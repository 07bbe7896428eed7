// SPDX-License-Identifier: Apache-2.0

// Package host is the driver of the network host: the host's own namespace.
package host

import (
	"github.com/fairway-project/fairway/userspace/driver"
	"github.com/fairway-project/fairway/userspace/model"
)

// Driver of the network host.
type Driver struct{ driver.Still }

var _ driver.Predefining = Driver{}

// New returns the driver.
func New() Driver {
	return Driver{driver.Still{Name: model.DriverHost, Network: model.NetworkHost}}
}
