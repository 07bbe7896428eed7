// SPDX-License-Identifier: Apache-2.0

package request

import (
	"runtime"
	"runtime/debug"
)

// BuildVersion tells the version of the running binary, from what the go
// command recorded in it.
func BuildVersion() Version {
	v := Version{
		Version:  "(devel)",
		Go:       runtime.Version(),
		Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Commit = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}
