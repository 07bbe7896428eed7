// SPDX-License-Identifier: Apache-2.0

package quiet

import "time"

// Fixed is a reading for tests: so long after an arbitrary moment, with so much
// time stolen until then.
func Fixed(at, steal time.Duration) Reading {
	return Reading{at: time.Unix(0, 0).Add(at), steal: steal}
}
