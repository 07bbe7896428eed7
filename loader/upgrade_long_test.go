// SPDX-License-Identifier: Apache-2.0

//go:build long

package loader

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/fairway-project/fairway/userspace/netns"
)

// upgradeEnv makes the test binary the process that is killed: its value is the instance.
const upgradeEnv = "FAIRWAY_TEST_UPGRADE"

// The process is one before TestMain sees it.
func init() {
	if words := strings.Fields(os.Getenv(upgradeEnv)); len(words) == 3 {
		if err := victim(words[0], words[1], words[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

// victim upgrades, saying each step.
func victim(ns, dir, run string) error {
	cfg := Config{Dir: dir, RunDir: run, FlowTableSize: 4096, Build: "v2 later"}
	cfg.Logger = slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{Level: slog.LevelDebug}))
	return netns.Do(ns, func() error {
		fmt.Println("begins")
		l, err := Open(cfg)
		if err != nil {
			return err
		}
		fmt.Println("is done")
		return l.Close()
	})
}

// Killed in any step of an upgrade, a process leaves what the next one makes whole.
func TestLongKilledInUpgrade(t *testing.T) {
	i := newInstance(t)
	dev := i.device(t, "up0")
	first := i.open(t)
	inhabit(t, first)
	i.do(t, func() error { return errors.Join(first.Attach(dev, FromUplink), first.AttachSockets()) })
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	want := connections(20)
	for steps, done := 1, false; !done; steps++ {
		o := i.becomesOlder(t, 0)
		for _, h := range want {
			o.put(t, h)
		}
		var last string
		last, done = i.killAfter(t, steps)
		next := i.open(t)
		expect(t, next, want)
		if others, err := OtherTables(i.cfg.Dir); len(others) != 0 || err != nil {
			t.Errorf("killed after %q: older tables are left: %v, %v", last, others, err)
		}
		if unfinished, _ := names(i.cfg.programsDir()); len(unfinished) != 1 {
			t.Errorf("killed after %q: programs %v", last, unfinished)
		}
		if got := i.programs(t, dev); len(got) != 1 || got[0] != next.programs[FromUplink].id {
			t.Errorf("killed after %q: programs %v, want %d", last, got, next.programs[FromUplink].id)
		}
		if err := next.Close(); err != nil {
			t.Fatal(err)
		}
	}
	i.do(t, func() error { return Remove(i.cfg) })
}

// killAfter kills a victim when it has said so much, and returns what it said last, and
// whether it was done.
func (i *instance) killAfter(t *testing.T, lines int) (last string, done bool) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %s", upgradeEnv, i.netns, i.cfg.Dir, i.cfg.RunDir))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	said := bufio.NewScanner(out)
	for range lines {
		if !said.Scan() {
			t.Fatalf("the victim ended after %q: %v: %s", last, cmd.Wait(), stderr.String())
		}
		last = said.Text()
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	return last, last == "is done"
}
