// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"context"
	"testing"
	"time"
)

func TestSignal(t *testing.T) {
	s := NewSignal()
	for range 3 {
		s.Raise()
	}
	if !s.Await(t.Context()) {
		t.Error("not heard")
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if s.Await(ended) {
		t.Error("heard twice")
	}
	Sleep(ended, time.Hour)
	Sleep(t.Context(), time.Nanosecond)
}
