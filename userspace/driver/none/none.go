// SPDX-License-Identifier: Apache-2.0

// Package none is the driver of the network none: a namespace with nothing but loopback.
package none

import (
	"github.com/fairway-project/fairway/userspace/driver"
	"github.com/fairway-project/fairway/userspace/model"
)

// Driver of the network none, which Docker calls null.
type Driver struct{ driver.Still }

var _ driver.Predefining = Driver{}

// New returns the driver.
func New() Driver {
	return Driver{driver.Still{Name: model.DriverNull, Network: model.NetworkNone}}
}
