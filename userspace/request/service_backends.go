// SPDX-License-Identifier: Apache-2.0

package request

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/fairway-project/fairway/userspace/model"
)

// changeBackends replaces who serves. A selector takes the place of named backends, and
// they take a selector's.
func (r *ServiceUpdate) changeBackends(s *model.Service) (err error) {
	if r.Selector != nil && len(*r.Selector) > 0 && r.Backends != nil && len(*r.Backends) > 0 {
		return Errorf(ErrInvalid, "service %s: has a selector and named backends; want one of both", s.Name)
	}
	if r.Selector != nil {
		for key := range *r.Selector {
			if key == "" {
				return Errorf(ErrInvalid, "selector: a label's name is missing; want KEY=VALUE")
			}
		}
		s.Selector = maps.Clone(*r.Selector)
		if len(s.Selector) > 0 {
			s.Backends = nil
		}
	}
	if r.Backends != nil {
		if s.Backends, err = parseBackends(*r.Backends); err != nil {
			return err
		}
		if len(s.Backends) > 0 {
			s.Selector = nil
		}
	}
	return nil
}

func parseBackends(texts []string) (out []model.ServiceBackend, err error) {
	if len(texts) > maxServiceBackends {
		return nil, Errorf(ErrInvalid, "%d backends of one service; want at most %d", len(texts), maxServiceBackends)
	}
	type key struct {
		name string
		addr netip.Addr
	}
	seen := make(map[key]bool, len(texts))
	if len(texts) > 0 {
		// It is kept for as long as the service: no more room than that.
		out = make([]model.ServiceBackend, 0, len(texts))
	}
	for _, text := range texts {
		b, err := ParseServiceBackend(text)
		if err != nil {
			return nil, err
		}
		if k := (key{b.Name, b.Addr}); seen[k] {
			return nil, Errorf(ErrInvalid, "backend %q: is given twice", text)
		} else {
			seen[k] = true
		}
		out = append(out, b)
	}
	return out, nil
}

// ParseServiceBackend reads NAME|ADDRESS[:PORT][,weight=N].
func ParseServiceBackend(text string) (b model.ServiceBackend, err error) {
	who, options, _ := strings.Cut(text, ",")
	b.Weight = 1
	for key, value := range fields(options) {
		if key != "weight" {
			return b, Errorf(ErrInvalid, "backend %q: option %q: want weight=N", text, key)
		}
		b.Weight, err = strconv.Atoi(value)
		if err != nil || b.Weight < 1 || b.Weight > model.MaxWeight {
			return b, Errorf(ErrInvalid, "backend %q: weight %q: want a number from 1 to %d", text, value, model.MaxWeight)
		}
	}
	if b.Addr, b.Port, err = parseTarget(who); err == nil {
		return b, checkTarget(text, b.Addr)
	}
	name, port, found := strings.Cut(who, ":")
	if found {
		if b.Port, err = parsePort(port); err != nil {
			return b, Errorf(ErrInvalid, "backend %q: port %w", text, err)
		}
	}
	b.Name = name
	if len(name) > maxSandboxName || !namePattern.MatchString(name) {
		return b, Errorf(ErrInvalid, "backend %q: want a sandbox's name or an address, and [ADDRESS]:PORT for IPv6 with a port", text)
	}
	return b, nil
}

// Validate refuses a backend without a name, which one outside would be found by. The error is
// ErrInvalid.
func (d *ServiceDrain) Validate() error {
	if d.Backend == "" {
		return Errorf(ErrInvalid, "backend is missing; want a sandbox's name or ID, or an address")
	}
	return nil
}

// parseTarget reads an address with a port or without.
func parseTarget(text string) (netip.Addr, uint16, error) {
	if addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]")); err == nil {
		return addr.Unmap(), 0, nil
	}
	p, err := netip.ParseAddrPort(text)
	if err == nil && p.Port() == 0 {
		err = Errorf(ErrInvalid, "port 0")
	}
	return p.Addr().Unmap(), p.Port(), err
}

// checkTarget refuses addresses that no packet can be sent on to.
func checkTarget(text string, a netip.Addr) error {
	if a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.Zone() != "" || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return Errorf(ErrInvalid, "backend %q: want an address that other hosts can be reached by", text)
	}
	return nil
}

// fields yields the KEY=VALUE of a list with commas.
func fields(list string) func(yield func(key, value string) bool) {
	return func(yield func(key, value string) bool) {
		if list == "" {
			return
		}
		for _, f := range strings.Split(list, ",") {
			key, value, _ := strings.Cut(f, "=")
			if !yield(key, value) {
				return
			}
		}
	}
}

// changeSources replaces who may use the service.
func (r *ServiceUpdate) changeSources(s *model.Service) error {
	if r.Sources == nil {
		return nil
	}
	if len(*r.Sources) > maxServiceSources {
		return Errorf(ErrInvalid, "%d source ranges of one service; want at most %d", len(*r.Sources), maxServiceSources)
	}
	s.Sources = nil
	for _, p := range *r.Sources {
		if !p.IsValid() {
			return Errorf(ErrInvalid, "source range %s: want a prefix like 192.0.2.0/24", p)
		}
		if p.Addr().Is4In6() {
			return Errorf(ErrInvalid, "source range %s: is IPv4 written as IPv6; want a prefix like 192.0.2.0/24", p)
		}
		if p != p.Masked() {
			return Errorf(ErrInvalid, "source range %s: has bits set beyond its length; did you mean %s?", p, p.Masked())
		}
		if !slices.Contains(s.Sources, p) {
			s.Sources = append(s.Sources, p)
		}
	}
	return nil
}
