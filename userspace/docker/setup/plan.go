// SPDX-License-Identifier: Apache-2.0

package setup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/docker/firewall"
)

// Options say what to set up.
type Options struct {
	// Proxy is the path of Fairway's docker-proxy.
	Proxy string
	// Config is the engine's daemon.json; empty for the one that it uses.
	Config string
	// NoForwarding leaves the host's forwarding off, which Fairway doesn't need: what
	// starts while no daemon runs is then forwarded by nobody.
	NoForwarding bool
	// Netfilter is what the host's own rules mean to the daemon; empty where that isn't
	// known.
	Netfilter datapath.Netfilter
}

// Plan is what Apply will do.
type Plan struct {
	Config string
	Edits  []Edit
	// Flush are rules that an engine left behind.
	Flush []firewall.Rule
	// Notes tell what isn't done here, a sentence each.
	Notes []string

	file file
}

// Nothing reports whether there is nothing to do.
func (p Plan) Nothing() bool { return len(p.Edits) == 0 && len(p.Flush) == 0 }

// Lines tell what Apply will do.
func (p Plan) Lines() []string {
	var out []string
	for _, e := range p.Edits {
		out = append(out, fmt.Sprintf("%s: %s", p.Config, e))
	}
	for _, r := range p.Flush {
		verb := "remove rule: "
		switch {
		case r.Tool == "nft":
			verb = "remove table: "
		case r.Declared:
			verb = "remove chain: "
		}
		out = append(out, verb+r.String())
	}
	return out
}

// Make looks at the host and plans. It changes nothing.
func Make(ctx context.Context, o Options) (Plan, error) {
	if err := CheckPrivilege(); err != nil {
		return Plan{}, err
	}
	e, err := FindEngine()
	if err != nil {
		return Plan{}, err
	}
	if o.Config == "" {
		o.Config = e.Config
	}
	f, err := readFile(o.Config)
	if err != nil {
		return Plan{}, err
	}
	rules, err := firewall.Read(ctx)
	if err != nil {
		return Plan{}, err
	}
	if !filepath.IsAbs(o.Proxy) {
		return Plan{}, fmt.Errorf("docker-proxy %s: want an absolute path, which is what dockerd demands", o.Proxy)
	}
	if info, err := os.Stat(o.Proxy); err != nil || info.Mode()&0o111 == 0 {
		return Plan{}, fmt.Errorf("docker-proxy %s: not an executable file", o.Proxy)
	}
	return plan(o, e, f, rules)
}

// plan decides.
func plan(o Options, e Engine, f file, rules []firewall.Rule) (Plan, error) {
	p := Plan{Config: o.Config, file: f}
	want := map[string]string{"iptables": "false", "ip6tables": "false", "userland-proxy-path": strconv.Quote(o.Proxy)}
	if o.NoForwarding {
		want["ip-forward"] = "false"
	}
	for key, value := range want {
		flag, given := e.Flags[key]
		if !given {
			continue
		}
		if flag != value && strconv.Quote(flag) != value {
			return p, fmt.Errorf("dockerd (process %d) was started with --%s=%s: a key in %s can't change that; remove the flag, in its systemd unit perhaps",
				e.Pid, key, flag, o.Config)
		}
		delete(want, key)
	}
	if icc := setting(e, f, "icc"); icc == "false" {
		return p, errors.New("dockerd has icc=false, with which it refuses to start without iptables: remove that, and make networks with -o com.docker.network.bridge.enable_icc=false")
	}
	if setting(e, f, "userland-proxy") == "false" {
		p.Notes = append(p.Notes, "userland-proxy is false: ports are known only when a container has started, and dockerd opens 127.0.0.0/8 to its bridges; true is better")
	}
	p.Edits = f.edits(want)
	if n := len(firewall.UserRules(rules)); n > 0 {
		p.Notes = append(p.Notes, fmt.Sprintf("DOCKER-USER has %d rules, which stay; fairway daemon wants --netfilter=first-packet, with which they judge connections with the outside, or --netfilter=bypass", n))
	}
	if fact := policyFact(rules); fact != "" {
		p.Notes = append(p.Notes, fact)
	}
	left := firewall.Leftovers(rules)
	switch {
	case len(left) == 0:
	case e.Pid != 0 && carries(e, f, p.Edits):
		p.Notes = append(p.Notes, fmt.Sprintf("%d rules, chains and tables of Docker's carry traffic now and stay: restart dockerd and run this again", len(left)))
	default:
		p.Flush = left
	}
	if e.Pid != 0 && (len(p.Edits) > 0 || e.Stale) {
		p.Notes = append(p.Notes, "restart dockerd, with fairway daemon --docker running: systemctl restart docker")
	}
	return p, nil
}

// setting is what a flag says, or else the file; empty for the default.
func setting(e Engine, f file, key string) string {
	if v, given := e.Flags[key]; given {
		return v
	}
	return f.text(key)
}

// carries reports whether the engine that runs has rules of its own: unless it was
// told not to before it started.
func carries(e Engine, f file, edits []Edit) bool {
	if e.Flags["iptables"] == "false" {
		return false
	}
	return e.Stale || len(edits) > 0 || f.text("iptables") != "false"
}

// Apply does what the plan says. k keeps the file as it was, for Undo.
func (p Plan) Apply(ctx context.Context, k Keeper) error {
	if len(p.Edits) > 0 {
		if err := p.save(ctx, k); err != nil {
			return err
		}
		if err := p.file.with(p.Edits).write(p.Config); err != nil {
			return err
		}
	}
	return firewall.Flush(ctx, p.Flush)
}

func (p Plan) save(ctx context.Context, k Keeper) error {
	content, err := os.ReadFile(p.Config)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return k.Keep(ctx, content)
}
