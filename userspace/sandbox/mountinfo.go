// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// mount is a line of /proc/PID/mountinfo (proc(5)).
type mount struct {
	id, parent string
	point      string
}

func mounts() ([]mount, error) {
	f, err := os.Open("/proc/thread-self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []mount
	s := bufio.NewScanner(f)
	for s.Scan() {
		fields := strings.Fields(s.Text())
		if len(fields) < 5 {
			return nil, fmt.Errorf("mountinfo: line %q has no mount point", s.Text())
		}
		all = append(all, mount{id: fields[0], parent: fields[1], point: unescape(fields[4])})
	}
	return all, s.Err()
}

// below returns the mount points directly below the mount at dir, or below the
// directory dir where that is no mount point: those that a new mount on dir
// hides, without the ones that hang on these.
func below(dir string, all []mount) []string {
	var points []string
	for _, m := range all {
		if !strings.HasPrefix(m.point, dir+"/") || covered(m, dir, all) {
			continue
		}
		points = append(points, m.point)
	}
	return points
}

// covered reports whether m hangs on another mount below dir.
func covered(m mount, dir string, all []mount) bool {
	for _, other := range all {
		if other.id == m.parent {
			return strings.HasPrefix(other.point, dir+"/")
		}
	}
	return false
}

// unescape undoes the octal escapes of space, tab, newline and backslash.
func unescape(s string) string {
	return filepath.Clean(strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s))
}
