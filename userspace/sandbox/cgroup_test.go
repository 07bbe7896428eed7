// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// cgroup2 is unmounted under the daemon: cgroups are made, emptied and removed all the
// same, and nothing is written where it was mounted.
func TestCgroupsAfterUnmount(t *testing.T) {
	at := t.TempDir()
	must(t, unix.Mount("cgroup2", at, "cgroup2", 0, ""))
	c, err := openCgroup(at, fmt.Sprintf("unmounted-%d", os.Getpid()))
	must(t, errors.Join(err, unix.Unmount(at, unix.MNT_DETACH)))
	defer c.mount.Close()
	f, err := c.child("box")
	must(t, err)
	defer f.Close()
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil || st.Type != unix.CGROUP2_SUPER_MAGIC {
		t.Errorf("the child is on a file system of type %#x, %v", st.Type, err)
	}
	if ids, err := c.children(); err != nil || len(ids) != 1 || ids[0] != "box" {
		t.Errorf("children are %v, %v", ids, err)
	}
	must(t, c.removeChild("box"))
	must(t, c.remove())
	if left, err := os.ReadDir(at); err != nil || len(left) > 0 {
		t.Errorf("left where it was mounted: %v, %v", left, err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
