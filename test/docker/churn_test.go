// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"fmt"
	"sync"
	"testing"

	"github.com/fairway-project/fairway/test/harness"
)

// Containers that come and go at once, on several networks, with a daemon that is
// killed meanwhile: in the end the datapath has what Docker says, a container that
// stays lost nothing, and every address leads to who has it now.
func TestChurn(t *testing.T) {
	onDocker(t, func(t *testing.T, d *engine) {
		const networks, rounds = 3, 3
		d.serve("stays", "-p", "7000:80", "-p", "7000:80/udp")
		flows := d.steady(harness.HostIP4 + ":7000")
		var workers sync.WaitGroup
		errs, came := make(chan error, 2*networks*rounds), make(chan string, networks*rounds)
		for n := range networks {
			d.docker("network", "create", fmt.Sprintf("net%d", n))
		}
		for n := range networks {
			workers.Go(func() {
				for round := range rounds {
					if err := d.comeAndGo(n, round, round == rounds-1, came); err != nil {
						errs <- err
					}
				}
			})
		}
		go func() { workers.Wait(); close(came) }()
		<-came
		d.Daemon.Kill(t)
		// At most one per network was under way then: one of these began later.
		for range networks + 1 {
			<-came
		}
		d.Daemon.Start(t)
		workers.Wait()
		close(errs)
		for err := range errs {
			t.Error(err)
		}
		flows.Stop(t)
		for n := range networks {
			name := fmt.Sprintf("c%d-%d", n, rounds-1)
			d.reaches(d.LAN1, fmt.Sprintf("%s:%d", harness.HostIP4, 7100+n), name)
			d.reaches(d.Host, d.ip(name, fmt.Sprintf("net%d", n))+":80", name)
		}
		d.matches()
	}, harness.AllowPrivate())
}

// comeAndGo runs a container, tells its name, and removes it unless it is the last.
func (d *engine) comeAndGo(n, round int, last bool, came chan<- string) error {
	name := fmt.Sprintf("c%d-%d", n, round)
	_, err := d.try("run", "-d", "--name", name, "--network", fmt.Sprintf("net%d", n), "-p", fmt.Sprintf("%d:80", 7100+n),
		image, "/peer", "serve", "80", name)
	came <- name
	if err == nil && !last {
		_, err = d.try("rm", "-f", name)
	}
	return err
}
