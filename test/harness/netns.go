// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairway-project/fairway/test/partial"
	"github.com/fairway-project/fairway/userspace/netns"
)

// Netns is a network namespace that tests work in.
type Netns struct {
	// Name is for messages; Path can be opened and given to setns(2).
	Name, Path string
	ns         *netns.NS
	// touched says that something was changed that may outlive a test.
	touched atomic.Bool
	// compared says that links, addresses, routes and rules are compared after each test.
	compared bool
}

// Touch is for who changes something of the namespace by other means than its methods.
func (n *Netns) Touch() { n.touched.Store(true) }

// changing are programs by which a test changes a namespace, or looks at it.
var changing = []string{"ip", "tc", "bridge", "ethtool", "sysctl", "iptables", "ip6tables", "nft", "ipset", "conntrack", "sh", "bash"}

// OpenNetns opens the namespace at path; it is closed with the test.
func OpenNetns(t testing.TB, name, path string) *Netns {
	t.Helper()
	n := holdNetns(t, name, path)
	t.Cleanup(n.close)
	return n
}

// holdNetns is OpenNetns for one who closes the namespace himself.
func holdNetns(t testing.TB, name, path string) *Netns {
	t.Helper()
	ns, err := netns.Open(path)
	if err != nil {
		t.Fatalf("namespace of %s: %v", name, err)
	}
	return &Netns{Name: name, Path: path, ns: ns}
}

func (n *Netns) close() { n.ns.Close() }

// Inode identifies the namespace as /proc/PID/ns/net does.
func (n *Netns) Inode() uint64 {
	id, err := n.ns.ID()
	if err != nil {
		return 0
	}
	return id.Ino
}

// Do runs fn on a thread that is in the namespace. Sockets that fn creates stay
// there, wherever they are used later.
func (n *Netns) Do(fn func() error) error { return n.ns.Do(fn) }

// Command starts nothing: it returns a command that is to be started with Start
// of this namespace. Output collects both streams.
func (n *Netns) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	// What it leaves running must not keep the output open for ever.
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// Start starts cmd in the namespace.
func (n *Netns) Start(cmd *exec.Cmd) error { return n.Do(cmd.Start) }

// Output runs a command in the namespace and returns what it wrote to both
// streams.
func (n *Netns) Output(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	var out strings.Builder
	if slices.Contains(changing, name) && !onlyLooks(args) && !(name == "ip" && n.onlyCompared(args)) && !(name == "nft" && n.compared && slices.Equal(args, []string{"flush", "ruleset"})) {
		n.Touch()
	}
	cmd := n.Command(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := n.Start(cmd); err != nil {
		return "", err
	}
	err := cmd.Wait()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil
	}
	if err != nil {
		err = fmt.Errorf("in %s: %s %s: %w: %s", n.Name, name, strings.Join(args, " "), err, strings.TrimSpace(out.String()))
	}
	return out.String(), err
}

// onlyLooks tells arguments that change nothing.
func onlyLooks(args []string) bool {
	return slices.ContainsFunc(args, func(a string) bool {
		return a == "show" || a == "list" || a == "get" || a == "-o" || a == "-j" || a == "-S" || a == "-k" || a == "-C"
	})
}

// onlyCompared tells arguments of ip that leave nothing in the namespace but what is compared, or
// forgotten, anyway.
func (n *Netns) onlyCompared(args []string) bool {
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		args = args[1:]
	}
	if len(args) == 0 {
		return false
	}
	// It makes and removes other namespaces.
	if args[0] == "netns" {
		return true
	}
	return n.compared && slices.Contains([]string{"link", "addr", "address", "route", "rule"}, args[0])
}

// Must is Output that ends the test where the command fails.
func (n *Netns) Must(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := n.Output(name, args...)
	if err != nil {
		partial.Skip(t, err)
		t.Fatal(err)
	}
	return out
}

// IP runs lines of `ip -batch` in the namespace.
func (n *Netns) IP(t testing.TB, lines ...string) {
	t.Helper()
	if slices.ContainsFunc(lines, func(line string) bool { return !n.onlyCompared(strings.Fields(line)) }) {
		n.Touch()
	}
	ipBatch(t, n.Name, lines...)
}

// Route adds a route to the namespace for as long as the test runs.
func (n *Netns) Route(t testing.TB, to, via string) {
	t.Helper()
	ipBatch(t, n.Name, "route add "+to+" via "+via)
	t.Cleanup(func() { ipBatch(t, n.Name, "route del "+to+" via "+via) })
}

// While runs lines of `ip -batch`, and at the end of the test those that take them back.
func (n *Netns) While(t testing.TB, lines, back []string) {
	t.Helper()
	ipBatch(t, n.Name, lines...)
	t.Cleanup(func() { ipBatch(t, n.Name, back...) })
}

// Sysctl writes a value below /proc/sys/net.
func (n *Netns) Sysctl(t testing.TB, key, value string) {
	t.Helper()
	err := n.Do(func() error {
		path := "/proc/sys/net/" + key
		if was, err := os.ReadFile(path); err == nil && strings.TrimSpace(string(was)) == value {
			return nil
		}
		n.Touch()
		return os.WriteFile(path, []byte(value), 0)
	})
	if err != nil {
		t.Fatalf("in %s: %v", n.Name, err)
	}
}

func ipBatch(t testing.TB, netns string, lines ...string) {
	t.Helper()
	args := []string{"-batch", "-"}
	if netns != "" {
		args = append([]string{"-n", netns}, args...)
	}
	cmd := exec.Command("ip", args...)
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("ip -n %q: %v: %s\n%s", netns, err, out, strings.Join(lines, "\n"))
	}
}
