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
	s.Raise()
	s.Clear()
	s.Clear()
	if s.Await(ended) {
		t.Error("heard after it was forgotten")
	}
	Sleep(ended, time.Hour)
	Sleep(t.Context(), time.Nanosecond)
}
