// SPDX-License-Identifier: Apache-2.0

package cgroupfs

import (
	"errors"
	"strings"
	"testing"

	"github.com/moby/sys/mountinfo"
)

// TestFirst passes by what is no root, and what doesn't show at its place.
func TestFirst(t *testing.T) {
	const info = `30 23 0:26 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755
31 30 0:27 /sub /other rw - cgroup2 cgroup2 rw
32 30 0:27 / /covered rw - cgroup2 cgroup2 rw
33 30 0:27 / /sys/fs/cgroup/a\040b rw,nosuid shared:9 - cgroup2 cgroup2 rw
`
	mounts, err := mountinfo.GetMountsFromReader(strings.NewReader(info), mountinfo.FSTypeFilter("cgroup2"))
	if err != nil {
		t.Fatal(err)
	}
	covered := errors.New("covered")
	check := func(path string) error {
		if path == "/covered" {
			return covered
		}
		return nil
	}
	if at, err := first(mounts, check); err != nil || at != "/sys/fs/cgroup/a b" {
		t.Errorf("%q, %v", at, err)
	}
	if _, err := first(mounts[:2], check); !errors.Is(err, ErrNone) || !errors.Is(err, covered) {
		t.Errorf("none: %v", err)
	}
}
