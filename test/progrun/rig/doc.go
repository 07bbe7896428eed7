// SPDX-License-Identifier: Apache-2.0

// Package rig is package testrun for tests: what fails ends the test, and the end
// of the test closes what it opened.
package rig

import (
	"net/netip"

	"github.com/fairway-project/fairway/test/progrun/testrun"
)

// Types of package testrun.
type (
	Options  = testrun.Options
	World    = testrun.World
	Endpoint = testrun.Endpoint
	Network  = testrun.Network
	Uplink   = testrun.Uplink
	Program  = testrun.Program
	Run      = testrun.Run
	Result   = testrun.Result
)

// Verdicts and programs of package testrun.
const (
	Next     = testrun.Next
	Drop     = testrun.Drop
	Redirect = testrun.Redirect

	FromContainer = testrun.FromContainer
	ToContainer   = testrun.ToContainer
	FromUplink    = testrun.FromUplink
	ToUplink      = testrun.ToUplink
	UplinkXDP     = testrun.UplinkXDP
)

// Generation and flags of package testrun.
const (
	Generation = testrun.Generation

	IPv4     = testrun.IPv4
	IPv6     = testrun.IPv6
	ICC      = testrun.ICC
	Internal = testrun.Internal
	Masq4    = testrun.Masq4
	Masq6    = testrun.Masq6
	Open4    = testrun.Open4
	Open6    = testrun.Open6
	Routed4  = testrun.Routed4
	Routed6  = testrun.Routed6
	Trusts   = testrun.Trusts
	Default  = testrun.Default
)

// Standard returns the world that every Host begins with.
func Standard() World { return testrun.Standard() }

// Any is the wildcard of the family.
func Any(v6 bool) netip.Addr { return testrun.Any(v6) }
