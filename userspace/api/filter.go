// SPDX-License-Identifier: Apache-2.0

package api

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
)

// Filters are Docker's --filter values by key. Values of one key are
// alternatives, except for labels, which must all match; all keys must match.
type Filters map[string][]string

// ParseFilters reads KEY=VALUE entries; a key must be one of known, with a value that
// it can have. Errors are ErrInvalid and name what there is.
func ParseFilters(entries []string, known []FilterKey) (Filters, error) {
	f := make(Filters)
	for _, e := range entries {
		name, value, ok := strings.Cut(e, "=")
		i := slices.IndexFunc(known, func(k FilterKey) bool { return k.Name == name })
		switch {
		case i < 0 && strings.HasSuffix(name, "!"):
			return nil, request.Errorf(request.ErrInvalid, "filter %q: cannot be negated", strings.TrimSuffix(name, "!"))
		case i < 0 && ok:
			return nil, request.Errorf(request.ErrInvalid, "filter %q: unknown key; want one of %s", name, keyNames(known))
		case !ok:
			return nil, request.Errorf(request.ErrInvalid, "filter %q: want KEY=VALUE with one of the keys %s", e, keyNames(known))
		case !known[i].allows(value):
			return nil, request.Errorf(request.ErrInvalid, "filter %s=%s: want %s", name, value, known[i].want())
		}
		f[name] = append(f[name], value)
	}
	return f, nil
}

func keyNames(keys []FilterKey) string {
	var names []string
	for _, k := range keys {
		names = append(names, k.Name)
	}
	return strings.Join(names, ", ")
}

func networkFilter(entries []string) (func(request.NetworkView) bool, error) {
	f, err := ParseFilters(entries, NetworkFilterKeys())
	if err == nil {
		err = f.checkPatterns("id", "name")
	}
	if err != nil {
		return nil, err
	}
	return func(n request.NetworkView) bool {
		return f.exact("driver", string(n.Driver)) && f.pattern("id", n.ID) && f.pattern("name", n.Name) &&
			f.exact("scope", ScopeLocal) && f.labels(n.Labels) && f.exact("owner", string(ownerOf(n.Owner))) &&
			f.exact("type", networkType(n.Network)) && f.dangling(n)
	}, nil
}

func networkType(n model.Network) string {
	if n.Predefined() {
		return "builtin"
	}
	return "custom"
}

func (f Filters) dangling(n request.NetworkView) bool {
	dangling := len(n.Endpoints) == 0 && !n.Predefined()
	return f.any("dangling", func(v string) bool { return (v == "true" || v == "1") == dangling })
}

// pruneFilter selects what to prune: label, label! and until, a time or the age.
func pruneFilter(entries []string, now time.Time) (func(model.Network) bool, error) {
	f, err := ParseFilters(entries, PruneFilterKeys())
	if err != nil {
		return nil, err
	}
	until := now
	for _, v := range f["until"] {
		if until, err = parseUntil(v, now); err != nil {
			return nil, err
		}
	}
	return func(n model.Network) bool {
		refused := slices.ContainsFunc(f["label!"], func(want string) bool { return hasLabel(n.Labels, want) })
		return f.labels(n.Labels) && !refused && !n.Created.After(until)
	}, nil
}

func parseUntil(s string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(s); err == nil {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, request.Errorf(request.ErrInvalid, "filter until=%s: want an age like 24h or a time like 2006-01-02T15:04:05", s)
}

func sandboxFilter(f Filters) func(request.SandboxView) bool {
	return func(v request.SandboxView) bool {
		return f.pattern("id", v.ID) && f.pattern("name", v.Name) && f.labels(v.Labels) &&
			f.exact("owner", string(ownerOf(v.Owner))) && f.exact("status", string(v.State.Status)) && f.any("network", func(want string) bool { return onNetwork(v, want) })
	}
}

func onNetwork(v request.SandboxView, want string) bool {
	if len(v.Endpoints) == 0 && networkMode(v) == want {
		return true
	}
	return slices.ContainsFunc(v.Endpoints, func(e request.SandboxEndpoint) bool { return meant(want, e.NetworkName, e.NetworkID) }) ||
		slices.ContainsFunc(v.Former, func(f model.FormerEndpoint) bool { return meant(want, f.Network, f.NetworkID) })
}

func (f Filters) matchService(v request.ServiceView) bool {
	return f.pattern("id", v.ID) && f.pattern("name", v.Name) && f.labels(v.Labels) && f.exact("owner", string(ownerOf(v.Owner))) &&
		f.any("network", func(want string) bool { return serviceOnNetwork(v, want) }) &&
		f.any("backend", func(want string) bool {
			return slices.ContainsFunc(v.Backends, func(b request.ServiceBackendView) bool {
				return meant(want, b.Name, b.SandboxID) || want == text(b.IPv4) || want == text(b.IPv6)
			})
		})
}

func serviceOnNetwork(v request.ServiceView, want string) bool {
	return slices.ContainsFunc(v.Networks, func(n request.ServiceNetworkView) bool { return meant(want, n.Name, n.NetworkID) })
}

// meant reports whether a filter's value names something: its name or how its ID begins.
func meant(want, name, id string) bool {
	return want != "" && (want == name || strings.HasPrefix(id, want))
}

// checkPatterns refuses what is neither a part of a name nor a regular expression.
func (f Filters) checkPatterns(keys ...string) error {
	for _, key := range keys {
		for _, v := range f[key] {
			if _, err := regexp.Compile(v); err != nil {
				return request.Errorf(request.ErrInvalid, "filter %s=%s: want a part of the %s, or a regular expression: %s",
					key, v, key, strings.TrimPrefix(err.Error(), "error parsing regexp: "))
			}
		}
	}
	return nil
}

// namesInError bounds how many names an error lists.
const namesInError = 10

// CheckNames refuses values of key that is says no to; names are those that there are.
func (f Filters) CheckNames(key string, is func(string) bool, names []string) error {
	for _, v := range f[key] {
		if is(v) {
			continue
		}
		names = slices.Compact(slices.Sorted(slices.Values(names)))
		if len(names) == 0 {
			return request.Errorf(request.ErrInvalid, "filter %s=%s: there is none of that name, nor any other", key, v)
		}
		more := ""
		if n := len(names) - namesInError; n > 0 {
			names, more = names[:namesInError], fmt.Sprintf(" and %d more", n)
		}
		return request.Errorf(request.ErrInvalid, "filter %s=%s: there is none of that name; want one of %s%s", key, v, strings.Join(names, ", "), more)
	}
	return nil
}

// checkNetworks refuses networks that don't exist and that no sandbox was on.
func (f Filters) checkNetworks(networks []request.NetworkView, sandboxes []request.SandboxView) error {
	var names []string
	for _, n := range networks {
		names = append(names, n.Name)
	}
	return f.CheckNames("network", func(want string) bool {
		return slices.ContainsFunc(networks, func(n request.NetworkView) bool { return meant(want, n.Name, n.ID) }) || slices.ContainsFunc(sandboxes, func(v request.SandboxView) bool { return onNetwork(v, want) })
	}, names)
}

func (f Filters) any(key string, match func(string) bool) bool {
	return len(f[key]) == 0 || slices.ContainsFunc(f[key], match)
}

func (f Filters) exact(key, have string) bool {
	return len(f[key]) == 0 || slices.Contains(f[key], have)
}

// pattern matches as Docker does: the value is a regular expression or a part.
func (f Filters) pattern(key, have string) bool {
	return f.any(key, func(v string) bool {
		if strings.Contains(have, v) {
			return true
		}
		re, err := regexp.Compile(v)
		return err == nil && re.MatchString(have)
	})
}

func (f Filters) labels(have map[string]string) bool {
	return !slices.ContainsFunc(f["label"], func(want string) bool { return !hasLabel(have, want) })
}

func hasLabel(have map[string]string, want string) bool {
	key, value, exact := strings.Cut(want, "=")
	got, ok := have[key]
	return ok && (!exact || got == value)
}
