// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"fmt"
	"reflect"
	"sync"
)

// settings are the daemon's, which a reload changes one by one.
type settings struct {
	mu     sync.Mutex
	config Config
}

func (s *settings) get() Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.config
}

// take makes one setting what it is in from.
func (s *settings) take(key string, from Config) {
	s.mu.Lock()
	defer s.mu.Unlock()
	to := fieldsOf(reflect.ValueOf(&s.config).Elem(), "")
	to[key].Set(fieldsOf(reflect.ValueOf(&from).Elem(), "")[key])
}

// difference is a setting that isn't what it was. Its name is the key in the
// configuration file, with a dot before a key of timeouts.
type difference struct{ key, was, is string }

// differences returns what have and want differ in.
func differences(have, want Config) map[string]difference {
	all := make(map[string]difference)
	w := fieldsOf(reflect.ValueOf(&want).Elem(), "")
	for key, h := range fieldsOf(reflect.ValueOf(&have).Elem(), "") {
		if is := w[key]; !same(h, is) {
			all[key] = difference{key, fmt.Sprint(h.Interface()), fmt.Sprint(is.Interface())}
		}
	}
	return all
}

func same(a, b reflect.Value) bool {
	if a.Kind() == reflect.Slice && a.Len() == 0 && b.Len() == 0 {
		return true
	}
	return reflect.DeepEqual(a.Interface(), b.Interface())
}

// fieldsOf returns a struct's fields by their keys.
func fieldsOf(v reflect.Value, prefix string) map[string]reflect.Value {
	all := make(map[string]reflect.Value)
	for i := range v.NumField() {
		key := prefix + v.Type().Field(i).Tag.Get("yaml")
		if v.Type().Field(i).Type == reflect.TypeFor[Timeouts]() {
			for k, f := range fieldsOf(v.Field(i), key+".") {
				all[k] = f
			}
			continue
		}
		all[key] = v.Field(i)
	}
	return all
}
