// SPDX-License-Identifier: Apache-2.0

package resolver

import (
	"reflect"
	"testing"

	"github.com/fairway-project/fairway/maps/maptest"
)

func TestResolvers(t *testing.T) {
	table := New(maptest.New(t))
	want := map[uint64]Ports{1 << 40: {UDP: 5353, TCP: 5354}, 7: {UDP: 1, TCP: 2}}
	for cookie, p := range want {
		if err := table.Put(cookie, p); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := table.All(); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	for range 2 {
		if err := table.Delete(7); err != nil {
			t.Error(err)
		}
	}
}
