// SPDX-License-Identifier: Apache-2.0

package cell

import (
	"io"
	"time"
)

// watch copies from r to w until the end, and calls hangs, once, when nothing came for as
// long as patience says; never, where that is 0.
func watch(w io.Writer, r io.Reader, patience time.Duration, hangs func()) {
	var timer *time.Timer
	if patience > 0 {
		timer = time.AfterFunc(patience, hangs)
		defer timer.Stop()
	}
	buf := make([]byte, 64<<10)
	for {
		n, err := r.Read(buf)
		if n > 0 {
			// Who doesn't read any more ends the run by other means.
			_, _ = w.Write(buf[:n])
			// One that has fired isn't set again.
			if timer != nil && timer.Stop() {
				timer.Reset(patience)
			}
		}
		if err != nil {
			return
		}
	}
}
