// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fairway-project/fairway/test/harness"
)

// Containers that come and go at once, on several networks, with a daemon that is
// killed meanwhile: in the end the datapath has what Docker says, a container that
// stays lost nothing, and every address leads to who has it now.
func TestChurn(t *testing.T) {
	onDocker(t, func(t *testing.T, d *engine) {
		const networks, rounds = 3, 3
		d.serve("stays", "-p", "7000:80")
		inside := d.connect(harness.HostIP4 + ":7000")
		var workers sync.WaitGroup
		errs := make(chan error, 64)
		for n := range networks {
			d.docker("network", "create", fmt.Sprintf("net%d", n))
		}
		for n := range networks {
			workers.Go(func() {
				for round := range rounds {
					if err := d.comeAndGo(n, round, round == rounds-1); err != nil {
						errs <- err
					}
				}
			})
		}
		time.Sleep(500 * time.Millisecond)
		d.Daemon.Kill(t)
		time.Sleep(500 * time.Millisecond)
		d.Daemon.Start(t)
		workers.Wait()
		close(errs)
		for err := range errs {
			t.Error(err)
		}
		inside.echoes("after the churn")
		for n := range networks {
			name := fmt.Sprintf("c%d-%d", n, rounds-1)
			d.reaches(d.LAN1, fmt.Sprintf("%s:%d", harness.HostIP4, 7100+n), name)
			d.reaches(d.Host, d.ip(name, fmt.Sprintf("net%d", n))+":80", name)
		}
		d.matches()
	}, harness.AllowPrivate())
}

// comeAndGo runs a container, and removes it unless it is the last.
func (d *engine) comeAndGo(n, round int, last bool) error {
	name := fmt.Sprintf("c%d-%d", n, round)
	_, err := d.try("run", "-d", "--name", name, "--network", fmt.Sprintf("net%d", n), "-p", fmt.Sprintf("%d:80", 7100+n),
		image, "/peer", "serve", "80", name)
	if err == nil && !last {
		_, err = d.try("rm", "-f", name)
	}
	return err
}

// matches demands that the datapath has as many endpoints and ports as Docker.
func (d *engine) matches() {
	d.t.Helper()
	want := map[string]int{}
	for _, name := range strings.Fields(d.docker("ps", "--format", "{{.Names}}")) {
		var ports map[string][]struct{ HostIp string }
		raw := d.docker("inspect", "-f", "{{json .NetworkSettings.Ports}}", name)
		if err := json.Unmarshal([]byte(raw), &ports); err != nil {
			d.t.Fatal(err)
		}
		for _, p := range ports {
			want["published_ports"] += len(p)
		}
		want["endpoints"]++
	}
	harness.Eventually(d.t, "the datapath has what Docker has", func() error {
		var s struct {
			Stats struct {
				Maps []struct {
					Map     string
					Entries int
				}
			}
		}
		if err := json.Unmarshal([]byte(d.Must(d.t, "status", "-o", "json")), &s); err != nil {
			return err
		}
		for _, m := range s.Stats.Maps {
			if n, ok := want[m.Map]; ok && n != m.Entries {
				return fmt.Errorf("%s: %d, want %d", m.Map, m.Entries, n)
			}
		}
		return nil
	})
}
