// SPDX-License-Identifier: Apache-2.0

package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairway-project/fairway/test/harness"
	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// REL-05, REL-07: a state file of a later version is named and left as it is,
// and what is there goes on.
func TestStateOfNewerVersion(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80")
		harness.ServeTCP(t, c1.Netns, 80, "c1")
		e.Daemon.Stop(t)
		state := filepath.Join(e.Daemon.Root, "state.db")
		version := func(text string) (before string, err error) {
			db, err := bbolt.Open(state, 0o600, nil)
			if err != nil {
				return "", err
			}
			defer db.Close()
			return before, db.Update(func(tx *bbolt.Tx) error {
				return tx.ForEach(func(_ []byte, b *bbolt.Bucket) error {
					if v := b.Get([]byte("version")); v != nil {
						before = string(v)
						return b.Put([]byte("version"), []byte(text))
					}
					return nil
				})
			})
		}
		var own string
		refuses(t, e.Daemon, "newer", func() (err error) { own, err = version("999"); return err }, "state.db", "999", "newer")
		if _, err := harness.GetTCP(e.LAN1, at(harness.HostIP4, 8080)); err != nil {
			t.Errorf("published port: %v", err)
		}
		if was, err := version(own); err != nil || was != "999" {
			t.Fatalf("the file says version %q now (%v)", was, err)
		}
		e.Daemon.Start(t)
	}, harness.Restarts())
}

// REL-07: the disk fills up while the daemon runs. Changes are refused with the
// reason and leave nothing, what is there goes on, and with room again all is well.
func TestDiskFillsUp(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		root := e.Dir(t, "disk")
		if err := unix.Mount("tmpfs", root, "tmpfs", 0, "size=8m"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Unmount(root, unix.MNT_DETACH) })
		e.Daemon.Root = root
		e.Daemon.Start(t)
		e.Network(t, "a", numA)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80")
		harness.ServeTCP(t, c1.Netns, 80, "c1")
		view := harness.Look(t, e)
		fill := filepath.Join(root, "fill")
		if err := fillDisk(fill); err != nil {
			t.Fatal(err)
		}
		// A database has some pages in reserve.
		full := false
		var made []string
		for i := range 200 {
			name := fmt.Sprint("n", i)
			r := e.Fairway(t, "network", "create", "--label", "x="+strings.Repeat("x", 4000), "--subnet", fmt.Sprintf("10.77.%d.0/24", i), name)
			if full = r.Code != 0; full {
				if !strings.Contains(r.Err, "no space left") {
					t.Errorf("network create: %s", r.Err)
				}
				break
			}
			made = append(made, name)
		}
		if !full {
			t.Error("the disk is full, and networks are made")
		}
		if _, err := harness.GetTCP(e.LAN1, at(harness.HostIP4, 8080)); err != nil {
			t.Errorf("published port: %v", err)
		}
		if err := os.Remove(fill); err != nil {
			t.Fatal(err)
		}
		for _, name := range made {
			e.Must(t, "network", "rm", name)
		}
		if diff := view.Diff(harness.Look(t, e)); diff != "" {
			t.Errorf("the refused change left:\n%s", diff)
		}
		e.Network(t, "b", numB)
	}, harness.NoDaemon())
}

// fillDisk writes until nothing more fits.
func fillDisk(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for page := make([]byte, 4096); err == nil; {
		_, err = f.Write(page)
	}
	if !strings.Contains(err.Error(), "no space left") {
		return err
	}
	return nil
}

// A --bpffs that isn't on a BPF filesystem gets one mounted, which goes with the
// uninstall.
func TestBPFFSIsMounted(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Daemon.BPFFS = e.Dir(t, "pins")
		e.Daemon.Start(t)
		e.Network(t, "a", numA)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80")
		harness.ServeTCP(t, c1.Netns, 80, "c1")
		var st unix.Statfs_t
		if err := unix.Statfs(e.Daemon.BPFFS, &st); err != nil || st.Type != unix.BPF_FS_MAGIC {
			t.Errorf("%s is of type %#x, %v", e.Daemon.BPFFS, st.Type, err)
		}
		e.Daemon.Kill(t)
		if _, err := harness.GetTCP(e.LAN1, at(harness.HostIP4, 8080)); err != nil {
			t.Errorf("daemon dead: %v", err)
		}
		e.Daemon.Start(t)
	}, harness.NoDaemon(), harness.OnlyMode(harness.EBPF))
}

// A daemon without the privileges that it needs says so, by name.
func TestMissingPrivilege(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		fairway := append([]string{os.Getenv(harness.EnvBinary), "daemon"}, e.Daemon.Dirs()...)
		for what, prefix := range map[string][]string{
			"no root":       {"setpriv", "--reuid", "65534", "--clear-groups", "--"},
			"CAP_NET_ADMIN": {"setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin", "--"},
		} {
			args := append(append([]string{}, prefix...), fairway...)
			out, err := e.Host.Output(args[0], args[1:]...)
			word := map[string]string{"no root": "needs root", "CAP_NET_ADMIN": "CAP_NET_ADMIN"}[what]
			if err == nil || !strings.HasPrefix(out, "fairway: ") || !strings.Contains(out, word) || strings.Count(out, "\n") != 1 {
				t.Errorf("%s: %q, %v", what, out, err)
			}
		}
	}, harness.NoDaemon(), harness.OnlyMode(harness.EBPF))
}
