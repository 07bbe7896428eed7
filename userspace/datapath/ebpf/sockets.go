// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"context"
	"errors"
	"fmt"

	"github.com/fairway-project/fairway/maps/ledsocket"
	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/netns"
	"github.com/fairway-project/fairway/userspace/sockdiag"
)

var _ datapath.Leading = (*Datapath)(nil)

// endedSockets picks sockets that the programs have connected to an endpoint, and that are to be
// ended since it is gone or serves no more: packets to it are neither translated nor judged
// again, so nothing else would tell their processes.
type endedSockets func(proto model.Proto, led ledsocket.Led) bool

// leadTo picks those that lead to endpoints which are gone, by all that was published of them. Who
// has their addresses now has other sockets.
func leadTo(gone []goneEndpoint) endedSockets {
	owners := make(map[owner]bool)
	for _, e := range gone {
		owners[e.owner] = true
	}
	return func(_ model.Proto, led ledsocket.Led) bool { return owners[owner{led.Endpoint, led.Generation}] }
}

// socketTries are how often it is tried to end the same sockets. They are a few passes of the
// collector apart in which the kernel may have memory again.
const socketTries = 5

// endSockets ends the sockets that are picked, of the host and of all namespaces that have any
// which were led to one of the networks. It must not be called under the lock. What fails may be
// tried again, unless the kernel ends no sockets for others.
func (d *Datapath) endSockets(networks map[uint16]bool, picked endedSockets) error {
	ended, can := 0, true
	err := d.eachLed(func(network uint16) bool { return networks[network] }, func(all []ledSocket) error {
		n, err := endAll(all, picked)
		ended += n
		if errors.Is(err, sockdiag.ErrUnsupported) {
			can, err = false, nil
		}
		return err
	})
	if ended > 0 {
		d.log.Debug("ended sockets that led to who is gone", "sockets", ended)
	}
	if !can {
		d.unable.Do(func() {
			d.log.Warn("sockets that lead to a backend which is gone stay open", "err", sockdiag.ErrUnsupported)
		})
	}
	return err
}

// endAll works in the namespace of the sockets.
func endAll(all []ledSocket, picked endedSockets) (ended int, err error) {
	for _, s := range all {
		if !picked(s.Proto, s.led) {
			continue
		}
		switch failed := s.End(); {
		case failed == nil:
			ended++
		case err == nil:
			// One stands for all: they may be thousands.
			err = failed
		}
	}
	return ended, err
}

// LedSockets implements datapath.Leading.
func (d *Datapath) LedSockets(ctx context.Context) (all []datapath.LedSocket, err error) {
	everywhere := func(uint16) bool { return true }
	err = d.eachLed(everywhere, func(some []ledSocket) error {
		for _, s := range some {
			all = append(all, datapath.LedSocket{Proto: uint8(s.Proto), Origin: s.led.Origin, Target: s.led.Target})
		}
		return ctx.Err()
	})
	return all, err
}

// ledSocket is one that programs have connected to an endpoint.
type ledSocket struct {
	sockdiag.Socket
	led ledsocket.Led
}

// eachLed calls f in the namespaces that have sockets which were led to an endpoint of such a
// network, and in the host's, with all of each that were led. It must not be called under the lock.
func (d *Datapath) eachLed(to func(network uint16) bool, f func([]ledSocket) error) error {
	d.mu.Lock()
	paths, host, err := d.attachments.leading(to)
	d.mu.Unlock()
	here := func(host bool) func() error {
		return func() error {
			all, err := d.ledHere(host)
			return errors.Join(err, f(all))
		}
	}
	errs := []error{err}
	if host {
		errs = append(errs, d.ns.Do(here(true)))
	}
	for cookie, path := range paths {
		errs = append(errs, inNamespace(path, cookie, here(false)))
	}
	return errors.Join(errs...)
}

// inNamespace runs f in the namespace at path, if it is still the one with the cookie.
func inNamespace(path string, cookie uint64, f func() error) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("namespace %s: %w", path, err)
		}
	}()
	ns, err := netns.Open(path)
	if errors.Is(err, netns.ErrNotExist) || errors.Is(err, netns.ErrNotNetns) {
		return nil
	}
	if err != nil {
		return err
	}
	defer ns.Close()
	if now, err := ns.Cookie(); err != nil || now != cookie {
		return err
	}
	return ns.Do(f)
}

// ledHere lists those of the thread's namespace, which is the host's or not: of others no UDP
// sockets are led.
func (d *Datapath) ledHere(host bool) (all []ledSocket, err error) {
	table := ledsocket.New(d.loader.Maps())
	tcp, err := sockdiag.TCP(table.TCP())
	errs := []error{err}
	for _, s := range tcp {
		// One that has connected anew may keep what it was led to before.
		if led, ok := ledsocket.Parse(s.Kept); ok && led.Target == s.Remote {
			all = append(all, ledSocket{s, led})
		}
	}
	if !host {
		return all, errors.Join(errs...)
	}
	udp, err := sockdiag.UDP()
	errs = append(errs, err)
	for _, s := range udp {
		led, ok, err := table.UDP(s.Cookie, s.Remote)
		errs = append(errs, err)
		if ok {
			all = append(all, ledSocket{s, led})
		}
	}
	return all, errors.Join(errs...)
}

// endSocketsTo ends those that lead to endpoints which are gone.
func (d *Datapath) endSocketsTo(gone []goneEndpoint) {
	if len(gone) == 0 {
		return
	}
	networks := make(map[uint16]bool)
	for _, e := range gone {
		networks[e.network] = true
	}
	err := d.endSockets(networks, leadTo(gone))
	if err == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range gone {
		if e.tries++; e.tries < socketTries {
			d.endpoints.gone = append(d.endpoints.gone, e)
		}
	}
	d.stayOpen(err)
}

func (d *Datapath) stayOpen(err error) {
	d.log.Warn("sockets that lead to who is gone stay open until this works", "err", err, "tries", socketTries)
}

// endSocketsOf ends those that lead to backends which are down, or by services which are gone.
func (d *Datapath) endSocketsOf(ended []endedFlows) error {
	networks := make(map[uint16]bool)
	for _, e := range ended {
		// Sandboxes are led to peers, on a network on which the service has an address.
		for k := range e.fronts {
			networks[k.Network] = true
		}
	}
	all := byTarget(ended)
	return d.endSockets(networks, func(proto model.Proto, led ledsocket.Led) bool {
		return all.hasSocket(proto, led, d.isPublished)
	})
}
