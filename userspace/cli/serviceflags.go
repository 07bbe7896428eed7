// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
)

// serviceFlags are what service create and update have in common.
type serviceFlags struct{ request.ServiceSpec }

func (s *serviceFlags) define(f *pflag.FlagSet) {
	clearable(f, &s.Ports, "port", "", "PORT[:TARGET][/PROTO]", "port of the service, and the backends' behind it where that is another; again for more", text)
	clearable(f, &s.Publish, "publish", "p", "[[IP:]HOSTPORT:]PORT", "publish a port of the service on the host; again for more", text)
	clearablePairs(f, &s.Selector, "select", "backends are the sandboxes with this label; again for sandboxes that have all of them")
	clearable(f, &s.Backends, "backend", "", "NAME|ADDRESS[:PORT][,weight=N]", "a sandbox or an address as a backend; again for more", text)
	one(f, &s.Scheduler, "scheduler", "SCHEDULER", "how a backend is chosen: maglev, so that few clients change theirs when another comes or goes, or random (default maglev)",
		wordOf(model.SchedulerMaglev, model.SchedulerRandom))
	one(f, &s.Affinity, "affinity", "AFFINITY", "none, or client-ip[,timeout=3h] to keep a client's address at one backend (default none)", text)
	one(f, &s.Health, "health", "CHECK", "none, tcp or http:PATH, with [,port=,interval=,timeout=,rise=,fall=]: ask backends whether they serve (default none)", text)
	f.Var(&value[bool]{kind: "bool", set: func(on bool) { s.Passive = &on }, parse: strconv.ParseBool}, "passive",
		"pass over backends that refuse clients for some seconds (default true; --datapath=iptables can't)")
	f.Lookup("passive").NoOptDefVal = "true"
	one(f, &s.Drain, "drain", "DURATION", "how long the connections of a backend that leaves go on (default 30s)", text)
	clearable(f, &s.Sources, "source-range", "", "PREFIX", "only clients of these addresses may use the service, and others' packets are dropped; again for more", parsePrefix)
	clearablePairs(f, &s.Labels, "label", "label of the service")
}

// update is what was given as an update wants it, and whether anything was.
func (s *serviceFlags) update(f *pflag.FlagSet) (req request.ServiceUpdate, any bool) {
	given := func(name string) bool {
		any = any || f.Changed(name)
		return f.Changed(name)
	}
	if given("port") {
		req.Ports = &s.Ports
	}
	if given("publish") {
		req.Publish = &s.Publish
	}
	if given("select") {
		req.Selector = &s.Selector
	}
	if given("backend") {
		req.Backends = &s.Backends
	}
	if given("scheduler") {
		req.Scheduler = &s.Scheduler
	}
	if given("affinity") {
		req.Affinity = &s.Affinity
	}
	if given("health") {
		req.Health = &s.Health
	}
	if given("passive") {
		req.Passive = s.Passive
	}
	if given("drain") {
		req.Drain = &s.Drain
	}
	if given("source-range") {
		req.Sources = &s.Sources
	}
	if given("label") {
		req.Labels = &s.Labels
	}
	return req, any
}

func text(s string) (string, error) { return s, nil }

// wordOf parses one of a few words.
func wordOf[T ~string](words ...T) func(string) (T, error) {
	return func(s string) (T, error) {
		if !slices.Contains(words, T(s)) {
			var all []string
			for _, w := range words {
				all = append(all, string(w))
			}
			return "", fmt.Errorf("want %s", strings.Join(all, " or "))
		}
		return T(s), nil
	}
}

// clearable is many for a list that an empty value takes away: the list is then empty
// and not nil, which would be no list.
func clearable[T any](f *pflag.FlagSet, dst *[]T, name, short, kind, usage string, parse func(string) (T, error)) {
	v := &value[[]T]{kind: kind, set: func(more []T) {
		if more == nil {
			*dst = []T{}
			return
		}
		*dst = append(*dst, more...)
	}}
	v.parse = func(s string) ([]T, error) {
		if s == "" {
			return nil, nil
		}
		parsed, err := parse(s)
		return []T{parsed}, err
	}
	f.VarP(v, name, short, usage)
}

// clearablePairs is clearable for KEY=VALUE.
func clearablePairs(f *pflag.FlagSet, dst *map[string]string, name, usage string) {
	v := &value[[2]string]{kind: "KEY=VALUE", set: func(p [2]string) {
		if *dst == nil || p[0] == "" {
			*dst = make(map[string]string)
		}
		if p[0] != "" {
			(*dst)[p[0]] = p[1]
		}
	}}
	v.parse = func(s string) ([2]string, error) {
		if s == "" {
			return [2]string{}, nil
		}
		return parsePair(s)
	}
	f.Var(v, name, usage)
}

// commas defines a repeatable flag that also takes several names with commas between.
func commas(f *pflag.FlagSet, dst *[]string, name, kind, usage string) {
	f.Var(&value[[]string]{kind: kind, set: func(more []string) { *dst = append(*dst, more...) }, parse: func(s string) ([]string, error) {
		names := strings.Split(s, ",")
		if slices.Contains(names, "") {
			return nil, fmt.Errorf("want %s", kind)
		}
		return names, nil
	}}, name, usage)
}
