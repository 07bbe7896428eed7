// SPDX-License-Identifier: Apache-2.0

package apitest

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
)

func (f *Fake) sandbox(ref string) (int, error) {
	i := slices.IndexFunc(f.sandboxes, func(e *entry) bool { return matches(ref, e.view.ID, e.view.Name) })
	if i < 0 {
		return i, request.Errorf(request.ErrNotFound, "sandbox %s not found", ref)
	}
	return i, nil
}

// Run implements api.Backend.
func (f *Fake) Run(_ context.Context, req request.Run, stdio *request.Stdio) (request.SandboxView, request.Process, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.LastRun = req
	if _, err := f.sandbox(req.Name); err == nil {
		return request.SandboxView{}, nil, request.Errorf(request.ErrConflict, "sandbox name %q: already in use", req.Name)
	}
	dir := filepath.Join(f.dir, req.Name)
	if stdio == nil {
		log, err := openLog(dir)
		if err != nil {
			return request.SandboxView{}, nil, err
		}
		defer log.Close()
		stdio = &request.Stdio{Stdout: log, Stderr: log}
	}
	proc, err := f.start(req.Command, req.Env, req.Workdir, req.TTY, stdio)
	if err != nil {
		return request.SandboxView{}, nil, err
	}
	v := request.SandboxView{Dir: dir, Sandbox: model.Sandbox{
		ID: ID("sandbox", req.Name), Name: req.Name, Created: Epoch, Mode: model.ModeNetworks,
		Command: req.Command, State: model.State{Status: model.StatusRunning, Pid: proc.Pid(), StartedAt: Epoch},
	}}
	f.sandboxes = append(f.sandboxes, &entry{view: v, proc: proc})
	return v, proc, nil
}

// openLog makes the log of a sandbox in the background.
func openLog(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	return os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
}

// Add implements api.Backend.
func (f *Fake) Add(_ context.Context, req request.Add) (request.SandboxView, error) {
	f.LastAdd = req
	v := request.SandboxView{Sandbox: model.Sandbox{
		Name: req.Name, Mode: model.ModeNetworks, Netns: req.Netns, Adopted: true,
		State: model.State{Status: model.StatusRunning},
	}}
	f.AddSandbox(v)
	return f.Sandbox(context.Background(), req.Name)
}

// Sandboxes implements api.Backend.
func (f *Fake) Sandboxes(context.Context) ([]request.SandboxView, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []request.SandboxView
	for _, e := range f.sandboxes {
		all = append(all, e.view)
	}
	return all, nil
}

// Sandbox implements api.Backend.
func (f *Fake) Sandbox(_ context.Context, ref string) (request.SandboxView, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i, err := f.sandbox(ref)
	if err != nil {
		return request.SandboxView{}, err
	}
	return f.sandboxes[i].view, nil
}

// Exec implements api.Backend.
func (f *Fake) Exec(_ context.Context, ref string, req request.Exec, stdio *request.Stdio) (request.Process, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.sandbox(ref); err != nil {
		return nil, err
	}
	return f.start(req.Command, req.Env, req.Workdir, req.TTY, stdio)
}

// Stop implements api.Backend.
func (f *Fake) Stop(_ context.Context, ref string, req request.Stop) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.LastStop = req
	i, err := f.sandbox(ref)
	if err != nil {
		return err
	}
	if p := f.sandboxes[i].proc; p != nil {
		return p.Signal(syscall.SIGTERM)
	}
	return nil
}

// Remove implements api.Backend.
func (f *Fake) Remove(_ context.Context, ref string, force bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	i, err := f.sandbox(ref)
	if err != nil {
		return err
	}
	e := f.sandboxes[i]
	if e.view.State.Status == model.StatusRunning && !e.view.Adopted && !force {
		return request.Errorf(request.ErrConflict, "sandbox %s is running: stop it or use force", ref)
	}
	if e.proc != nil {
		if err := e.proc.Signal(syscall.SIGKILL); err != nil {
			return err
		}
	}
	f.sandboxes = slices.Delete(f.sandboxes, i, i+1)
	return nil
}

// Wait implements api.Backend.
func (f *Fake) Wait(ctx context.Context, ref string) (int, error) {
	f.mu.Lock()
	i, err := f.sandbox(ref)
	var proc *process
	if err == nil {
		proc = f.sandboxes[i].proc
	}
	f.mu.Unlock()
	if err != nil || proc == nil {
		return 0, err
	}
	return proc.Wait(ctx)
}
