// SPDX-License-Identifier: Apache-2.0

package world

import "testing"

func TestPerConnection(t *testing.T) {
	before := map[string]slab{"nf_conntrack": {10, 256}, "kmalloc-128": {5000, 128}, "kmalloc-64": {900, 64}, "dentry": {0, 192}}
	after := map[string]slab{"nf_conntrack": {1012, 256}, "kmalloc-128": {6100, 128}, "kmalloc-64": {1100, 64}, "dentry": {5000, 192}}
	if got, err := perConnection(before, after, 1000); err != nil || got != 256+128 {
		t.Errorf("memory per connection: %v, %v", got, err)
	}
	if got, err := perConnection(before, before, 1000); err == nil {
		t.Errorf("memory per connection of none: %v", got)
	}
}
