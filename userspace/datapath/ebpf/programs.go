// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/fairway-project/fairway/loader"
	"github.com/fairway-project/fairway/userspace/nl"
	"github.com/fairway-project/fairway/userspace/pace"
)

// programs are what is attached to devices. One call at a time works with the loader.
type programs struct {
	mu     sync.Mutex
	loader *loader.Loader
	// leaving are devices without endpoint whose programs are still attached.
	leaving map[int]bool
	// unsettled are containers' devices whose programs were attached in the quickest way,
	// and since when; guarded is when that was last so, settled when one was last taken.
	unsettled        map[int]time.Time
	guarded, settled time.Time
	// first is raised when a device is added to unsettled, which may be the first one.
	first pace.Signal
}

func newPrograms(l *loader.Loader) *programs {
	return &programs{loader: l, leaving: make(map[int]bool), unsettled: make(map[int]time.Time), first: pace.NewSignal()}
}

// guard attaches the programs of a container's device. Without an endpoint they drop
// everything.
func (p *programs) guard(index int) error {
	if err := p.attach(index, loader.FromContainer, loader.ToContainer); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.guarded = time.Now()
	if _, waits := p.unsettled[index]; !waits {
		p.unsettled[index] = p.guarded
		p.first.Raise()
	}
	return nil
}

// serve attaches the programs of an uplink.
func (p *programs) serve(index int) error {
	return p.attach(index, loader.FromUplink, loader.ToUplink)
}

func (p *programs) attach(index int, names ...loader.Program) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, name := range names {
		if err := p.loader.Attach(index, name); err != nil {
			return err
		}
	}
	return nil
}

func (p *programs) detach(index int, name loader.Program) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.loader.Detach(index, name)
}

func (p *programs) attachXDP(index int, native bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.loader.AttachXDP(index, native)
}

func (p *programs) detachXDP(index int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.loader.DetachXDP(index)
}

// attached returns what is attached, by an earlier process too.
func (p *programs) attached() ([]loader.Attachment, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.loader.Attachments()
}

// switchOver ends the use of tables with another layout.
func (p *programs) switchOver() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.loader.Switch()
}

// versions tells whether this start loaded programs, and what there was before.
type versions struct {
	adopted   bool
	switching bool // older programs carry the traffic still
	replaced  *loader.Replacement
}

func (p *programs) versions() versions {
	p.mu.Lock()
	defer p.mu.Unlock()
	return versions{p.loader.Adopted(), p.loader.Switching(), p.loader.Replaced()}
}

// leave notes that the device's endpoint is gone. Its programs stay for as long as it
// exists: a device without an endpoint is to send and receive nothing.
func (p *programs) leave(index int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leaving[index] = true
}

// stay notes that the device has an endpoint.
func (p *programs) stay(index int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.leaving, index)
}

// prune looks at what is attached, which includes what an earlier process attached.
// wanted are the devices that have an endpoint.
func (p *programs) prune(wanted map[int]bool) error {
	attached, err := p.attached()
	if err != nil {
		return err
	}
	for _, a := range attached {
		if (a.Program == loader.FromContainer || a.Program == loader.ToContainer) && !wanted[a.Index] {
			p.leave(a.Index)
		}
	}
	return p.forgetGone()
}

// forgetGone removes what pins leave of devices that no longer exist. With tcx one that
// is only in another namespace stays guarded there.
func (p *programs) forgetGone() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	gone, err := nl.Absent(slices.Collect(maps.Keys(p.leaving)))
	errs := []error{err}
	for _, index := range gone {
		for _, name := range []loader.Program{loader.FromContainer, loader.ToContainer} {
			errs = append(errs, p.loader.Forget(index, name))
		}
		delete(p.leaving, index)
	}
	return errors.Join(errs...)
}

// sweepPins lets the loader drop the pins of devices that went away since their
// endpoint did. It runs on any thread: the loader asks the links, which know
// without a network namespace.
func (p *programs) sweepPins() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.leaving) == 0 {
		return nil
	}
	return p.loader.Sweep()
}
