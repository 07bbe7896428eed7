// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"testing"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Tap judges the frames that arrive at a device, and keeps none: for more frames than a
// Sniffer could.
type Tap struct {
	where string
	judge func(frame []byte) error
	f     *os.File
	over  chan struct{}
	seen  atomic.Int64

	faults []error
}

// keptFaults is how many frames are told in full.
const keptFaults = 5

// Untagged is a filter that lets frames without a VLAN tag through. A tag is out of the frame
// when it is read, so that what lies behind it looks like any other packet.
func Untagged() []bpf.Instruction {
	return []bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtVLANTagPresent},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0, SkipTrue: 1},
		bpf.RetConstant{Val: 0},
		bpf.RetConstant{Val: 1 << 18},
	}
}

// NewTap has judge look at every frame that arrives at the device and passes the filter, nil
// for all, until the test is over. judge is called from one goroutine; an error of its fails
// the test when End is called.
func NewTap(t testing.TB, n *Netns, dev string, filter []bpf.Instruction, judge func(frame []byte) error) *Tap {
	t.Helper()
	s := Sniffer{where: dev + " of " + n.Name}
	if err := n.Do(func() error { return s.open(dev, filter) }); err != nil {
		t.Fatalf("tap on %s: %v", s.where, err)
	}
	tap := &Tap{where: s.where, judge: judge, f: s.f, over: make(chan struct{})}
	go func() { defer close(tap.over); tap.run() }()
	t.Cleanup(tap.close)
	return tap
}

func (tap *Tap) run() {
	buf := make([]byte, 1<<17)
	for {
		size, err := tap.f.Read(buf)
		if errors.Is(err, unix.ENETDOWN) {
			continue
		}
		if err != nil {
			return
		}
		tap.seen.Add(1)
		if err := tap.judge(buf[:size]); err != nil {
			tap.faults = append(tap.faults, fmt.Errorf("%s: %w:\n%s", tap.where, err, hex.Dump(buf[:size])))
		}
	}
}

// Seen is the number of frames that were judged.
func (tap *Tap) Seen() int64 { return tap.seen.Load() }

// End waits until all that arrived is judged, ends the tap, and fails the test for what was
// at fault. It returns how many frames arrived faster than they were judged.
func (tap *Tap) End(t testing.TB) (lost uint32) {
	t.Helper()
	Eventually(t, "frames at "+tap.where+" to be judged", func() error {
		return tap.do(func(fd int) error {
			if _, _, err := unix.Recvfrom(fd, make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT); !errors.Is(err, unix.EAGAIN) {
				return fmt.Errorf("some are left: %w", err)
			}
			return nil
		})
	})
	err := tap.do(func(fd int) error {
		stats, err := unix.GetsockoptTpacketStats(fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
		if err == nil {
			lost = stats.Drops
		}
		return err
	})
	if err != nil {
		t.Errorf("tap on %s: %v", tap.where, err)
	}
	tap.close()
	for i, err := range tap.faults {
		if i == keptFaults {
			t.Errorf("%s: %d more", tap.where, len(tap.faults)-i)
			break
		}
		t.Error(err)
	}
	return lost
}

func (tap *Tap) do(f func(fd int) error) error {
	raw, err := tap.f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	return errors.Join(raw.Control(func(fd uintptr) { failed = f(int(fd)) }), failed)
}

func (tap *Tap) close() {
	tap.f.Close()
	<-tap.over
}
