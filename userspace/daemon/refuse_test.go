// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/fairway-project/fairway/test/root"
	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/docker/setup"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/sandbox"
	"github.com/fairway-project/fairway/userspace/store"
)

// TestMain lets the test binary be the program that runs sandboxes.
func TestMain(m *testing.M) {
	sandbox.Init(os.Args)
	os.Exit(m.Run())
}

// Another daemon that starts at the same time takes the place of pinned objects after
// this one has looked at it, and pins its own. A start that is then refused leaves them,
// and the directory while it is still empty.
func TestRefusedStartLeavesPinsOfAnother(t *testing.T) {
	for name, c := range map[string]struct{ ended, state, pinned bool }{
		"running":            {pinned: true},
		"running, a state":   {state: true},
		"ended":              {ended: true, pinned: true},
		"ended, and a state": {ended: true, state: true, pinned: true},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDaemon(bpffsConfig(t), Parts{})
			d.before.state = !c.state
			if err := d.before.lookForPins(d.config); err != nil {
				t.Fatal(err)
			}
			other, err := lockBPFFS(d.config)
			if err != nil {
				t.Fatal(err)
			}
			defer other.Close()
			kept := d.config.BPFFS
			if c.pinned {
				kept = filepath.Join(kept, "maps")
				if err := os.Mkdir(kept, 0o700); err != nil {
					t.Fatal(err)
				}
				defer os.Remove(kept)
			}
			if c.ended {
				other.Close()
			}
			if err := d.lockPins(); errors.Is(err, ErrRunning) == c.ended {
				t.Errorf("got %v", err)
			}
			if err := d.close(); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(kept); err != nil {
				t.Errorf("taken from another daemon: %v", err)
			}
		})
	}
}

// What the daemon itself made there goes.
func TestRefusedStartRemovesPlaceOfPins(t *testing.T) {
	d := newDaemon(bpffsConfig(t), Parts{})
	if err := errors.Join(d.before.lookForPins(d.config), d.lockPins(), d.close()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(d.config.BPFFS); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("left: %v", err)
	}
}

// bpffsConfig has a place of pinned objects that doesn't exist, on a BPF filesystem.
func bpffsConfig(t *testing.T) Config {
	c := testConfig(t)
	c.Datapath, c.BPFFS = datapath.EBPF, filepath.Join("/sys/fs/bpf", fmt.Sprintf("fairway-test-refuse-%d", os.Getpid()))
	t.Cleanup(func() { _ = os.Remove(c.BPFFS) })
	return c
}

// A start with a mistyped root and the run-dir of sandboxes that go on without their
// daemon is refused: they go on.
func TestRefusedStartLeavesSandboxesOfAnotherRoot(t *testing.T) {
	root.Need(t)
	c := testConfig(t)
	boxes, err := sandbox.New(filepath.Join(t.TempDir(), "other"), c.RunDir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := boxes.RemoveAll(); err != nil {
			t.Error(err)
		}
	}()
	answers := startEcho(t, boxes)
	refuseAfterBoxes(t, c)
	if err := answers(); err != nil {
		t.Errorf("the sandbox ended: %v", err)
	}
	if _, err := os.Stat(c.Root); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the root that was made is left: %v", err)
	}
}

// startEcho starts a sandbox and returns what asks it for an answer.
func startEcho(t *testing.T, boxes *sandbox.Manager) (ask func() error) {
	t.Helper()
	in, asked, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	answered, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { asked.Close(); answered.Close() })
	_, err = boxes.Start(sandbox.Spec{ID: "0123456789abcdef", Command: []string{"cat"}, Stdio: &[3]*os.File{in, out, out}})
	if err := errors.Join(err, in.Close(), out.Close()); err != nil {
		t.Fatal(err)
	}
	return func() error {
		if _, err := asked.WriteString("?"); err != nil {
			return err
		}
		_, err := answered.Read(make([]byte, 1))
		return err
	}
}

// refuseAfterBoxes starts a daemon that finds what it can't read once it knows its
// sandboxes, in directories that are new.
func refuseAfterBoxes(t *testing.T, c Config) {
	t.Helper()
	d := newDaemon(c, Parts{})
	locked, err := lockDirs(c)
	if err != nil {
		t.Fatal(err)
	}
	d.onClose(func() error { return errors.Join(d.removeState(), locked.discard()) })
	d.before.lookForState(c)
	state, err := store.Open(filepath.Join(c.Root, store.FileName))
	if err != nil {
		t.Fatal(err)
	}
	d.onClose(state.Close)
	if d.boxes, err = sandbox.New(c.Root, c.RunDir, d.log); err != nil {
		t.Fatal(err)
	}
	if err := d.close(); err != nil {
		t.Error(err)
	}
}

// A setup of a Docker Engine before the first start makes the state file. The start takes
// back what it does to the kernel all the same if it is refused, and leaves the file.
func TestRefusedFirstStartKeepsSetup(t *testing.T) {
	c := testConfig(t)
	if err := (setup.AtRest{Root: c.Root}).Keep(t.Context(), []byte("{}")); err != nil {
		t.Fatal(err)
	}
	d := newDaemon(c, Parts{})
	d.before.lookForState(c)
	state, err := store.Open(filepath.Join(c.Root, store.FileName))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(d.before.lookIntoState(state), state.Close()); err != nil || !d.before.state {
		t.Errorf("the state isn't taken for a new one: %v", err)
	}
	if err := errors.Join(noteModes(c.Root, datapath.EBPF), d.removeState()); err != nil {
		t.Error(err)
	}
	left, err := filepath.Glob(filepath.Join(c.Root, "*"))
	if err != nil || len(left) != 1 {
		t.Errorf("left: %q, %v", left, err)
	}
	if content, kept, err := (setup.AtRest{Root: c.Root}).Kept(t.Context()); err != nil || !kept || string(content) != "{}" {
		t.Errorf("kept %q (%t), %v", content, kept, err)
	}

	// With a network in it the state is a daemon's.
	if state, err = store.Open(filepath.Join(c.Root, store.FileName)); err != nil {
		t.Fatal(err)
	}
	put := func(tx *store.Tx) error { return tx.PutNetwork(&model.Network{ID: "n"}) }
	if err := errors.Join(state.Update(put), d.before.lookIntoState(state), state.Close()); err != nil || d.before.state {
		t.Errorf("a daemon's state is taken for a new one: %v", err)
	}
}
