// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"strings"

	"github.com/moby/sys/mountinfo"
)

func mounts() ([]*mountinfo.Info, error) { return mountinfo.GetMounts(nil) }

// below returns the mount points directly below the mount at dir, or below the
// directory dir where that is no mount point: those that a new mount on dir
// hides, without the ones that hang on these.
func below(dir string, all []*mountinfo.Info) []string {
	var points []string
	for _, m := range all {
		if !strings.HasPrefix(m.Mountpoint, dir+"/") || covered(m, dir, all) {
			continue
		}
		points = append(points, m.Mountpoint)
	}
	return points
}

// covered reports whether m hangs on another mount below dir.
func covered(m *mountinfo.Info, dir string, all []*mountinfo.Info) bool {
	for _, other := range all {
		if other.ID == m.Parent {
			return strings.HasPrefix(other.Mountpoint, dir+"/")
		}
	}
	return false
}
