// SPDX-License-Identifier: Apache-2.0

package step

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/fairway-project/fairway/bench/load"
	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
)

// Range is a number of ports of the host, from Host on, that lead to as many of
// the container, from Container on. They are TCP's, of all of the host's IPv4
// addresses.
type Range struct {
	Host, Container uint16
	Count           int
}

type request struct {
	Endpoint string
	Target   netip.Addr
	Ranges   []Range
}

// Took is when a call began and when it returned, by load.Clock.
type Took struct{ Begun, Ended time.Duration }

type response struct {
	Error string
	Took
}

// listen answers one connection after the other for as long as the process lives.
func listen(path string, d datapath.Datapath) error {
	l, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	go func() {
		for {
			c, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				answer(c, d)
			}
		}
	}()
	return nil
}

func answer(c net.Conn, d datapath.Datapath) {
	defer c.Close()
	in, out := json.NewDecoder(c), json.NewEncoder(c)
	for {
		var q request
		if in.Decode(&q) != nil || out.Encode(ensure(d, q)) != nil {
			return
		}
	}
}

func ensure(d datapath.Datapath, q request) (r response) {
	ports := q.ports()
	r.Begun = load.Clock()
	err := d.EnsurePorts(context.Background(), q.Endpoint, ports)
	r.Ended = load.Clock()
	if err != nil {
		r.Error = err.Error()
	}
	return r
}

func (q request) ports() (all []datapath.Port) {
	for _, r := range q.Ranges {
		for n := range uint16(r.Count) {
			all = append(all, datapath.Port{
				PublishedPort: model.PublishedPort{
					Port:   model.Port{Num: r.Container + n, Proto: model.TCP},
					HostIP: netip.IPv4Unspecified(), HostPort: r.Host + n,
				},
				Target: q.Target,
			})
		}
	}
	return all
}
