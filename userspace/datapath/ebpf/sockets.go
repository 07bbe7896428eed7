// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"context"
	"errors"
	"net/netip"
	"slices"

	"github.com/fairway-project/fairway/maps/endpoint"
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

// hasSocket is has for sockets that were led.
func (e endedFlows) hasSocket(proto model.Proto, led ledsocket.Led) bool {
	if !e.targets[led.Target] {
		return false
	}
	for k := range e.fronts {
		if k.Proto == proto && k.Port == led.Origin.Port() && (k.Addr == led.Origin.Addr() || k.Addr.IsUnspecified()) {
			return true
		}
	}
	return false
}

// leadTo picks those that lead to endpoints which are gone, by all that was published of them.
func leadTo(gone []endpoint.Endpoint) endedSockets {
	addrs := make(map[netip.Addr]bool)
	for _, e := range gone {
		addrs[e.IPv4], addrs[e.IPv6] = true, true
	}
	delete(addrs, netip.Addr{})
	return func(_ model.Proto, led ledsocket.Led) bool { return addrs[led.Target.Addr()] }
}

// endSockets ends the sockets that are picked, of the host and of all namespaces that have any
// which were led. It must not be called under the lock. What it can't end is said in the log: to
// try again wouldn't help, and the flows have ended.
func (d *Datapath) endSockets(picked endedSockets) {
	ended := 0
	err := d.eachLed(func(all []ledSocket) error {
		n, err := endAll(all, picked)
		ended += n
		return err
	})
	if ended > 0 {
		d.log.Debug("ended sockets that led to who is gone", "sockets", ended)
	}
	if err != nil {
		d.log.Warn("sockets that lead to a backend which is gone stay open", "err", err)
	}
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
	err = d.eachLed(func(some []ledSocket) error {
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

// eachLed calls f in the namespaces that have sockets which were led, the host's among them, with
// those of each. It must not be called under the lock.
func (d *Datapath) eachLed(f func([]ledSocket) error) error {
	d.mu.Lock()
	paths, host, err := d.attachments.leading()
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
func inNamespace(path string, cookie uint64, f func() error) error {
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
func (d *Datapath) endSocketsTo(gone []endpoint.Endpoint) {
	if len(gone) > 0 {
		d.endSockets(leadTo(gone))
	}
}

// endSocketsOf ends those that lead to backends which are down, or by services which are gone.
func (d *Datapath) endSocketsOf(ended []endedFlows) {
	if len(ended) == 0 {
		return
	}
	d.endSockets(func(proto model.Proto, led ledsocket.Led) bool {
		return slices.ContainsFunc(ended, func(e endedFlows) bool { return e.hasSocket(proto, led) })
	})
}
