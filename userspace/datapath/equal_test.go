// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"net/netip"
	"reflect"
	"testing"

	"github.com/fairway-project/fairway/userspace/model"
)

// An endpoint with any member that is another is another endpoint, whatever members are added.
func TestEndpointEqual(t *testing.T) {
	others := map[reflect.Type]reflect.Value{
		reflect.TypeFor[string]():       reflect.ValueOf("x"),
		reflect.TypeFor[int]():          reflect.ValueOf(1),
		reflect.TypeFor[model.MAC]():    reflect.ValueOf(model.MAC{1}),
		reflect.TypeFor[netip.Addr]():   reflect.ValueOf(netip.IPv4Unspecified()),
		reflect.TypeFor[[]Link]():       reflect.ValueOf([]Link{{}, {}}),
		reflect.TypeFor[[]model.Port](): reflect.ValueOf([]model.Port{{Num: 1}}),
	}
	differs := func(v reflect.Value, equal func() bool) {
		t.Helper()
		for i := range v.NumField() {
			name, f := v.Type().Field(i).Name, v.Field(i)
			other, known := others[f.Type()]
			if !known {
				t.Fatalf("%s %s: what is another %s?", v.Type(), name, f.Type())
			}
			before := reflect.New(f.Type()).Elem()
			before.Set(f)
			f.Set(other)
			if equal() {
				t.Errorf("%s: another %s is the same", v.Type(), name)
			}
			f.Set(before)
		}
		if !equal() {
			t.Errorf("%s: the same is another", v.Type())
		}
	}
	e := Endpoint{Links: []Link{{}}}
	differs(reflect.ValueOf(&e).Elem(), func() bool { return e.Equal(Endpoint{Links: []Link{{}}}) })
	differs(reflect.ValueOf(&e.Links[0]).Elem(), func() bool { return e.Equal(Endpoint{Links: []Link{{}}}) })
	if (Endpoint{}).Equal(e) {
		t.Error("an endpoint without links is one with")
	}
}
