// SPDX-License-Identifier: Apache-2.0

package prog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cilium/ebpf"

	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/bench/stat"
	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/test/progrun/testrun"
	"github.com/fairway-project/fairway/userspace/model"
)

// Flows that packets are of.
const (
	manyFlows = 1 << 16
	// newFlows are opened by a batch, and removed before the next one.
	newFlows = 1 << 12
)

// instance is a path of a program, or the empty program on the same packets.
type instance struct {
	workload *Workload
	host     *testrun.Host
	path     path
	v6       bool
	table    string
	empty    bool

	target  *ebpf.Program
	wrapper *wrapper
	entries flowTable
	// known is set once the entries of a batch of new flows are.
	known  bool
	sent   uint64
	before uint64
}

func (in *instance) flows() int {
	switch {
	case in.path.kind == opens:
		return newFlows
	case in.table == "empty":
		return 1
	}
	return manyFlows
}

func (in *instance) setUp() (err error) {
	if in.empty {
		in.target, err = newEmpty()
	} else {
		in.target = in.host.Program(in.path.run.Program)
		err = errors.Join(in.host.Restore(), in.furnish())
	}
	if err != nil {
		return err
	}
	in.wrapper, err = newWrapper(in.host, in.path.run, in.v6, in.flows(), in.target)
	if err != nil || in.empty {
		return err
	}
	in.before, err = in.counted()
	return err
}

// furnish publishes a port, makes the services of the path, opens the flows of the table and
// fills it.
func (in *instance) furnish() error {
	if err := in.host.Publish(testrun.Any(in.v6), published, model.TCP, in.host.Web, target); err != nil {
		return err
	}
	if err := in.path.pools().put(in.host, in.v6); err != nil {
		return err
	}
	if in.table != "empty" || in.path.kind == hit {
		if err := in.open(in.path.first); err != nil {
			return err
		}
	}
	if in.table == "90pct" {
		return in.entries.fill(room * 9 / 10)
	}
	return nil
}

// open has the datapath itself open the flows. Where the path has none of its own
// those of another one fill the table, from a port that no packet of the path has.
func (in *instance) open(first series) (err error) {
	flows := in.flows()
	if first.Frame == nil {
		b := newBuilder(in.v6)
		first, flows = fromWeb(b.leaves(b.far).TCP(filler, 443, "S"), destination), manyFlows
	}
	w, err := newWrapper(in.host, first, in.v6, flows, in.host.Program(first.Program))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	in.host.Do(func() { _, err = w.run(uint32(flows), testrun.Redirect) })
	if err != nil {
		return fmt.Errorf("open flows: %w", err)
	}
	got, _, err := in.entries.flows()
	if err == nil && got != 2*flows {
		return fmt.Errorf("%d entries of %d flows", got, flows)
	}
	return err
}

func (in *instance) want() int32 {
	if in.empty {
		return 0
	}
	return in.path.action
}

// Slice runs batches until d has passed and returns the median of their times,
// which a neighbour's burst does not move.
func (in *instance) Slice(_ context.Context, d time.Duration) (sample plan.Sample, err error) {
	packets := uint32(1000)
	if in.path.kind == opens {
		packets = newFlows
	}
	var times []float64
	for end := time.Now().Add(d); len(times) == 0 || time.Now().Before(end); {
		var took time.Duration
		in.host.Do(func() { took, err = in.wrapper.run(packets, in.want()) })
		if err != nil {
			return sample, err
		}
		times = append(times, float64(took.Nanoseconds())/float64(packets))
		in.sent += uint64(packets)
		if err := in.closeFlows(); err != nil {
			return sample, err
		}
	}
	return plan.Sample{Values: []float64{stat.Median(times)}, Ops: uint64(len(times)) * uint64(packets)}, nil
}

// closeFlows removes what a batch of new flows opened, so that the next one opens
// them again.
func (in *instance) closeFlows() error {
	if in.path.kind != opens || in.empty {
		return nil
	}
	if !in.known {
		_, own, err := in.entries.flows()
		if err != nil {
			return err
		}
		if own != 2*newFlows {
			return fmt.Errorf("%w: %d entries after %d new flows", plan.ErrWrongWay, own, newFlows)
		}
		in.known = true
	}
	return in.entries.close()
}

// counted is how often the program gave the path's verdict.
func (in *instance) counted() (uint64, error) {
	c, err := in.host.Counters.Verdicts(object.DatapathProgram(in.path.run.Program), in.path.verdict)
	return c.Packets, err
}

// Prove compares the program's own count of its verdicts with what was sent.
func (in *instance) Prove(context.Context) (plan.Proof, error) {
	if in.empty {
		return plan.Proof{Text: fmt.Sprintf("the empty program returned for %d packets", in.sent)}, nil
	}
	now, err := in.counted()
	if err != nil {
		return plan.Proof{}, err
	}
	if got := now - in.before; got != in.sent {
		return plan.Proof{}, fmt.Errorf("%w: %d packets have the verdict of the path, %d were sent", plan.ErrWrongWay, got, in.sent)
	}
	return plan.Proof{Text: fmt.Sprintf("%s gave the path's verdict for %d of %d packets", programs[in.path.run.Program], in.sent, in.sent)}, nil
}

// Close gives the programs back for the next case.
func (in *instance) Close() error {
	var errs []error
	if in.wrapper != nil {
		errs = append(errs, in.wrapper.close())
	}
	if in.empty && in.target != nil {
		errs = append(errs, in.target.Close())
	}
	errs = append(errs, in.entries.clear())
	in.workload.give(in.host)
	return errors.Join(errs...)
}
