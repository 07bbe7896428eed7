// SPDX-License-Identifier: Apache-2.0

package packets

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// chargesSoftirqsApart reports whether a thread's CPU time lacks the softirqs that
// run on it (CONFIG_IRQ_TIME_ACCOUNTING), or whether nobody knows.
var chargesSoftirqsApart = sync.OnceValue(func() bool {
	config, err := kernelConfig()
	return err != nil || bytes.Contains(config, []byte("\nCONFIG_IRQ_TIME_ACCOUNTING=y\n"))
})

// kernelConfig is what the running kernel was built with.
func kernelConfig() ([]byte, error) {
	if f, err := os.Open("/proc/config.gz"); err == nil {
		defer f.Close()
		r, err := gzip.NewReader(f)
		if err != nil {
			return nil, err
		}
		return io.ReadAll(r)
	}
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return nil, err
	}
	return os.ReadFile("/boot/config-" + unix.ByteSliceToString(name.Release[:]))
}
