// SPDX-License-Identifier: Apache-2.0

//go:build long

package test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairway-project/fairway/test/churn"
	"github.com/fairway-project/fairway/test/harness"
)

// stand is where a client is and how it gets to a service.
type stand struct {
	name string
	ns   *harness.Netns
	to   func(svc *stirred, f harness.Family) string
	// loses says that open flows needn't hear when their backend has gone.
	loses bool
}

// crowd are clients that ask all the time.
type crowd struct {
	t    *testing.T
	e    *harness.Env
	book *churn.Book
	all  []*stirred

	over chan struct{}
	done sync.WaitGroup
	// answers, refusals and datagrams that were sent again, flows that were opened.
	answers, refusals, again, flows atomic.Int64
	wrong                           atomic.Int64
	ports                           sync.Map
}

func newCrowd(t *testing.T, e *harness.Env, book *churn.Book, all []*stirred, client, stranger *harness.Sandbox) *crowd {
	c := &crowd{t: t, e: e, book: book, all: all, over: make(chan struct{})}
	published := func(svc *stirred, f harness.Family) string { return at(f.Host, svc.port) }
	vip := func(svc *stirred, f harness.Family) string { return at(svc.vip(f), 80) }
	loopback := func(svc *stirred, f harness.Family) string { return at(f.Loopback, svc.port) }
	// What a socket of the host has connected isn't translated after that.
	loses := e.Mode == harness.EBPF
	stands := []stand{
		{"LAN", e.LAN1, published, false}, {"container", client.Netns, vip, false}, {"hairpin", stranger.Netns, published, false},
		{"host by VIP", e.Host, vip, loses}, {"host by port", e.Host, published, loses}, {"host by loopback", e.Host, loopback, loses},
	}
	for _, at := range stands {
		for _, f := range []harness.Family{harness.V4(), harness.V6()} {
			if at.name == "host by loopback" && f.Is6() && e.Mode == harness.IPTables {
				continue // The daemon's proxy, which goes with it.
			}
			for _, work := range []func(stand, harness.Family, *rand.Rand){c.askTCP, c.askUDP} {
				c.repeat(func(r *rand.Rand) { work(at, f, r) })
			}
			c.keep(at, f)
		}
	}
	t.Cleanup(c.stop)
	return c
}

// pause is between two questions of one client.
const churnPause = 200 * time.Millisecond

func (c *crowd) repeat(work func(*rand.Rand)) {
	c.done.Add(1)
	random := rand.New(rand.NewPCG(rand.Uint64(), 1))
	go func() {
		defer c.done.Done()
		for {
			select {
			case <-c.over:
				return
			case <-time.After(churnPause):
				work(random)
			}
		}
	}()
}

func (c *crowd) stop() {
	select {
	case <-c.over:
	default:
		close(c.over)
	}
	c.done.Wait()
}

// judge notes what came of a question.
func (c *crowd) judge(what string, verdict, err error) {
	if err == nil {
		c.answers.Add(1)
	} else {
		c.refusals.Add(1)
	}
	const enough = 20
	if verdict != nil && c.wrong.Add(1) <= enough {
		c.t.Errorf("%s %s: %v", time.Now().Format("15:04:05.000"), what, verdict)
	}
}

// advance waits until so many more questions have been answered, by whomever.
func (c *crowd) advance(t *testing.T, count int64) {
	t.Helper()
	asked := func() int64 { return c.answers.Load() + c.refusals.Load() }
	goal := asked() + count
	harness.Eventually(t, "clients to go on", func() error {
		if left := goal - asked(); left > 0 {
			return fmt.Errorf("%d questions to go", left)
		}
		return nil
	})
}

func (c *crowd) tally() string {
	return fmt.Sprintf("%d answers and %d refusals, %d flows, %d datagrams sent again", c.answers.Load(), c.refusals.Load(), c.flows.Load(), c.again.Load())
}

func (c *crowd) any(r *rand.Rand) *stirred { return c.all[r.IntN(len(c.all))] }

func (c *crowd) askTCP(from stand, f harness.Family, r *rand.Rand) {
	svc := c.any(r)
	dst := from.to(svc, f)
	q := c.book.Ask(svc.name)
	reply, err := harness.GetTCP(from.ns, dst, harness.Within(patienceOf(q)))
	c.judge(fmt.Sprintf("%s → %s over TCP", from.name, dst), q.Chosen(reply.Tag, err), err)
}

// patienceOf is how long a client waits: where nobody has to answer, not long.
func patienceOf(q *churn.Question) time.Duration {
	if q.Sure() {
		return harness.Patience
	}
	return 2 * time.Second
}

func (c *crowd) askUDP(from stand, f harness.Family, r *rand.Rand) {
	svc := c.any(r)
	dst := from.to(svc, f)
	q := c.book.Ask(svc.name)
	u, err := harness.DialUDP(from.ns, dst, harness.From(fmt.Sprint(":", c.port(from.ns))))
	var reply harness.Reply
	if err == nil {
		reply, err = c.exchange(u, q)
		u.Close()
	}
	c.judge(fmt.Sprintf("%s → %s over UDP", from.name, dst), q.Chosen(reply.Tag, err), err)
}

// port is one that no flow was opened from for a long time: another flow from the same one would
// be the former one, and go on with its backend.
func (c *crowd) port(n *harness.Netns) int {
	const first, count = 10000, 10000
	v, _ := c.ports.LoadOrStore(n, new(atomic.Int64))
	return first + int(v.(*atomic.Int64).Add(1)%count)
}

// exchange sends a datagram, and another where no answer comes for a while, as long as one has
// to.
func (c *crowd) exchange(u *harness.UDPConn, q *churn.Question) (harness.Reply, error) {
	const each = 2 * time.Second
	for left := harness.Patience; ; left -= each {
		reply, err := u.Exchange(8, each)
		if err == nil || !harness.IsTimeout(err) || !q.Sure() || left <= each {
			return reply, err
		}
		c.again.Add(1)
	}
}

// keep has one flow of each protocol open at a time, and opens another when it has ended.
func (c *crowd) keep(from stand, f harness.Family) {
	var tcp *openTCP
	var udp *openUDP
	c.repeat(func(r *rand.Rand) { tcp = c.goOnTCP(tcp, from, f, r) })
	c.repeat(func(r *rand.Rand) { udp = c.goOnUDP(udp, from, f, r) })
}

type openTCP struct {
	*harness.TCPConn
	*churn.Flow
	svc *stirred
	dst string
}

func (c *crowd) goOnTCP(o *openTCP, from stand, f harness.Family, r *rand.Rand) *openTCP {
	if o == nil {
		svc := c.any(r)
		dst := from.to(svc, f)
		q := c.book.Ask(svc.name)
		conn, err := harness.DialTCP(from.ns, dst, harness.Within(patienceOf(q)))
		if err != nil {
			c.judge(fmt.Sprintf("%s → %s over TCP, to stay", from.name, dst), q.Chosen("", err), err)
			return nil
		}
		c.flows.Add(1)
		c.judge(fmt.Sprintf("%s → %s over TCP, to stay", from.name, dst), q.Chosen(conn.Tag, nil), nil)
		return &openTCP{conn, q.Opened(conn.Tag), svc, dst}
	}
	if !o.Sure() && (from.loses || o.Over()) || r.IntN(100) == 0 {
		o.Close()
		return nil
	}
	q := c.book.Ask(o.svc.name)
	err := o.Echo("still here")
	c.judge(fmt.Sprintf("%s → %s over TCP, open", from.name, o.dst), o.Goes(q, o.Tag, err), err)
	if err != nil {
		o.Close()
		return nil
	}
	return o
}

type openUDP struct {
	*harness.UDPConn
	*churn.Flow
	svc *stirred
	dst string
}

func (c *crowd) goOnUDP(o *openUDP, from stand, f harness.Family, r *rand.Rand) *openUDP {
	if o == nil {
		svc := c.any(r)
		dst := from.to(svc, f)
		q := c.book.Ask(svc.name)
		u, err := harness.DialUDP(from.ns, dst, harness.From(fmt.Sprint(":", c.port(from.ns))))
		var reply harness.Reply
		if err == nil {
			reply, err = c.exchange(u, q)
		}
		c.judge(fmt.Sprintf("%s → %s over UDP, to stay", from.name, dst), q.Chosen(reply.Tag, err), err)
		if err != nil {
			if u != nil {
				u.Close()
			}
			return nil
		}
		c.flows.Add(1)
		return &openUDP{u, q.Opened(reply.Tag), svc, dst}
	}
	if !o.Sure() && from.loses || r.IntN(100) == 0 {
		o.Close()
		return nil
	}
	q := c.book.Ask(o.svc.name)
	reply, err := c.exchange(o.UDPConn, q)
	c.judge(fmt.Sprintf("%s → %s over UDP, open", from.name, o.dst), o.Goes(q, reply.Tag, err), err)
	switch {
	case err != nil:
		o.Close()
		return nil
	case !o.Sure():
		o.Flow = q.Opened(reply.Tag)
	}
	return o
}
