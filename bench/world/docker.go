// SPDX-License-Identifier: Apache-2.0

package world

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/test/cell"
	"github.com/fairway-project/fairway/userspace/netns"
)

// docker carries packets by a Docker Engine with its own rules, in the host's
// namespace and with directories of its own.
type docker struct {
	bridged
	w        *World
	dir      string
	daemon   *service
	firewall *firewall
}

// dockerImage has a static busybox and nothing else.
const dockerImage = "bench:idle"

func (c *docker) start(ctx context.Context) (err error) {
	for _, name := range []string{"dockerd", "docker", "busybox", "tar"} {
		if _, err := find(name); err != nil {
			return err
		}
	}
	// A unix socket's path has 107 bytes at most. What is left of control groups with
	// such a name goes with the run.
	if c.dir, err = os.MkdirTemp("", cell.Named("bench")); err != nil {
		return err
	}
	// The same variant as the arm iptables; Docker takes what PATH has.
	if c.firewall, err = newFirewall(c.dir, c.w.host, "nft"); err != nil {
		return err
	}
	if err := c.startDaemon(ctx); err != nil {
		return err
	}
	if err := c.importImage(ctx); err != nil {
		return err
	}
	return c.network(ctx)
}

func (c *docker) startDaemon(ctx context.Context) (err error) {
	config := filepath.Join(c.dir, "daemon.json")
	if err := os.WriteFile(config, []byte("{}"), 0o644); err != nil {
		return err
	}
	proxy := strconv.FormatBool(c.w.Arm == plan.Docker)
	c.daemon, err = startService(c.w.host, filepath.Join(c.dir, "log"), c.firewall.env, "dockerd",
		"--config-file", config, "--data-root", filepath.Join(c.dir, "data"), "--exec-root", filepath.Join(c.dir, "x"),
		"--pidfile", filepath.Join(c.dir, "pid"), "-H", c.socket(), "--storage-driver", "vfs",
		"--cgroup-parent", c.cgroup(), "--experimental", "--ip6tables", "--userland-proxy="+proxy)
	if err != nil {
		return err
	}
	return c.daemon.ready(ctx, func() error {
		_, err := c.docker(ctx, "version")
		return err
	})
}

func (c *docker) socket() string { return "unix://" + filepath.Join(c.dir, "s") }

// cgroup is of this engine alone, so that what is left of it is found.
func (c *docker) cgroup() string { return filepath.Base(c.dir) }

// docker runs its command line.
func (c *docker) docker(ctx context.Context, args ...string) (string, error) {
	out, err := output(ctx, c.w.host, nil, "", "docker", append([]string{"-H", c.socket()}, args...)...)
	return strings.TrimSpace(out), err
}

func (c *docker) importImage(ctx context.Context) error {
	busybox, err := find("busybox")
	if err != nil {
		return err
	}
	tar := filepath.Join(c.dir, "image.tar")
	_, err = output(ctx, c.w.host, nil, "", "tar", "-C", filepath.Dir(busybox), "--transform", "s,^,bin/,", "-cf", tar, "busybox")
	if err != nil {
		return err
	}
	_, err = c.docker(ctx, "import", tar, dockerImage)
	return err
}

func (c *docker) network(ctx context.Context) (err error) {
	c.bridged = bridged{w: c.w, ip4: network4.Addr().Next(), ip6: network6.Addr().Next()}
	_, err = c.docker(ctx, "network", "create", "--ipv6", "--subnet", network4.String(), "--gateway", c.ip4.String(),
		"--subnet", network6.String(), "--gateway", c.ip6.String(), "-o", "com.docker.network.bridge.name="+bridgeName, benchNetwork)
	return err
}

// add runs a container that sleeps, and names its namespace as others are named.
func (c *docker) add(ctx context.Context, n *node) error {
	args := []string{"run", "-d", "--name", n.Name, "--network", benchNetwork, "--ip", n.ip4.String(), "--ip6", n.ip6.String()}
	for _, p := range n.Publish {
		args = append(args, "-p", p.docker())
	}
	_, err := c.docker(ctx, append(args, dockerImage, "/bin/busybox", "sleep", "1000000")...)
	if err == nil {
		err = c.adopt(ctx, n)
	}
	if err != nil {
		return errors.Join(err, c.remove(ctx, n))
	}
	return nil
}

func (c *docker) adopt(ctx context.Context, n *node) error {
	pid, err := c.docker(ctx, "inspect", "-f", "{{.State.Pid}}", n.Name)
	if err != nil {
		return err
	}
	if err := bindNetns("/proc/"+pid+"/ns/net", n.netns); err != nil {
		return err
	}
	if n.mac, err = equalOffloads(c.w.host, n); err != nil {
		return err
	}
	// A bridge without an address of its own takes one of its ports'.
	c.mac, err = macOf(c.w.host, bridgeName)
	return err
}

func (c *docker) remove(ctx context.Context, n *node) error {
	_, err := c.docker(ctx, "rm", "-f", n.Name)
	return errors.Join(err, removeNetns(n.netns))
}

// close ends the engine and what an engine leaves: its mounts and control groups.
func (c *docker) close(ctx context.Context) error {
	if c.dir == "" {
		return nil
	}
	var errs []error
	if c.daemon != nil {
		if _, err := c.docker(ctx, "network", "rm", benchNetwork); err != nil {
			c.w.env.Log.Info("network of a docker arm", "err", err)
		}
		errs = append(errs, c.daemon.stop(), c.unmount(), c.removeCgroups(ctx))
	}
	return errors.Join(append(errs, os.RemoveAll(c.dir))...)
}

func (c *docker) unmount() error {
	raw, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	var errs []error
	for line := range strings.Lines(string(raw)) {
		if f := strings.Fields(line); len(f) > 4 && strings.HasPrefix(f[4], c.dir+"/") {
			errs = append(errs, detach(f[4]))
		}
	}
	return errors.Join(errs...)
}

// removeCgroups waits for the kernel to notice that containers are gone.
func (c *docker) removeCgroups(ctx context.Context) error {
	roots, _ := filepath.Glob("/sys/fs/cgroup/*/" + c.cgroup())
	roots = append(roots, "/sys/fs/cgroup/"+c.cgroup())
	for {
		var left []error
		for _, root := range roots {
			left = append(left, removeTree(root))
		}
		err := errors.Join(left...)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// removeTree removes directories of a cgroup, whose files can't be.
func removeTree(root string) error {
	below, _ := filepath.Glob(root + "/*/")
	for _, dir := range below {
		if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if err := os.Remove(root); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func (c *docker) count(ctx context.Context, n *Counters) (err error) {
	n.Accepted, err = c.firewall.accepted(ctx)
	return err
}

func (c *docker) check(before, now Counters, t Traffic) (string, error) {
	if t.Walk == plan.LoopbackToPublished && c.w.Arm == plan.Docker {
		// The proxy's connections are the host's own.
		return expect(onlyRules(now.Tables, c.firewall.variant), c.proxied())
	}
	return c.firewall.check(before, now, t)
}

// proxied says whether the userland proxy listens.
func (c *docker) proxied() claim {
	found := false
	err := netns.Do(c.w.host, func() error {
		pids, err := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, file := range pids {
			raw, _ := os.ReadFile(file)
			found = found || strings.Contains(string(raw), "docker-proxy") && strings.Contains(string(raw), c.w.nodes[0].ip4.String())
		}
		return err
	})
	if err != nil || !found {
		return claim{"no docker-proxy runs", false}
	}
	return claim{"docker-proxy listens", true}
}
