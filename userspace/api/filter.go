// SPDX-License-Identifier: Apache-2.0

package api

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/fairway-project/fairway/userspace/model"
)

// Filters are Docker's --filter values by key. Values of one key are
// alternatives, except for labels, which must all match; all keys must match.
type Filters map[string][]string

// ParseFilters reads KEY=VALUE entries; a key must be one of known.
func ParseFilters(entries []string, known ...string) (Filters, error) {
	f := make(Filters)
	for _, e := range entries {
		key, value, ok := strings.Cut(e, "=")
		if strings.HasSuffix(key, "!") && !slices.Contains(known, key) {
			return nil, Errorf(ErrInvalid, "filter %q: cannot be negated", strings.TrimSuffix(key, "!"))
		}
		if !ok {
			return nil, Errorf(ErrInvalid, "filter %q: want KEY=VALUE", e)
		}
		if !slices.Contains(known, key) {
			return nil, Errorf(ErrInvalid, "filter %q: unknown key; want one of %s", key, strings.Join(known, ", "))
		}
		f[key] = append(f[key], value)
	}
	return f, nil
}

func networkFilter(entries []string) (func(NetworkView) bool, error) {
	f, err := ParseFilters(entries, "dangling", "driver", "id", "label", "name", "owner", "scope", "type")
	if err != nil {
		return nil, err
	}
	if err := f.check("type", "custom", "builtin"); err != nil {
		return nil, err
	}
	if err := f.check("dangling", "true", "false", "1", "0"); err != nil {
		return nil, err
	}
	return func(n NetworkView) bool {
		return f.exact("driver", string(n.Driver)) && f.pattern("id", n.ID) && f.pattern("name", n.Name) &&
			f.exact("scope", ScopeLocal) && f.labels(n.Labels) && f.exact("owner", ownerOf(n.Owner)) &&
			f.exact("type", networkType(n.Network)) && f.dangling(n)
	}, nil
}

func networkType(n model.Network) string {
	if n.Predefined() {
		return "builtin"
	}
	return "custom"
}

func (f Filters) dangling(n NetworkView) bool {
	dangling := len(n.Endpoints) == 0 && !n.Predefined()
	return f.any("dangling", func(v string) bool { return (v == "true" || v == "1") == dangling })
}

// pruneFilter selects what to prune: label, label! and until, a time or the age.
func pruneFilter(entries []string, now time.Time) (func(model.Network) bool, error) {
	f, err := ParseFilters(entries, "label", "label!", "until")
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
	return time.Time{}, Errorf(ErrInvalid, "filter until=%s: want an age like 24h or a time like 2006-01-02T15:04:05", s)
}

// sandboxFilters are the keys by which sandboxes are listed.
func sandboxFilters() []string { return []string{"id", "label", "name", "network", "owner", "status"} }

func sandboxFilter(entries []string) (func(SandboxView) bool, error) {
	f, err := ParseFilters(entries, sandboxFilters()...)
	if err != nil {
		return nil, err
	}
	if err := f.check("status", string(model.StatusCreated), string(model.StatusRunning), string(model.StatusExited)); err != nil {
		return nil, err
	}
	return func(v SandboxView) bool {
		return f.pattern("id", v.ID) && f.pattern("name", v.Name) && f.labels(v.Labels) &&
			f.exact("owner", ownerOf(v.Owner)) && f.exact("status", string(v.State.Status)) && f.any("network", func(want string) bool { return onNetwork(v, want) })
	}, nil
}

func onNetwork(v SandboxView, want string) bool {
	if len(v.Endpoints) == 0 && networkMode(v) == want {
		return true
	}
	is := func(name, id string) bool { return name == want || want != "" && strings.HasPrefix(id, want) }
	return slices.ContainsFunc(v.Endpoints, func(e SandboxEndpoint) bool { return is(e.NetworkName, e.NetworkID) }) ||
		slices.ContainsFunc(v.Former, func(f model.FormerEndpoint) bool { return is(f.Network, f.NetworkID) })
}

// check refuses values of key that nothing can have.
func (f Filters) check(key string, allowed ...string) error {
	for _, v := range f[key] {
		if !slices.Contains(allowed, v) {
			return Errorf(ErrInvalid, "filter %s=%s: want one of %s", key, v, strings.Join(allowed, ", "))
		}
	}
	return nil
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
