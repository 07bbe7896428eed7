// SPDX-License-Identifier: Apache-2.0

// Command pktgen sends small packets between two namespaces that are there already,
// and prints what each cost: for experiments that no workload of fairway-bench makes.
//
//	pktgen --netns /run/netns/lan --dev eth0 --dst-mac 02:.. --src 192.0.2.10:1000 --dst 192.0.2.1:8080 \
//		--sports 32768 --saddrs 2 --sink-netns /run/netns/c1 --sink-dev eth0
package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"time"

	"github.com/fairway-project/fairway/bench/pktgen"
	"github.com/fairway-project/fairway/userspace/netns"
)

type options struct {
	netns, dev, srcMAC, dstMAC, src, dst string
	sports, saddrs, dports, daddrs       uint
	random, syn                          bool
	sinkNetns, sinkDev                   string
	cpu, slices                          int
	slice                                time.Duration
}

func main() {
	o := parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "pktgen:", err)
		os.Exit(1)
	}
}

func parse() (o options) {
	flag.StringVar(&o.netns, "netns", "", "path of the namespace that sends")
	flag.StringVar(&o.dev, "dev", "eth0", "device that sends; its veth peer gets generic receive offload by `ethtool -K DEV gro on`")
	flag.StringVar(&o.srcMAC, "src-mac", "", "source MAC; the device's if empty")
	flag.StringVar(&o.dstMAC, "dst-mac", "", "destination MAC")
	flag.StringVar(&o.src, "src", "", "first source, ADDRESS:PORT")
	flag.StringVar(&o.dst, "dst", "", "first destination, ADDRESS:PORT")
	flag.UintVar(&o.sports, "sports", 1, "number of source ports")
	flag.UintVar(&o.saddrs, "saddrs", 1, "number of source addresses")
	flag.UintVar(&o.dports, "dports", 1, "number of destination ports")
	flag.UintVar(&o.daddrs, "daddrs", 1, "number of destination addresses")
	flag.BoolVar(&o.random, "random", false, "choose flows at random")
	flag.BoolVar(&o.syn, "syn", false, "TCP SYN instead of UDP; they aren't counted at the sink")
	flag.StringVar(&o.sinkNetns, "sink-netns", "", "path of the namespace that counts")
	flag.StringVar(&o.sinkDev, "sink-dev", "eth0", "device that counts")
	flag.IntVar(&o.cpu, "cpu", 1, "CPU for all of it")
	flag.IntVar(&o.slices, "slices", 5, "number of slices")
	flag.DurationVar(&o.slice, "slice", 200*time.Millisecond, "length of a slice")
	flag.Parse()
	return o
}

func run(ctx context.Context, o options) error {
	cfg, err := o.config()
	if err != nil {
		return err
	}
	g, err := pktgen.New(cfg)
	if err != nil {
		return err
	}
	defer g.Close()
	var sink *pktgen.Sink
	if o.sinkNetns != "" {
		if sink, err = pktgen.AtDevice(o.sinkNetns, o.sinkDev, pktgen.Want{Mark: cfg.Mark}); err != nil {
			return err
		}
		defer sink.Close()
	}
	total := uint64(0)
	for i := range o.slices + 1 {
		sent, err := slice(ctx, o, g, i == 0)
		if err != nil || ctx.Err() != nil {
			return err
		}
		if total += sent.Packets; sink != nil && !o.syn {
			if err := sink.Wait(ctx, total); err != nil {
				return err
			}
		}
		report(i, sent)
	}
	return nil
}

// slice sends for a while; the first one each flow twice, so that it is known.
func slice(ctx context.Context, o options, g *pktgen.Generator, first bool) (pktgen.Sent, error) {
	if first && !o.random {
		return g.Run(ctx, max(2*g.Flows(), 1000))
	}
	return g.RunFor(ctx, o.slice)
}

func report(i int, s pktgen.Sent) {
	name := fmt.Sprint("slice ", i)
	if i == 0 {
		name = "warm up"
	}
	ns := float64(s.Elapsed.Nanoseconds()) / float64(s.Packets)
	cpu := float64(s.CPU.Nanoseconds()) / float64(s.Packets)
	fmt.Printf("%-9s %9d packets  %8.1f ns/packet  %8.1f ns of CPU  %10.0f packets/s\n", name, s.Packets, ns, cpu, 1e9/ns)
}

func (o *options) config() (cfg pktgen.Config, err error) {
	cfg = pktgen.Config{Netns: o.netns, Device: o.dev, Mark: rand.Uint64(), CPU: &o.cpu, Flows: pktgen.Flows{
		SrcPorts: uint32(o.sports), SrcAddrs: uint32(o.saddrs), DstPorts: uint32(o.dports), DstAddrs: uint32(o.daddrs),
		Random: o.random,
	}}
	if o.syn {
		cfg.Protocol = pktgen.SYN
	}
	if cfg.Flows.Src, err = netip.ParseAddrPort(o.src); err != nil {
		return cfg, err
	}
	if cfg.Flows.Dst, err = netip.ParseAddrPort(o.dst); err != nil {
		return cfg, err
	}
	if cfg.DstMAC, err = net.ParseMAC(o.dstMAC); err != nil {
		return cfg, err
	}
	if o.srcMAC != "" {
		cfg.SrcMAC, err = net.ParseMAC(o.srcMAC)
		return cfg, err
	}
	return cfg, netns.Do(o.netns, func() error {
		dev, err := net.InterfaceByName(o.dev)
		if err == nil {
			cfg.SrcMAC = dev.HardwareAddr
		}
		return err
	})
}
