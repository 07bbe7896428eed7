// SPDX-License-Identifier: Apache-2.0

package sockets

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"syscall"
	"time"

	"github.com/fairway-project/fairway/bench/child"
	"github.com/fairway-project/fairway/bench/load"
	"github.com/fairway-project/fairway/bench/plan"
)

// tool is a program that everybody knows, measuring what a job does.
type tool struct {
	name string
	// server's arguments; none if the tool needs one of this package's.
	server func(at netip.AddrPort) []string
	client func(to netip.AddrPort, seconds int) []string
	// parse reads the rate and the number of operations from the output.
	parse func(out []byte) (rate float64, ops uint64, err error)

	serving *exec.Cmd
	log     bytes.Buffer
}

// checks are cases for --cross-check.
func (w workload) checks() []plan.Case {
	return []plan.Case{{
		Walk: plan.LANToPublished, Family: plan.IPv4, Flows: 1,
		Params: []plan.Param{{Key: keyTool, Value: newTool(w.kind).name}},
		Slice:  time.Second,
	}}
}

func newTool(k load.Kind) *tool {
	switch k {
	case load.Stream:
		return iperf3()
	case load.CRR:
		return wrk()
	}
	return sockperf(k == load.RR)
}

// startTool starts the server at its end of the walk.
func (i *instance) startTool(ctx context.Context) (err error) {
	t := newTool(i.kind)
	if _, err := exec.LookPath(t.name); err != nil {
		return fmt.Errorf("%w: %w", plan.ErrUnavailable, err)
	}
	at := netip.AddrPortFrom(i.ends.Server.Addr, firstPort)
	place := load.Place{Netns: i.ends.Server.Netns, CPU: i.env.CPU}
	if t.server == nil {
		if i.server, err = load.Start(place); err != nil {
			return err
		}
		i.tool = t
		_, err := i.server.Serve(ctx, httpService(at, i.ends.Target(i.proto(), firstPort)))
		return err
	}
	t.serving = exec.Command(t.name, t.server(at)...)
	t.serving.Stdout, t.serving.Stderr = &t.log, &t.log
	if err := child.Command(place, t.serving); err != nil {
		return fmt.Errorf("%s: %w", t.name, err)
	}
	i.tool = t
	// No tool tells that its server listens, and sockperf's client waits for ever for the
	// answer to a datagram that nobody got.
	if err := awaitBound(ctx, t.serving.Process.Pid, i.proto(), firstPort); err != nil {
		return fmt.Errorf("%s: %w", t.name, err)
	}
	return nil
}

// close ends the server, which knows no other end.
func (t *tool) close() error {
	if t.serving == nil {
		return nil
	}
	err := t.serving.Process.Kill()
	status := t.serving.Wait()
	var exit *exec.ExitError
	if errors.As(status, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
		return err
	}
	return errors.Join(err, fmt.Errorf("%s ended by itself: %w\n%s", t.name, status, t.log.String()))
}

// toolSlice runs the client for whole seconds, as these tools do.
func (i *instance) toolSlice(ctx context.Context, d time.Duration) (plan.Sample, error) {
	seconds := max(1, int(d.Round(time.Second).Seconds()))
	to := i.ends.Target(i.proto(), firstPort)
	place := load.Place{Netns: i.ends.Client.Netns, CPU: i.env.CPU}
	rate, ops, err := i.tool.measure(ctx, place, to, seconds)
	if err != nil {
		return plan.Sample{}, fmt.Errorf("%s: %w", i.tool.name, err)
	}
	return plan.Sample{Values: []float64{rate}, Ops: ops}, nil
}

// measure tries again where the client failed, of a datagram that was lost for instance.
func (t *tool) measure(ctx context.Context, p load.Place, to netip.AddrPort, seconds int) (rate float64, ops uint64, err error) {
	const attempts = 6
	beside := 5 * time.Second
	for range attempts {
		if rate, ops, err = t.attempt(ctx, p, to, seconds, beside); err == nil || ctx.Err() != nil {
			return rate, ops, err
		}
		beside *= 2
	}
	return 0, 0, err
}

// attempt runs the client, which is given so much time beside what it measures for.
func (t *tool) attempt(ctx context.Context, p load.Place, to netip.AddrPort, seconds int, beside time.Duration) (rate float64, ops uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(seconds)*time.Second+beside)
	defer cancel()
	cmd := exec.CommandContext(ctx, t.name, t.client(to, seconds)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := child.Command(p, cmd); err != nil {
		return 0, 0, err
	}
	if err := cmd.Wait(); err != nil {
		return 0, 0, fmt.Errorf("%w\n%s", errors.Join(ctx.Err(), err), out.Bytes())
	}
	return t.parse(out.Bytes())
}
