// SPDX-License-Identifier: Apache-2.0

package resolvconf

import (
	"errors"
	"fmt"
	"strings"
)

// Validate reports the first value that would break the file it is written to.
func (o Overrides) Validate() error {
	for _, a := range o.Nameservers {
		if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() {
			return fmt.Errorf("dns server %q: want a unicast address like 192.0.2.53", a)
		}
	}
	for _, s := range o.Search {
		if err := word(s); err != nil {
			return fmt.Errorf("dns search domain %q: %w", s, err)
		}
	}
	for _, s := range o.Options {
		if err := word(s); err != nil {
			return fmt.Errorf("dns option %q: %w", s, err)
		}
	}
	return nil
}

// word accepts one word of the files' syntax (resolv.conf(5), hosts(5)).
func word(s string) error {
	switch {
	case s == "":
		return errors.New("is empty")
	case len(s) > 255:
		return errors.New("is longer than 255 bytes")
	case strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '#' || r == ';' }):
		return errors.New("want printable ASCII without spaces, # or ;")
	}
	return nil
}
