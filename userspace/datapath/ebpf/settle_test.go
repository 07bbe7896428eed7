// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"context"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/userspace/pace"
)

// ways are how programs are attached to a device, sorted.
func (w *world) ways(device string) []string {
	w.t.Helper()
	var ways []string
	for _, a := range w.attached() {
		if a.Device == device {
			ways = append(ways, a.Program+" "+a.How)
		}
	}
	slices.Sort(ways)
	return ways
}

// settled settles all devices as if so much time had passed, and reports how many.
func (w *world) settled(later time.Duration) (n int) {
	w.t.Helper()
	for {
		index, due := w.dp.programs.due(time.Now().Add(later))
		if !due {
			return n
		}
		w.do(func() error { return w.dp.programs.settle(index) })
		n++
	}
}

// A device has filters at first, where the kernel has something better, and links when
// nobody has attached anything for a while. A process that comes later settles what an
// earlier one didn't, and leaves alone what is settled.
func TestSettle(t *testing.T) {
	w := newWorld(t)
	better := "clsact"
	if hasTCX(w.dp.loader) {
		better = "tcx"
	}
	wants := func(when, device, how string) {
		t.Helper()
		if got, want := w.ways(device), []string{"from_container " + how, "to_container " + how}; !slices.Equal(got, want) {
			t.Errorf("%s: %v on %s, want %v", when, got, device, want)
		}
	}
	a, b := w.endpoint(1), w.endpoint(2)
	w.ensure(w.networkIs(w.network()), w.endpointIs(a))
	wants("attached", "veth1", "clsact")
	if n := w.settled(0); n != 0 {
		t.Errorf("%d devices are settled while others may be attached", n)
	}
	if n := w.settled(calm + time.Second); n != 1 {
		t.Errorf("%d devices are settled, want 1", n)
	}
	wants("settled", "veth1", better)
	w.ensure(w.endpointIs(b))
	w.restart()
	w.ensure(w.networkIs(w.network()), w.endpointIs(a), w.endpointIs(b))
	wants("after a restart", "veth1", better)
	wants("after a restart", "veth2", "clsact")
	// However busy it is, but then not one after the other.
	w.dp.programs.guarded = time.Now().Add(2 * patience)
	for range 2 {
		if n := w.settled(patience + time.Second); n != 1 {
			t.Errorf("%d devices are settled, want 1", n)
		}
		w.dp.programs.settled = time.Time{}
	}
	wants("settled later", "veth1", better)
	wants("settled later", "veth2", better)
}

// A device that goes before it is settled leaves no mark.
func TestSettleGoneDevice(t *testing.T) {
	w := newWorld(t)
	e := w.endpoint(1)
	w.ensure(w.networkIs(w.network()), w.endpointIs(e))
	w.remove("veth1")
	if n := w.settled(calm + time.Second); n != 1 {
		t.Errorf("%d devices are settled, want 1", n)
	}
	if marks, err := filepath.Glob(filepath.Join(w.cfg.BPFFS, "links", "*-clsact")); err != nil || hasTCX(w.dp.loader) && len(marks) != 0 {
		t.Errorf("marks are left: %v, %v", marks, err)
	}
}

// A device whose turn comes while nothing can be pinned is settled later.
func TestSettleWhileUnmounted(t *testing.T) {
	w := newWorld(t)
	if !hasTCX(w.dp.loader) {
		t.Skip("without tcx there is nothing to settle")
	}
	e := w.endpoint(1)
	w.ensure(w.networkIs(w.network()), w.endpointIs(e))
	filters := []string{"from_container clsact", "to_container clsact"}
	// What covers the directory hides that there is a BPF filesystem below.
	if err := unix.Mount("cover", w.cfg.BPFFS, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	w.do(func() error { return w.dp.programs.settle(e.HostIndex) })
	if err := unix.Unmount(w.cfg.BPFFS, 0); err != nil {
		t.Fatal(err)
	}
	if got := w.ways("veth1"); !slices.Equal(got, filters) {
		t.Errorf("settled while nothing could be pinned: %v, want %v", got, filters)
	}
	if n := w.settled(calm + time.Second); n != 1 {
		t.Errorf("%d devices are settled afterwards, want 1", n)
	}
	if got, want := w.ways("veth1"), []string{"from_container tcx", "to_container tcx"}; !slices.Equal(got, want) {
		t.Errorf("settled afterwards: %v, want %v", got, want)
	}
}

// Who settles sleeps until a device is due, and for good while there is none.
func TestUntilDue(t *testing.T) {
	now := time.Unix(1000, 0)
	for name, tt := range map[string]struct {
		guarded, settled time.Duration
		unsettled        []time.Duration
		want             time.Duration
		some             bool
	}{
		"nothing waits":                {},
		"just guarded":                 {unsettled: []time.Duration{0}, settled: time.Hour, want: calm, some: true},
		"guarded a while ago":          {guarded: calm / 2, unsettled: []time.Duration{calm / 2}, settled: time.Hour, want: calm / 2, some: true},
		"calm":                         {guarded: time.Minute, unsettled: []time.Duration{time.Minute}, settled: time.Hour, some: true},
		"others are guarded, one long": {unsettled: []time.Duration{0, patience}, settled: time.Hour, some: true},
		"the last one was just settled": {
			unsettled: []time.Duration{0, patience}, want: calm, some: true,
		},
	} {
		p := &programs{unsettled: make(map[int]time.Time), guarded: now.Add(-tt.guarded), settled: now.Add(-tt.settled)}
		for i, age := range tt.unsettled {
			p.unsettled[i] = now.Add(-age)
		}
		got, some := p.untilDue(now)
		if got != tt.want || some != tt.some {
			t.Errorf("%s: %v, %t, want %v, %t", name, got, some, tt.want, tt.some)
		}
		if _, due := p.due(now); due != (some && got == 0) {
			t.Errorf("%s: due %t after %v", name, due, got)
		}
	}
}

// A device that is guarded wakes who settles, and the end of the datapath does.
func TestAwaitDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &programs{unsettled: make(map[int]time.Time), first: pace.NewSignal()}
		ctx, end := context.WithCancel(t.Context())
		woken := make(chan bool)
		wait := func() { go func() { woken <- p.awaitDue(ctx) }() }
		wait()
		time.Sleep(time.Hour)
		begun := time.Now()
		p.mu.Lock()
		p.guarded, p.unsettled[1] = begun, begun
		p.mu.Unlock()
		p.first.Raise()
		if !<-woken || time.Since(begun) != calm {
			t.Errorf("woken after %v, want %v", time.Since(begun), calm)
		}
		p.mu.Lock()
		delete(p.unsettled, 1)
		p.mu.Unlock()
		wait()
		time.Sleep(time.Hour)
		end()
		if <-woken {
			t.Error("woken though it ended")
		}
	})
}
