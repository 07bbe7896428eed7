// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"testing"
	"time"
)

// Patience is how long a test waits for what has to come. It decides nothing but how
// long a failure takes: a busy or slow machine must not fail a test.
const Patience = time.Minute

// Silence is how long a test waits to see that nothing comes. It only has to
// exceed the time that a packet takes, not a retransmission timer.
const Silence = 400 * time.Millisecond

// Eventually waits until check returns nil, and ends the test with its last
// error otherwise.
func Eventually(t testing.TB, what string, check func() error) {
	t.Helper()
	EventuallyWithin(t, Patience, what, check)
}

// EventuallyWithin is Eventually with a limit of the caller's.
func EventuallyWithin(t testing.TB, limit time.Duration, what string, check func() error) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for wait := 2 * time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v: %v", what, limit, err)
		}
		time.Sleep(wait)
	}
}
