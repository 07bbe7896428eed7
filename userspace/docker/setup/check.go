// SPDX-License-Identifier: Apache-2.0

package setup

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/docker/firewall"
	"github.com/fairway-project/fairway/userspace/docker/proxies"
	"github.com/fairway-project/fairway/userspace/request"
)

// Check tells whether the engine leaves its traffic to Fairway. It changes nothing.
func Check(ctx context.Context, o Options) ([]request.Check, error) {
	if err := CheckPrivilege(); errors.Is(err, ErrPrivilege) {
		return []request.Check{{Name: "docker engine", Result: request.Fail, Fact: "not checked without root, who alone can read the firewall's rules",
			Fix: "sudo fairway docker setup --check"}}, nil
	}
	e, err := FindEngine()
	if err != nil {
		return nil, err
	}
	if o.Config == "" {
		o.Config = e.Config
	}
	f, err := readFile(o.Config)
	if err != nil {
		return []request.Check{{Name: "docker config", Result: request.Fail, Fact: err.Error(), Fix: "mend " + o.Config}}, nil
	}
	rules, err := firewall.Read(ctx)
	if err != nil {
		return nil, err
	}
	return judge(o, e, f, rules), nil
}

// setupCommand mends most of it.
const setupCommand = "fairway docker setup && systemctl restart docker"

// judge names every combination of settings that doesn't work.
func judge(o Options, e Engine, f file, rules []firewall.Rule) []request.Check {
	checks := []request.Check{
		engineCheck(o, e), iptablesCheck(e, f), proxyCheck(e, f), iccCheck(e, f), conflictCheck(o, e, f),
		userCheck(o, rules), policyCheck(o, rules),
	}
	return append(checks, leftoverChecks(e, f, rules)...)
}

func engineCheck(o Options, e Engine) request.Check {
	switch {
	case e.Pid == 0:
		return request.Check{Name: "docker engine", Result: request.Warn, Fact: "no dockerd runs in this network namespace", Fix: "systemctl start docker"}
	case e.Stale:
		return request.Check{Name: "docker engine", Result: request.Warn,
			Fact: fmt.Sprintf("dockerd (process %d) started before %s was changed", e.Pid, o.Config), Fix: "systemctl restart docker"}
	}
	return request.Check{Name: "docker engine", Result: request.OK, Fact: fmt.Sprintf("dockerd runs as process %d", e.Pid)}
}

func iptablesCheck(e Engine, f file) request.Check {
	v4, v6 := setting(e, f, "iptables"), setting(e, f, "ip6tables")
	switch {
	case v4 != "false":
		return request.Check{Name: "docker iptables", Result: request.Fail,
			Fact: "dockerd makes iptables rules of its own, which carry and drop traffic beside Fairway", Fix: setupCommand}
	case v6 != "false":
		// The default depends on the engine's version: true since 27.
		return request.Check{Name: "docker iptables", Result: request.Warn,
			Fact: "iptables is false, but ip6tables isn't: engines from 27 make IPv6 rules of their own", Fix: setupCommand}
	}
	return request.Check{Name: "docker iptables", Result: request.OK, Fact: "iptables and ip6tables are false"}
}

func proxyCheck(e Engine, f file) request.Check {
	c := request.Check{Name: "docker proxy", Result: request.Warn, Fix: setupCommand}
	path := setting(e, f, "userland-proxy-path")
	switch {
	case setting(e, f, "userland-proxy") == "false":
		c.Fact = "userland-proxy is false: a port is known only after its container has started, and dockerd sets route_localnet on its bridges"
	case path == "":
		c.Fact = "userland-proxy-path isn't set: Docker's own proxies hold the ports, each with about 1 MB, and answer what Fairway doesn't carry yet"
	case filepath.Base(path) != proxies.Name:
		c.Fact = fmt.Sprintf("userland-proxy-path is %s: the program has to be called %s to be found by a daemon that starts later", path, proxies.Name)
	default:
		return request.Check{Name: c.Name, Result: request.OK, Fact: "userland-proxy-path is " + path}
	}
	return c
}

func iccCheck(e Engine, f file) request.Check {
	if setting(e, f, "icc") == "false" && setting(e, f, "iptables") == "false" {
		return request.Check{Name: "docker icc", Result: request.Fail, Fact: "icc and iptables are both false: dockerd refuses to start",
			Fix: "remove icc; docker network create -o com.docker.network.bridge.enable_icc=false"}
	}
	return request.Check{Name: "docker icc", Result: request.OK, Fact: "the engine's own icc isn't false"}
}

func conflictCheck(o Options, e Engine, f file) request.Check {
	for key := range e.Flags {
		if _, both := f[key]; both {
			return request.Check{Name: "docker flags", Result: request.Fail,
				Fact: fmt.Sprintf("%s is given by a flag and in %s: dockerd refuses to start again", key, o.Config), Fix: "remove one of them"}
		}
	}
	return request.Check{Name: "docker flags", Result: request.OK, Fact: "no setting is given by a flag and in " + o.Config}
}

func userCheck(o Options, rules []firewall.Rule) request.Check {
	const name = "docker user rules"
	user := firewall.UserRules(rules)
	switch {
	case len(user) == 0:
		return request.Check{Name: name, Result: request.OK, Fact: "DOCKER-USER has no rules"}
	case o.Netfilter == datapath.NetfilterFirstPacket:
		return request.Check{Name: name, Result: request.OK,
			Fact: fmt.Sprintf("DOCKER-USER has %d rules, for which the daemon has --netfilter=first-packet", len(user))}
	}
	return request.Check{Name: name, Result: request.Warn,
		Fact: fmt.Sprintf("DOCKER-USER has %d rules, which apply to containers with --netfilter=first-packet only, the first: %s", len(user), user[0]),
		Fix:  firewall.Judging + "; or --netfilter=bypass to do without them"}
}

// leftoverChecks names all that is left, a check for each tool and table.
func leftoverChecks(e Engine, f file, rules []firewall.Rule) []request.Check {
	left := firewall.Leftovers(rules)
	if setting(e, f, "iptables") != "false" {
		return []request.Check{{Name: "docker leftovers", Result: request.OK, Fact: fmt.Sprintf("%d rules, chains and tables are the engine's, which uses them", len(left))}}
	}
	if len(left) == 0 {
		return []request.Check{{Name: "docker leftovers", Result: request.OK, Fact: "no rules are left of an engine with iptables or nftables"}}
	}
	var where []string
	texts := make(map[string][]string)
	for _, r := range left {
		key := r.Tool + ", table " + r.Table
		if texts[key] == nil {
			where = append(where, key)
		}
		texts[key] = append(texts[key], r.String())
	}
	var all []request.Check
	for _, key := range where {
		all = append(all, request.Check{Name: "docker leftovers", Result: request.Fail,
			Fact: fmt.Sprintf("%s: %d are left: %s", key, len(texts[key]), strings.Join(texts[key], "; ")), Fix: "fairway docker setup"})
	}
	return all
}

func policyCheck(o Options, rules []firewall.Rule) request.Check {
	fact := policyFact(rules)
	switch {
	case fact != "" && o.Netfilter == datapath.NetfilterFirstPacket:
		fact = "the policy of FORWARD is DROP: rules have to accept what containers do (netfilter: first-packet)"
	case fact == "":
		fact = "the policy of FORWARD isn't DROP: a host that forwards routes for its neighbours too, unless rules of yours say otherwise"
	}
	return request.Check{Name: "docker policy", Result: request.OK, Fact: fact}
}

// policyFact tells of a policy that Docker may have left, and what it means; empty
// where there is none.
func policyFact(rules []firewall.Rule) string {
	var tools []string
	for _, r := range firewall.Policies(rules, "FORWARD") {
		tools = append(tools, r.Tool)
	}
	if len(tools) == 0 {
		return ""
	}
	return fmt.Sprintf("the policy of FORWARD is DROP (%s), as Docker sets it where it turns forwarding on; %s", strings.Join(tools, ", "), firewall.DropPolicy)
}
