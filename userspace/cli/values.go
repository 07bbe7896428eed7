// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/spf13/pflag"

	"github.com/fairway-project/fairway/userspace/model"
)

// value is a flag whose text parse understands; each use calls set.
type value[T any] struct {
	kind  string
	parse func(string) (T, error)
	set   func(T)
	text  string
}

func (v *value[T]) Set(s string) error {
	parsed, err := v.parse(s)
	if err != nil {
		return err
	}
	v.text = s
	v.set(parsed)
	return nil
}

func (v *value[T]) String() string { return v.text }
func (v *value[T]) Type() string   { return v.kind }

// one and many define a flag for a single value and for a list.
func one[T any](f *pflag.FlagSet, dst *T, name, kind, usage string, parse func(string) (T, error)) {
	f.Var(&value[T]{kind: kind, parse: parse, set: func(v T) { *dst = v }}, name, usage)
}

func many[T any](f *pflag.FlagSet, dst *[]T, name, short, kind, usage string, parse func(string) (T, error)) {
	f.VarP(&value[T]{kind: kind, parse: parse, set: func(v T) { *dst = append(*dst, v) }}, name, short, usage)
}

// words defines a repeatable flag for text. pflag's own would split at commas.
func words(f *pflag.FlagSet, dst *[]string, name, short, kind, usage string) {
	many(f, dst, name, short, kind, usage, func(s string) (string, error) { return s, nil })
}

// pairs defines a repeatable KEY=VALUE flag; KEY alone has an empty value.
func pairs(f *pflag.FlagSet, dst *map[string]string, name, short, usage string) {
	v := &value[[2]string]{kind: "KEY=VALUE", parse: parsePair}
	v.set = func(p [2]string) {
		if *dst == nil {
			*dst = make(map[string]string)
		}
		(*dst)[p[0]] = p[1]
	}
	f.VarP(v, name, short, usage)
}

func parsePair(s string) ([2]string, error) {
	key, val, _ := strings.Cut(s, "=")
	if key == "" {
		return [2]string{}, errors.New("want KEY=VALUE")
	}
	return [2]string{key, val}, nil
}

func parseIPv4(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil || !a.Is4() {
		return a, errors.New("want an IPv4 address like 172.20.0.2")
	}
	return a, nil
}

func parseIPv6(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil || !a.Is6() || a.Is4In6() || a.Zone() != "" {
		return a, errors.New("want an IPv6 address like fd00::2")
	}
	return a, nil
}

func parseAddr(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return a, errors.New("want an IP address like 172.20.0.2 or fd00::2")
	}
	return a, nil
}

func parsePrefix(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, errors.New("want a prefix like 172.20.0.0/16 or fd00:1::/64")
	}
	return p, nil
}

func parseMAC(s string) (model.MAC, error) {
	m, err := model.ParseMAC(s)
	if err != nil {
		return m, errors.New("want a unicast MAC address like 02:42:ac:11:00:02")
	}
	return m, nil
}

// parseAux reads NAME=ADDRESS.
func parseAux(s string) (namedAddr, error) {
	name, addr, _ := strings.Cut(s, "=")
	a, err := netip.ParseAddr(addr)
	if err != nil || name == "" {
		return namedAddr{}, fmt.Errorf("want NAME=ADDRESS like router=172.20.0.5")
	}
	return namedAddr{name, a}, nil
}

type namedAddr struct {
	name string
	addr netip.Addr
}
