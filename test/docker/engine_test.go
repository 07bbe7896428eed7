// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fairway-project/fairway/test/harness"
)

// image is what all containers are made of: the tests' own peer and nothing else.
const image = "peer:test"

// noNameServer is an engine's configuration with a name server that isn't there, and says so:
// the machine's own one is out of reach in a namespace, and names that only it could know
// would be waited for.
const noNameServer = `{"dns": ["` + harness.HostIP4 + `"]}`

// engine is a Docker Engine in the host's namespace of an environment.
type engine struct {
	*harness.Env
	binaries
	t      testing.TB
	dir    string
	socket string
	cgroup string
	args   []string
	// own leaves the engine its own rules, unless its configuration says otherwise.
	own bool
	// limit is how long a docker command may take.
	limit  time.Duration
	cmd    *exec.Cmd
	exited chan struct{}
	// begun and begunArgs are those of an engine that tests share.
	begun     *exec.Cmd
	begunArgs []string
}

// onDocker runs fn in a world with Fairway and a Docker Engine on it, which tests
// without options share one after the other.
func onDocker(t *testing.T, fn func(t *testing.T, d *engine), opts ...harness.Option) {
	t.Helper()
	if !harness.Shareable(opts...) {
		onEngines(t, func(t *testing.T, d *engine) {
			d.begin()
			fn(t, d)
		}, opts...)
		return
	}
	eachEngine(t, func(t *testing.T, b binaries) {
		engines := &leased{binaries: b}
		opts := append(slices.Clone(opts), harness.OnlyMode(harness.EBPF), harness.OfKind(engines.kind()))
		harness.ForEach(t, func(t *testing.T, e *harness.Env) { fn(t, engines.of(e)) }, opts...)
	})
}

// begin starts both daemons and gives the engine its image.
func (d *engine) begin() {
	d.t.Helper()
	d.Daemon.Start(d.t)
	d.start()
	d.importImage()
}

// newEngine prepares both daemons and starts none.
func newEngine(t testing.TB, e *harness.Env, b binaries) *engine {
	t.Helper()
	d := &engine{Env: e, binaries: b, t: t, dir: e.Dir(t, "docker"), cgroup: e.ID, limit: 10 * time.Minute}
	d.socket = filepath.Join(d.dir, "s")
	d.args = []string{"--userland-proxy-path", os.Getenv(envProxy)}
	d.Daemon.Args = append(d.Daemon.Args, "--docker=unix://"+d.socket, "--flow-table-size", "8192")
	if err := os.WriteFile(filepath.Join(d.dir, "daemon.json"), []byte(noNameServer), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.t = t; d.remove() })
	return d
}

// start starts the engine and waits until it answers.
func (d *engine) start() {
	d.t.Helper()
	log, err := os.OpenFile(filepath.Join(d.dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		d.t.Fatal(err)
	}
	defer log.Close()
	args := append([]string{
		"--config-file", filepath.Join(d.dir, "daemon.json"), "--data-root", filepath.Join(d.dir, "data"), "--exec-root", filepath.Join(d.dir, "x"),
		"--pidfile", filepath.Join(d.dir, "pid"), "-H", "unix://" + d.socket, "--storage-driver", "vfs",
		"--cgroup-parent", d.cgroup,
	}, d.args...)
	if !d.own {
		args = append(args, "--iptables=false", "--ip6tables=false")
	}
	d.cmd = exec.Command(d.path("dockerd"), args...)
	d.cmd.Stdout, d.cmd.Stderr = log, log
	d.cmd.Env = append(d.env(), "FAIRWAY_SOCKET="+d.Daemon.Socket)
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := d.Host.Start(d.cmd); err != nil {
		d.t.Fatal(err)
	}
	exited := make(chan struct{})
	cmd := d.cmd
	d.exited = exited
	go func() { _ = cmd.Wait(); close(exited) }()
	harness.Eventually(d.t, "dockerd answers", func() error {
		select {
		case <-exited:
			d.t.Fatalf("dockerd ended:\n%s", d.log())
		default:
		}
		return d.answers()
	})
}

func (d *engine) log() string {
	raw, _ := os.ReadFile(filepath.Join(d.dir, "log"))
	return string(raw)
}

// end ends the engine; containers of one with live-restore go on.
func (d *engine) end(sig syscall.Signal) {
	d.t.Helper()
	if d.cmd == nil {
		return
	}
	_ = d.cmd.Process.Signal(sig)
	select {
	case <-d.exited:
	case <-time.After(harness.Patience):
		d.t.Errorf("dockerd goes on after %s", sig)
		_ = d.cmd.Process.Kill()
		<-d.exited
	}
	d.cmd = nil
	if sig == syscall.SIGKILL {
		d.endContainerd()
	}
}

// endContainerd ends what a killed engine left of itself. Elsewhere that is a
// service of its own; here the next engine can't tell whether it is alive.
func (d *engine) endContainerd() {
	d.t.Helper()
	path := filepath.Join(d.dir, "x/containerd/containerd.pid")
	raw, err := os.ReadFile(path)
	if err != nil {
		d.t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil {
		d.t.Fatal(err)
	}
	// The kernel may have ended it with its engine.
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		d.t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		d.t.Fatal(err)
	}
}

// remove ends everything and removes what Docker made in the namespace.
func (d *engine) remove() {
	if d.t.Failed() {
		d.t.Logf("dockerd's log:\n%s", tail(d.log(), 40))
	}
	if d.cmd != nil {
		_ = d.removeObjects()
	}
	d.end(syscall.SIGTERM)
	d.killRest()
	_, _ = d.Host.Output("ip", "link", "del", "docker0")
	d.removeCgroups()
}

// killRest ends what an engine that was killed left: containerd and its shims.
func (d *engine) killRest() {
	d.t.Helper()
	harness.Eventually(d.t, "the engine's processes end", func() error {
		left := append(harness.ProcessesByArgument(d.dir+"/"), d.contained()...)
		for _, pid := range left {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		if len(left) > 0 {
			return fmt.Errorf("%v run", left)
		}
		return nil
	})
	raw, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(raw)) {
		if f := strings.Fields(line); len(f) > 4 && strings.HasPrefix(f[4], d.dir+"/") {
			_ = syscall.Unmount(f[4], syscall.MNT_DETACH)
		}
	}
}

// contained are the processes of containers.
func (d *engine) contained() (pids []int) {
	files, _ := filepath.Glob("/sys/fs/cgroup/*/" + d.cgroup + "/*/cgroup.procs")
	for _, file := range files {
		raw, _ := os.ReadFile(file)
		for _, field := range strings.Fields(string(raw)) {
			if pid, err := strconv.Atoi(field); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

func (d *engine) removeCgroups() {
	roots, _ := filepath.Glob("/sys/fs/cgroup/*/" + d.cgroup)
	for _, root := range append(roots, "/sys/fs/cgroup/"+d.cgroup) {
		harness.Eventually(d.t, "remove "+root, func() error {
			below, _ := filepath.Glob(root + "/*/")
			for _, dir := range below {
				_ = os.Remove(dir)
			}
			if err := os.Remove(root); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			return nil
		})
	}
}

// try runs the docker command line in the host's namespace.
func (d *engine) try(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), d.limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, d.path("docker"), append([]string{"-H", "unix://" + d.socket}, args...)...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("docker %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(errs.String()))
	}
	return strings.TrimSpace(out.String()), nil
}

func (d *engine) docker(args ...string) string {
	d.t.Helper()
	out, err := d.try(args...)
	if err != nil {
		d.t.Fatal(err)
	}
	return out
}

func (d *engine) importImage() {
	d.t.Helper()
	root := d.Dir(d.t, "image")
	raw, err := os.ReadFile(os.Getenv(harness.EnvPeer))
	if err == nil {
		err = os.WriteFile(filepath.Join(root, "peer"), raw, 0o755)
	}
	if err != nil {
		d.t.Fatal(err)
	}
	tar := filepath.Join(d.dir, "image.tar")
	if out, err := exec.Command("tar", "-C", root, "-cf", tar, ".").CombinedOutput(); err != nil {
		d.t.Fatalf("%v: %s", err, out)
	}
	d.docker("import", tar, image)
}

// serve runs a container that echoes on port 80, TCP and UDP, and tells its name.
func (d *engine) serve(name string, args ...string) {
	d.t.Helper()
	args = append([]string{"run", "-d", "--name", name}, args...)
	d.docker(append(args, image, "/peer", "serve", "80", name)...)
	d.ready(name)
}

// ready waits until a container's server listens.
func (d *engine) ready(name string) {
	d.t.Helper()
	harness.Eventually(d.t, name+" listens", func() error {
		out, err := d.said(name)
		if err == nil && !strings.Contains(out, "ready") {
			err = errors.New("not ready")
		}
		return err
	})
}

// netns is the namespace of a running container.
func (d *engine) netns(name string) *harness.Netns {
	d.t.Helper()
	pid := d.inspect(name, "{{.State.Pid}}")
	return harness.OpenNetns(d.t, name, "/proc/"+pid+"/ns/net")
}

// ip is a container's address on a network.
func (d *engine) ip(name, network string) string {
	d.t.Helper()
	return d.inspect(name, fmt.Sprintf("{{(index .NetworkSettings.Networks %q).IPAddress}}", network))
}

// gateway is a container's default gateway.
func (d *engine) gateway(name string) string {
	d.t.Helper()
	return d.inspect(name, "{{.NetworkSettings.Gateway}}")
}

// status is fairway status.
type status struct {
	Degraded []string
	Stats    struct {
		Forwarded map[string]struct{ Packets uint64 }
	}
}

func (d *engine) status() (s status) {
	d.t.Helper()
	if err := json.Unmarshal([]byte(d.Must(d.t, "status", "-o", "json")), &s); err != nil {
		d.t.Fatal(err)
	}
	return s
}

func tail(text string, lines int) string {
	all := strings.Split(text, "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
