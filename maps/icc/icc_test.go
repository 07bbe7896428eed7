// SPDX-License-Identifier: Apache-2.0

package icc

import (
	"net/netip"
	"reflect"
	"testing"

	"github.com/fairway-project/fairway/maps/maptest"
	"github.com/fairway-project/fairway/userspace/model"
)

func TestHoles(t *testing.T) {
	table := New(maptest.New(t))
	want := map[Hole]uint16{
		{From: netip.MustParseAddr("172.17.0.2"), To: netip.MustParseAddr("172.17.0.3"), Port: 5432, Proto: model.TCP}: 1,
		{From: netip.MustParseAddr("fd00::2"), To: netip.MustParseAddr("fd00::3"), Port: 53, Proto: model.UDP}:         2,

		{Network: 7, From: netip.MustParseAddr("172.17.0.2"), To: netip.MustParseAddr("172.17.0.3"), Port: 5432, Proto: model.TCP}: 3,
	}
	for h, slot := range want {
		if err := table.Put(h, slot); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := table.All(); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	for h := range want {
		for range 2 {
			if err := table.Delete(h); err != nil {
				t.Error(err)
			}
		}
	}
}
