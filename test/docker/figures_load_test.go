// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/fairway-project/fairway/test/harness"
)

// crowd starts containers at once, each with a published port or all without, and tells when
// the engine had started the last, and when the last port was reached from outside.
func (d *engine) crowd(count, networks int, ports bool) (started, reached time.Duration) {
	d.t.Helper()
	for n := range networks {
		d.docker("network", "create", fmt.Sprintf("crowd%d", n))
	}
	var names []string
	for n := range count {
		name := fmt.Sprintf("c%d", n)
		args := []string{"create", "--name", name, "--network", fmt.Sprintf("crowd%d", n%networks)}
		if ports {
			args = append(args, "-p", fmt.Sprintf("%d:80", 31000+n))
		}
		d.docker(append(args, image, "/peer", "serve", "80", name)...)
		names = append(names, name)
	}
	begun := time.Now()
	d.startAll(names)
	started = time.Since(begun)
	reachable := names
	if !ports {
		reachable = nil
	}
	for n, name := range reachable {
		harness.EventuallyWithin(d.t, d.limit, name+" is reached", func() error {
			r, err := harness.GetTCP(d.LAN1, fmt.Sprintf("%s:%d", harness.HostIP4, 31000+n), harness.Within(harness.Silence))
			if err == nil && r.Tag != name {
				err = fmt.Errorf("%s answers", r.Tag)
			}
			return err
		})
	}
	reached = time.Since(begun)
	d.docker(append([]string{"rm", "-f"}, names...)...)
	for n := range networks {
		d.docker("network", "rm", fmt.Sprintf("crowd%d", n))
	}
	return started, reached
}

// startAll asks the engine itself, as a command for each would keep the machine busy.
func (d *engine) startAll(names []string) {
	d.t.Helper()
	client := &http.Client{Timeout: d.limit, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", d.socket)
	}}}
	defer client.CloseIdleConnections()
	errs := make(chan error, len(names))
	var all sync.WaitGroup
	for _, name := range names {
		all.Go(func() {
			resp, err := client.Post("http://docker/containers/"+name+"/start", "", nil)
			if err != nil {
				errs <- err
				return
			}
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusNoContent {
				errs <- fmt.Errorf("start %s: %s", name, resp.Status)
			}
		})
	}
	all.Wait()
	close(errs)
	for err := range errs {
		d.t.Error(err)
	}
}

// barrage sends datagrams to many servers without waiting for answers.
type barrage struct {
	sent, answered atomic.Int64
	stop           chan struct{}
	senders        sync.WaitGroup
	receivers      sync.WaitGroup
	conns          []*harness.UDPConn
}

// every is the time between two datagrams to one server.
const every = 50 * time.Millisecond

// barrage begins to send to ports of the host from the LAN.
func (d *engine) barrage(first, count int) *barrage {
	d.t.Helper()
	b := &barrage{stop: make(chan struct{})}
	for port := first; port < first+count; port++ {
		c, err := harness.DialUDP(d.LAN1, fmt.Sprintf("%s:%d", harness.HostIP4, port))
		if err != nil {
			d.t.Fatal(err)
		}
		b.conns = append(b.conns, c)
		b.senders.Go(func() { b.send(c) })
		b.receivers.Go(func() { b.receive(c) })
	}
	return b
}

func (b *barrage) send(c *harness.UDPConn) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if _, err := c.Write([]byte("x")); err == nil || errors.Is(err, syscall.ECONNREFUSED) {
			b.sent.Add(1)
		}
		select {
		case <-b.stop:
			return
		case <-tick.C:
		}
	}
}

func (b *barrage) receive(c *harness.UDPConn) {
	buf := make([]byte, 512)
	for {
		_, err := c.Read(buf)
		switch {
		case err == nil:
			b.answered.Add(1)
		case errors.Is(err, net.ErrClosed):
			return
		}
	}
}

// end waits for late answers and returns the counts.
func (b *barrage) end() (lost, sent int64) {
	close(b.stop)
	b.senders.Wait()
	for deadline := time.Now().Add(time.Second); b.answered.Load() < b.sent.Load() && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	for _, c := range b.conns {
		c.Close()
	}
	b.receivers.Wait()
	return b.sent.Load() - b.answered.Load(), b.sent.Load()
}

// restartUnderTraffic restarts the engine and counts what its containers don't answer.
func (d *engine) restartUnderTraffic(count int) (lost, sent int64) {
	d.t.Helper()
	var names []string
	for n := range count {
		name := fmt.Sprintf("busy%d", n)
		d.docker("run", "-d", "--name", name, "-p", fmt.Sprintf("%d:80/udp", 32000+n), image, "/peer", "serve", "80", name)
		names = append(names, name)
	}
	for n, name := range names {
		harness.Eventually(d.t, name+" answers", func() error {
			r, err := harness.GetUDP(d.LAN1, fmt.Sprintf("%s:%d", harness.HostIP4, 32000+n))
			if err == nil && r.Tag != name {
				err = fmt.Errorf("%s answers", r.Tag)
			}
			return err
		})
	}
	b := d.barrage(32000, count)
	before := b.answered.Load()
	d.end(syscall.SIGTERM)
	d.start()
	harness.Eventually(d.t, "traffic after the restart", func() error {
		if b.answered.Load() < before+int64(10*count) {
			return errors.New("little")
		}
		return nil
	})
	lost, sent = b.end()
	d.docker(slices.Concat([]string{"rm", "-f"}, names)...)
	return lost, sent
}
