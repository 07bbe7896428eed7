// SPDX-License-Identifier: Apache-2.0

package process

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
	"github.com/fairway-project/fairway/userspace/sandbox"
)

// Runner starts and watches processes. Its methods may be called at the same time.
type Runner struct {
	boxes *sandbox.Manager
	// hide is a directory that processes don't see: of the namespaces.
	hide string

	mu sync.Mutex
	// mains are the main processes that this Runner started or found, by sandbox; those
	// that ended stay until Forget.
	mains map[string]*process

	// finding orders Find, so that a process has one that waits for it.
	finding sync.Mutex

	running    context.Context
	stop       context.CancelFunc
	background sync.WaitGroup
}

// NewRunner returns a Runner of processes in boxes, which don't see the directory hide.
// The caller closes it.
func NewRunner(boxes *sandbox.Manager, hide string) *Runner {
	r := &Runner{boxes: boxes, hide: hide, mains: make(map[string]*process)}
	r.running, r.stop = context.WithCancel(context.Background())
	return r
}

// Close ends the watching. Processes go on.
func (r *Runner) Close() {
	r.mu.Lock()
	r.stop()
	r.mu.Unlock()
	r.background.Wait()
}

func (r *Runner) main(sandboxID string) *process {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mains[sandboxID]
}

func (r *Runner) keep(sandboxID string, p *process) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mains[sandboxID] = p
}

// Has reports whether the sandbox's main process was started or found here, though it may
// have ended.
func (r *Runner) Has(sandboxID string) bool { return r.main(sandboxID) != nil }

// Forget forgets a sandbox's main process, which has ended.
func (r *Runner) Forget(sandboxID string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.mains, sandboxID)
}

// Start starts the main process of a sandbox, in the namespace and with the files of
// owner where that isn't nil. It returns the state of a sandbox that runs. With stdio nil
// the output goes to the sandbox's log; the caller closes the files. Who stops the
// sandbox finds the process from now on. The caller calls Watch or Abandon.
func (r *Runner) Start(sb, owner *model.Sandbox, req request.Run, stdio *request.Stdio) (request.Process, model.State, error) {
	spec := sandbox.Spec{
		ID: sb.ID, Command: req.Command, Env: req.Env, Dir: req.Workdir, Stdio: streams(stdio), TTY: req.TTY,
		Netns: sb.Netns, Hide: r.hide, Hostname: sb.Hostname, Files: r.boxes.Files(sb.ID),
	}
	if owner != nil {
		// The owner's names are its guests' names too; only the log is their own.
		log := spec.Files.Log
		spec.Files = r.boxes.Files(owner.ID)
		spec.Files.Log = log
	}
	boot, err := sandbox.BootID()
	if err != nil {
		return nil, model.State{}, err
	}
	started, err := r.boxes.Start(spec)
	if err != nil {
		return nil, model.State{}, err
	}
	p := newProcess(started)
	r.keep(sb.ID, p)
	return p, model.State{Status: model.StatusRunning, Pid: started.Pid, StartTime: started.StartTime, Boot: boot, StartedAt: time.Now().UTC()}, nil
}

// Abandon kills the main process of a sandbox that came to nothing, and forgets it.
func (r *Runner) Abandon(sandboxID string) error {
	p := r.main(sandboxID)
	if p == nil {
		return nil
	}
	r.Forget(sandboxID)
	defer p.settle()
	return p.Kill()
}

// Find finds the main process of a sandbox that an earlier daemon started. The error
// wraps sandbox.ErrFinished if it has ended. One that is there already stays. The caller
// calls Watch.
func (r *Runner) Find(sb *model.Sandbox) error {
	r.finding.Lock()
	defer r.finding.Unlock()
	if r.Has(sb.ID) {
		return nil
	}
	p, err := r.reattach(sb)
	if err != nil {
		return err
	}
	r.keep(sb.ID, newProcess(p))
	return nil
}

// reattach finds a sandbox's main process by what its record says of it. After a reboot
// another process may have its number, and have begun in the same tick.
func (r *Runner) reattach(sb *model.Sandbox) (*sandbox.Process, error) {
	boot, err := sandbox.BootID()
	if err != nil {
		return nil, err
	}
	if sb.State.Boot != "" && sb.State.Boot != boot {
		return nil, fmt.Errorf("sandbox %s: process %d: the machine has started again: %w", sb.Name, sb.State.Pid, sandbox.ErrFinished)
	}
	return r.boxes.Reattach(sb.ID, sb.State.Pid, sb.State.StartTime)
}

// Watch calls ended, from a goroutine of its own, when the sandbox's main process has
// ended; not after Close. Once is enough: it does nothing for a process that is watched.
func (r *Runner) Watch(sandboxID string, ended func(sandbox.Exit)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.mains[sandboxID]
	if p == nil || p.watched || r.running.Err() != nil {
		return
	}
	p.watched = true
	r.background.Go(func() {
		select {
		case <-p.Done():
			defer p.settle()
			ended(p.Exit())
		case <-r.running.Done():
		}
	})
}

// Wait returns the exit code of a sandbox's main process; known is false where there is
// none, which a moment ago there may have been.
func (r *Runner) Wait(ctx context.Context, sandboxID string) (code int, known bool, err error) {
	p := r.main(sandboxID)
	if p == nil {
		return 0, false, nil
	}
	code, err = p.Wait(ctx)
	return code, true, err
}

// Stop asks a sandbox's main process to end, and kills it after a while. It is no error
// if there is none.
func (r *Runner) Stop(ctx context.Context, sandboxID string, req request.Stop) error {
	if p := r.main(sandboxID); p != nil {
		return p.stop(ctx, req)
	}
	return nil
}

// Kill ends a sandbox's main process. It is no error if there is none.
func (r *Runner) Kill(ctx context.Context, sandboxID string) error {
	if p := r.main(sandboxID); p != nil {
		return p.killAndWait(ctx)
	}
	return nil
}

// KillMain ends the main process of a sandbox that is not watched; without cgroups
// nothing else finds it.
func (r *Runner) KillMain(sb *model.Sandbox) error {
	if sb.State.Pid == 0 {
		return nil
	}
	p, err := r.reattach(sb)
	if errors.Is(err, sandbox.ErrFinished) {
		return nil
	}
	if err != nil {
		return err
	}
	return p.Kill()
}

// KillAll ends all that is left in a sandbox that is not watched.
func (r *Runner) KillAll(sb *model.Sandbox) error {
	return errors.Join(r.KillMain(sb), r.boxes.KillAll(sb.ID))
}

// Exec starts a process in a sandbox that runs. The error wraps sandbox.ErrFinished if it
// has ended meanwhile. With stdio nil it has /dev/null.
func (r *Runner) Exec(sb *model.Sandbox, req request.Exec, stdio *request.Stdio) (request.Process, error) {
	spec := sandbox.Spec{ID: sb.ID, Command: req.Command, Env: req.Env, Dir: req.Workdir, TTY: req.TTY}
	if p := r.main(sb.ID); p != nil {
		spec.Join = p.Process
		spec.Hostname = sb.Hostname
	} else {
		spec.Netns, spec.Hide, spec.Hostname, spec.Files = sb.Netns, r.hide, sb.Hostname, r.boxes.Files(sb.ID)
	}
	files, closeFiles, err := execStreams(stdio)
	if err != nil {
		return nil, err
	}
	defer closeFiles()
	spec.Stdio = files
	started, err := r.boxes.Exec(spec)
	if err != nil {
		return nil, err
	}
	p := newProcess(started)
	go func() {
		<-p.Done()
		p.settle()
	}()
	return p, nil
}
