// SPDX-License-Identifier: Apache-2.0

package model

import (
	"fmt"
	"net"
)

// MAC is a 48-bit hardware address; comparable, unlike net.HardwareAddr.
type MAC [6]byte

// ParseMAC parses a unicast 48-bit address in one of net.ParseMAC's forms.
func ParseMAC(s string) (MAC, error) {
	hw, err := net.ParseMAC(s)
	if err != nil || len(hw) != 6 {
		return MAC{}, fmt.Errorf("mac address %q: want six bytes like 02:42:ac:11:00:02", s)
	}
	m := MAC(hw)
	if m[0]&1 != 0 || m == (MAC{}) {
		return MAC{}, fmt.Errorf("mac address %q: not a unicast address", s)
	}
	return m, nil
}

// HardwareAddr returns m as package net has it.
func (m MAC) HardwareAddr() net.HardwareAddr { return net.HardwareAddr(m[:]) }

func (m MAC) String() string { return net.HardwareAddr(m[:]).String() }

// MarshalText writes the colon form; the zero MAC is empty.
func (m MAC) MarshalText() ([]byte, error) {
	if m == (MAC{}) {
		return nil, nil
	}
	return []byte(m.String()), nil
}

// UnmarshalText is the inverse of MarshalText.
func (m *MAC) UnmarshalText(b []byte) (err error) {
	if len(b) == 0 {
		*m = MAC{}
		return nil
	}
	*m, err = ParseMAC(string(b))
	return err
}
