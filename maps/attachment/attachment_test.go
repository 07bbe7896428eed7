// SPDX-License-Identifier: Apache-2.0

package attachment

import (
	"reflect"
	"testing"

	"github.com/fairway-project/fairway/maps/maptest"
)

func TestAttachments(t *testing.T) {
	table := New(maptest.New(t))
	one, other := Key{Netns: 1 << 40, Network: 7}, Key{Netns: 1 << 40, Network: 8}
	want := map[Key]Attachment{one: {Endpoint: 8191, Generation: 65535, Led: 1 << 31}, other: {Endpoint: 3, Generation: 1}}
	for k, a := range want {
		if err := table.Put(k, a); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := table.All(); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	for k, want := range map[Key]uint32{one: 1 << 31, other: 0, {Netns: 1, Network: 1}: 0} {
		if got, err := table.Led(k); err != nil || got != want {
			t.Errorf("%+v has %d led sockets, %v, want %d", k, got, err, want)
		}
	}
	for range 2 {
		if err := table.Delete(one); err != nil {
			t.Error(err)
		}
	}
	delete(want, one)
	if got, err := table.All(); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("after one was deleted: got %v, %v", got, err)
	}
}
