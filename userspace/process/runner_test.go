// SPDX-License-Identifier: Apache-2.0

package process

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairway-project/fairway/test/root"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
	"github.com/fairway-project/fairway/userspace/sandbox"
)

// TestMain lets the test binary be the program that processes begin as.
func TestMain(m *testing.M) {
	sandbox.Init(os.Args)
	os.Exit(root.Main(m))
}

// box is a sandbox on the host's network, and who runs what is in it.
type box struct {
	t     *testing.T
	boxes *sandbox.Manager
	*Runner
	sb model.Sandbox
}

func newBox(t *testing.T) *box {
	t.Helper()
	dir := t.TempDir()
	boxes, err := sandbox.New(filepath.Join(dir, "root"), filepath.Join(dir, "run"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	b := &box{t: t, boxes: boxes, Runner: NewRunner(boxes, ""), sb: model.Sandbox{ID: "0123456789abcdef", Name: "box", Mode: model.ModeHost}}
	t.Cleanup(func() {
		b.Close()
		if err := boxes.RemoveAll(); err != nil {
			t.Error(err)
		}
	})
	files, err := boxes.Create(b.sb.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{files.Hosts, files.ResolvConf, files.Hostname} {
		if err := os.WriteFile(path, []byte("\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// run starts what lives until it is told to end, and returns what it is known by once it
// has done what prepare says.
func (b *box) run(prepare string) request.Process {
	b.t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		b.t.Fatal(err)
	}
	defer r.Close()
	p, state, err := b.Start(&b.sb, nil, request.Run{Command: []string{"sh", "-c", prepare + "; echo; while :; do sleep 0.01; done"}}, &request.Stdio{Stdin: r, Stdout: w, Stderr: w})
	w.Close()
	if err != nil {
		b.t.Fatal(err)
	}
	b.sb.State = state
	if _, err := r.Read(make([]byte, 1)); err != nil {
		b.t.Fatal(err)
	}
	return p
}

// ends watches, and tells of the end.
func (b *box) ends() <-chan sandbox.Exit {
	ended := make(chan sandbox.Exit, 1)
	b.Watch(b.sb.ID, func(e sandbox.Exit) { ended <- e })
	return ended
}

// Who waits for a stop, or for the code, waits until the end has been dealt with.
func TestStop(t *testing.T) {
	b := newBox(t)
	p := b.run("trap 'exit 7' TERM")
	ended := b.ends()
	if !b.Has(b.sb.ID) || b.sb.State.Pid != p.Pid() || b.sb.State.Status != model.StatusRunning {
		t.Fatalf("started as %+v", b.sb.State)
	}
	if err := b.Stop(t.Context(), b.sb.ID, request.Stop{Signal: "TERM"}); err != nil {
		t.Fatal(err)
	}
	select {
	case e := <-ended:
		if !e.Known || e.Code != 7 {
			t.Errorf("ended with %+v", e)
		}
	default:
		t.Error("stopped before the end was dealt with")
	}
	if code, _, err := b.Runner.Wait(t.Context(), b.sb.ID); code != 7 || err != nil {
		t.Errorf("waited for %d, %v", code, err)
	}
	if err := p.Signal(9); err != nil {
		t.Errorf("a signal to what has ended: %v", err)
	}
	b.Forget(b.sb.ID)
	if b.Has(b.sb.ID) {
		t.Error("not forgotten")
	}
	if err := errors.Join(b.Stop(t.Context(), b.sb.ID, request.Stop{}), b.Kill(t.Context(), b.sb.ID), b.Abandon(b.sb.ID)); err != nil {
		t.Errorf("stopped once more: %v", err)
	}
}

// Found and watched twice, as by two who mend at once, a process ends once; and whoever
// waits for one that is forgotten meanwhile is told that there is none.
func TestWatchedTwice(t *testing.T) {
	b := newBox(t)
	b.run("trap 'exit 7' TERM")
	if err := b.Find(&b.sb); err != nil {
		t.Fatal(err)
	}
	first, second := b.ends(), b.ends()
	if err := b.Stop(t.Context(), b.sb.ID, request.Stop{Signal: "TERM"}); err != nil {
		t.Fatal(err)
	}
	if len(first) != 1 || len(second) != 0 {
		t.Errorf("its end was told %d and %d times", len(first), len(second))
	}
	b.Forget(b.sb.ID)
	if _, known, err := b.Runner.Wait(t.Context(), b.sb.ID); known || err != nil {
		t.Errorf("forgotten, but known: %v, %v", known, err)
	}
}

// What doesn't end by the signal is killed.
func TestStopKills(t *testing.T) {
	b := newBox(t)
	p := b.run("trap '' TERM")
	b.ends()
	at := 0
	if err := b.Stop(t.Context(), b.sb.ID, request.Stop{Timeout: &at}); err != nil {
		t.Fatal(err)
	}
	if code, err := p.Wait(t.Context()); code != 128+9 || err != nil {
		t.Errorf("ended with %d, %v", code, err)
	}
}

// A new daemon finds what an earlier one started, whose end that one doesn't see.
func TestFind(t *testing.T) {
	b := newBox(t)
	b.run(":")
	before := b.ends()
	b.Close()
	b.Runner = NewRunner(b.boxes, "")
	if b.Has(b.sb.ID) {
		t.Fatal("a new daemon knows the process already")
	}
	if err := b.Find(&b.sb); err != nil {
		t.Fatal(err)
	}
	ended := b.ends()
	if err := b.Kill(t.Context(), b.sb.ID); err != nil {
		t.Fatal(err)
	}
	if e := <-ended; e.Known {
		t.Errorf("the end is known: %+v", e)
	}
	if _, _, err := b.Runner.Wait(t.Context(), b.sb.ID); !errors.Is(err, request.ErrConflict) || !strings.Contains(err.Error(), "exit code is not known") {
		t.Errorf("waited: %v", err)
	}
	select {
	case <-before:
		t.Error("the earlier daemon has seen it")
	default:
	}
	b.Forget(b.sb.ID)
	if err := b.Find(&b.sb); !errors.Is(err, sandbox.ErrFinished) {
		t.Errorf("what has ended is found: %v", err)
	}
	if err := b.KillAll(&b.sb); err != nil {
		t.Errorf("what has ended is killed: %v", err)
	}
}

// After a reboot another process, here the test's own, may have the number and the start of
// one that ended with the machine: it is neither taken over nor killed.
func TestProcessOfAnotherBoot(t *testing.T) {
	b := newBox(t)
	b.run(":")
	b.Close()
	b.Runner = NewRunner(b.boxes, "")
	before := b.sb
	before.State.Boot = "another"
	if err := b.Find(&before); !errors.Is(err, sandbox.ErrFinished) || b.Has(before.ID) {
		t.Errorf("taken over: %v", err)
	}
	if err := b.KillMain(&before); err != nil {
		t.Error(err)
	}
	if err := b.Find(&b.sb); err != nil {
		t.Errorf("killed: %v", err)
	}
}

// KillMain ends what nobody watches.
func TestKillMain(t *testing.T) {
	b := newBox(t)
	p := b.run(":")
	ended := b.ends()
	if err := b.KillMain(&b.sb); err != nil {
		t.Fatal(err)
	}
	if e := <-ended; e.Code != 128+9 {
		t.Errorf("ended with %+v", e)
	}
	if _, err := p.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	if err := b.KillMain(&model.Sandbox{ID: b.sb.ID}); err != nil {
		t.Errorf("a sandbox without a process: %v", err)
	}
}

func TestAbandon(t *testing.T) {
	b := newBox(t)
	p := b.run(":")
	if err := b.Abandon(b.sb.ID); err != nil || b.Has(b.sb.ID) {
		t.Fatalf("abandoned: %v", err)
	}
	<-p.(*process).Done()
	if _, _, err := b.Start(&b.sb, nil, request.Run{Command: []string{"/none"}}, nil); err == nil || b.Has(b.sb.ID) {
		t.Errorf("started what there isn't: %v", err)
	}
}

func TestExec(t *testing.T) {
	b := newBox(t)
	b.run(":")
	ended := b.ends()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p, err := b.Exec(&b.sb, request.Exec{Command: []string{"sh", "-c", "echo $WORD; exit 3"}, Env: []string{"WORD=hello", "PATH=" + os.Getenv("PATH")}}, &request.Stdio{Stdin: r, Stdout: w, Stderr: w})
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	if out, err := io.ReadAll(r); string(out) != "hello\n" || err != nil {
		t.Errorf("wrote %q, %v", out, err)
	}
	if code, err := p.Wait(t.Context()); code != 3 || err != nil {
		t.Errorf("ended with %d, %v", code, err)
	}
	if err := b.Kill(t.Context(), b.sb.ID); err != nil {
		t.Fatal(err)
	}
	<-ended
	if _, err := b.Exec(&b.sb, request.Exec{Command: []string{"true"}}, nil); !errors.Is(err, sandbox.ErrFinished) {
		t.Errorf("started in what has ended: %v", err)
	}
}
