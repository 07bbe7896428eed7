// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/fairway-project/fairway/test/root"
	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/netns"
)

// crashEnv makes the test binary the process that is killed: its value is the
// instance and the devices, as space-separated words.
const crashEnv = "FAIRWAY_TEST_CRASH"

func TestMain(m *testing.M) {
	if words := os.Getenv(crashEnv); words != "" {
		if err := victim(strings.Fields(words)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(root.Main(m))
}

// steps is a life with every kind of change in it. It ends with what
// TestKilledAnywhere wants.
func (w *world) steps(a, b datapath.Endpoint) []func(context.Context) error {
	moved := a
	moved.IPv4 = a.IPv4.Next().Next()
	return []func(context.Context) error{
		w.hostIs(w.host()), w.networkIs(w.network()), w.endpointIs(moved), w.endpointIs(b),
		w.portsAre(a.ID), w.portsAre(b.ID, publication(b, model.UDP, 53), publication(b, model.TCP, 8080)),
		w.endpointGone(b.ID), w.endpointIs(a),
		w.portsAre(a.ID, publication(a, model.TCP, 8080)), w.endpointIs(b),
		w.portsAre(b.ID, publication(b, model.UDP, 53)),
		w.pruned(datapath.Desired{
			Networks: []datapath.Network{w.network()}, Endpoints: []datapath.Endpoint{a, b},
			Ports: map[string][]datapath.Port{a.ID: {{}}, b.ID: {{}}},
		}),
	}
}

// victim lives those steps over and over and says when it begins one.
func victim(words []string) error {
	number := func(s string) int { n, _ := strconv.Atoi(s); return n }
	w := &world{netns: words[0], devices: map[string]int{"veth1": number(words[4]), "veth2": number(words[5])}, uplink: number(words[3])}
	w.cfg = Config{BPFFS: words[1], RunDir: words[2], FlowTableSize: 8192, Logger: slog.New(slog.DiscardHandler)}
	w.bridgeIndex = number(words[6])
	return netns.Do(w.netns, func() (err error) {
		fmt.Println("open")
		if w.dp, err = New(context.Background(), w.cfg); err != nil {
			return err
		}
		for {
			for i, step := range w.steps(w.endpointOf(1), w.endpointOf(2)) {
				fmt.Println("step", i)
				if err := step(context.Background()); err != nil {
					return err
				}
			}
		}
	})
}

// A process that is killed at any point leaves something from which the next one
// reaches the same state.
func TestKilledAnywhere(t *testing.T) {
	w := newWorld(t)
	a, b := w.endpoint(1), w.endpoint(2)
	w.ensure(w.steps(a, b)...)
	want := w.identities()
	lines := len(w.steps(a, b)) + 1
	for kill := range lines {
		if err := w.dp.Close(); err != nil {
			t.Fatal(err)
		}
		w.killAfter(kill + 1)
		w.open()
		// The last steps alone, in which nothing is taken back.
		w.ensure(w.hostIs(w.host()), w.networkIs(w.network()), w.endpointIs(a), w.endpointIs(b),
			w.portsAre(a.ID, publication(a, model.TCP, 8080)), w.portsAre(b.ID, publication(b, model.UDP, 53)))
		all := w.steps(a, b)
		w.ensure(all[len(all)-1])
		equal(t, fmt.Sprintf("killed after line %d", kill+1), w.identities(), want)
	}
}

// killAfter starts a victim and kills it as soon as it has written so many lines.
func (w *world) killAfter(lines int) {
	w.t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %s %d %d %d %d", crashEnv, w.netns, w.cfg.BPFFS, w.cfg.RunDir,
		w.uplink, w.devices["veth1"], w.devices["veth2"], w.bridgeIndex))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	scanner := bufio.NewScanner(out)
	for range lines {
		if !scanner.Scan() {
			w.t.Fatalf("the victim ended early: %v", cmd.Wait())
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		w.t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		w.t.Fatalf("the victim wasn't killed: %v", err)
	}
}

// identities is a snapshot without the numbers that history decides.
func (w *world) identities() map[string]bool {
	w.t.Helper()
	s := w.snapshot()
	all := make(map[string]bool)
	for _, n := range s.Networks {
		all["network "+n.String()] = true
	}
	for p, slot := range s.Subnets {
		all[fmt.Sprintf("subnet %s of bridge %d", p, s.Networks[slot].BridgeIndex)] = true
	}
	for _, e := range s.Endpoints {
		e.Generation = 0
		all["endpoint "+e.String()] = true
	}
	for k, p := range s.Ports {
		owner := s.Endpoints[p.Endpoint]
		all[fmt.Sprintf("port %s to %s of device %d, in force %t", k, p.Target, owner.Index, owner.Generation == p.Generation)] = true
	}
	for _, b := range s.Bits {
		all["bit "+b.String()] = true
	}
	for a := range s.Addresses {
		all["address "+a.String()] = true
	}
	for _, at := range w.attached() {
		all["attached "+at.Device+" "+at.Program] = true
	}
	return all
}
