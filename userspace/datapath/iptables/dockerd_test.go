// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairway-project/fairway/test/partial"
	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
)

// docker is a real dockerd that works in a namespace of its own.
type docker struct {
	t    *testing.T
	host string
	sock string
}

// startDocker starts the distribution's dockerd (20.10 in Debian 12) without a
// userland proxy and without docker0.
func startDocker(t *testing.T, w *world) *docker {
	t.Helper()
	if _, err := exec.LookPath("dockerd"); err != nil {
		partial.Skip(t, err)
		t.Fatalf("the comparison needs a real dockerd (apt-get install docker.io): %v", err)
	}
	root := t.TempDir()
	d := &docker{t: t, host: w.host, sock: "unix://" + filepath.Join(root, "docker.sock")}
	log, err := os.Create(filepath.Join(root, "log"))
	must(t, err)
	cmd := exec.Command("nsenter", "--net="+w.host, "dockerd",
		"--data-root", filepath.Join(root, "data"), "--exec-root", filepath.Join(root, "exec"),
		"--pidfile", filepath.Join(root, "pid"), "-H", d.sock, "--storage-driver", "vfs",
		"--bridge", "none", "--userland-proxy=false")
	cmd.Stdout, cmd.Stderr = log, log
	must(t, cmd.Start())
	t.Cleanup(func() { d.stop(cmd, filepath.Join(root, "log")) })
	deadline := time.Now().Add(60 * time.Second)
	for d.try("version") != nil {
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(log.Name())
			t.Fatalf("dockerd doesn't answer:\n%s", text)
		}
		time.Sleep(100 * time.Millisecond)
	}
	d.importBusybox()
	return d
}

func (d *docker) stop(cmd *exec.Cmd, log string) {
	if ids := strings.Fields(d.output("ps", "-aq")); len(ids) > 0 {
		d.output(append([]string{"rm", "-f"}, ids...)...)
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		text, _ := os.ReadFile(log)
		d.t.Errorf("dockerd: %v\n%s", err, text)
	}
}

func (d *docker) try(args ...string) error {
	return exec.Command("docker", append([]string{"-H", d.sock}, args...)...).Run()
}

func (d *docker) output(args ...string) string {
	d.t.Helper()
	cmd := exec.Command("docker", append([]string{"-H", d.sock}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		d.t.Fatalf("docker %s: %v: %s", strings.Join(args, " "), err, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

// importBusybox makes an image that can sleep.
func (d *docker) importBusybox() {
	d.t.Helper()
	path, err := exec.LookPath("busybox")
	must(d.t, err)
	binary, err := os.ReadFile(path)
	must(d.t, err)
	var image bytes.Buffer
	tw := tar.NewWriter(&image)
	must(d.t, tw.WriteHeader(&tar.Header{Name: "bin/busybox", Mode: 0o755, Size: int64(len(binary))}))
	_, err = tw.Write(binary)
	must(d.t, err)
	must(d.t, tw.Close())
	cmd := exec.Command("docker", "-H", d.sock, "import", "-", "sleeper")
	cmd.Stdin = &image
	out, err := cmd.CombinedOutput()
	if err != nil {
		d.t.Fatalf("docker import: %v\n%s", err, out)
	}
}

// container runs one that sleeps, and describes it as the test's own world does.
func (d *docker) container(network, addr string, ports ...string) container {
	d.t.Helper()
	args := []string{"run", "-d", "--network", network, "--ip", addr}
	for _, p := range ports {
		args = append(args, "-p", p)
	}
	id := d.output(append(args, "sleeper", "/bin/busybox", "sleep", "3600")...)
	var inspected []struct{ State struct{ Pid int } }
	must(d.t, json.Unmarshal([]byte(d.output("inspect", id)), &inspected))
	return container{
		Endpoint: datapath.Endpoint{ID: id, IPv4: netip.MustParseAddr(addr)},
		ns:       fmt.Sprintf("/proc/%d/ns/net", inspected[0].State.Pid),
	}
}

// outcome of one probe: the answer, or silence or a refusal.
func outcome(ns, network, addr string, port uint16) string {
	answer, err := ask(ns, network, addr, port, 3*refusal)
	switch {
	case err == nil:
		return answer
	case strings.Contains(err.Error(), "refused"):
		return "refused"
	}
	return "silence"
}

// outcomes probes all walks between two containers of one network, one of
// another and the LAN. Only c1 publishes: 8080 to 80/tcp, 5353 to 53/udp, and
// 127.0.0.1:9090 to 90/tcp.
func outcomes(t *testing.T, w *world, c1, c2, c3 container) map[string]string {
	serveTCP(t, c1.ns, "c1", 80)
	serveTCP(t, c1.ns, "c1", 90)
	serveTCP(t, c1.ns, "c1", 22)
	serveUDP(t, c1.ns, "c1", 53)
	out := make(map[string]string)
	from := map[string]string{"host": w.host, "lan": w.lan, "c1": c1.ns, "c2": c2.ns, "c3": c3.ns}
	for name, ns := range from {
		out[name+" to published tcp"] = outcome(ns, "tcp", hostAddr4, 8080)
		out[name+" to published udp"] = outcome(ns, "udp", hostAddr4, 5353)
		out[name+" to unpublished port"] = outcome(ns, "tcp", c1.IPv4.String(), 22)
		out[name+" to loopback publication"] = outcome(ns, "tcp", "127.0.0.1", 9090)
		if name != "host" && name != "lan" {
			out[name+" to lan tcp"] = outcome(ns, "tcp", lanAddr4, 80)
			out[name+" to lan udp"] = outcome(ns, "udp", lanAddr4, 53)
		}
	}
	out["host to 127.0.0.1"] = outcome(w.host, "tcp", "127.0.0.1", 8080)
	return out
}

// dropped20 are the walks that Engine 20.10 refuses and Engine 28 and later
// allow: to a published port of another network (DOCKER-ISOLATION-STAGE-2 is gone).
var dropped20 = map[string]string{
	"c3 to published tcp": "silence",
	"c3 to published udp": "silence",
}

// The same networks and ports by this package and by a real dockerd: the nat
// tables are equal line by line, and so is what every walk comes to. The filter
// tables differ in form: the package makes those of Engine 29.
func TestAsDockerDoes(t *testing.T) {
	var tables [2]string
	var results [2]map[string]string
	t.Run("docker", func(t *testing.T) {
		w := newWorld(t, "nft")
		must(t, w.d.Uninstall(t.Context()))
		serveTCP(t, w.lan, "lan", 80)
		serveUDP(t, w.lan, "lan", 53)
		d := startDocker(t, w)
		for _, num := range []string{"1", "2"} {
			d.output("network", "create", "--subnet", "10.9."+num+".0/24",
				"-o", "com.docker.network.bridge.name=br"+num, "net"+num)
		}
		c1 := d.container("net1", "10.9.1.2", "0.0.0.0:8080:80", "0.0.0.0:5353:53/udp", "127.0.0.1:9090:90")
		c2, c3 := d.container("net1", "10.9.1.3"), d.container("net2", "10.9.2.2")
		tables[0], results[0] = natTable(w), outcomes(t, w, c1, c2, c3)
	})
	t.Run("fairway", func(t *testing.T) {
		w := newWorld(t, "nft")
		serveTCP(t, w.lan, "lan", 80)
		serveUDP(t, w.lan, "lan", 53)
		v4 := func(n *datapath.Network) { n.IPv6 = nil }
		n1, n2 := w.network(1, v4), w.network(2, v4)
		c1, c2, c3 := w.container(n1, 2), w.container(n1, 3), w.container(n2, 2)
		w.publish(c1, publish(c1, 8080, 80, model.TCP, "0.0.0.0"), publish(c1, 5353, 53, model.UDP, "0.0.0.0"),
			publish(c1, 9090, 90, model.TCP, "127.0.0.1"))
		tables[1], results[1] = natTable(w), outcomes(t, w, c1, c2, c3)
	})
	if diff := cmp.Diff(tables[0], tables[1]); diff != "" {
		t.Errorf("nat rules (-docker +fairway):\n%s", diff)
	}
	for walk, was := range dropped20 {
		if got := results[0][walk]; got != was {
			t.Errorf("docker: %s: %q, want %q", walk, got, was)
		}
		results[0][walk] = "c1 10.9.1.1"
	}
	if diff := cmp.Diff(results[0], results[1]); diff != "" {
		t.Errorf("outcomes (-docker +fairway):\n%s", diff)
	}
}

var journalLine = regexp.MustCompile(`^(-A ?|:)` + chainJournal + `(-SERVICES|-HAIRPIN)? `)

// natTable is the nat table of IPv4, its rules in a fixed order, without the journal and
// the chains of services, which are empty.
func natTable(w *world) string {
	text := w.run(w.host, VariantBinaries(w.variant).Save4+" -t nat")
	var lines []string
	for line := range strings.Lines(changing.ReplaceAllString(text, "")) {
		if !journalLine.MatchString(line) {
			lines = append(lines, line)
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}
