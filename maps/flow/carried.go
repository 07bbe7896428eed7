// SPDX-License-Identifier: Apache-2.0

package flow

import (
	"unsafe"

	"github.com/fairway-project/fairway/maps/object"
)

// OfCarried returns the half that is to be carried over.
func OfCarried(c *object.DatapathCarried) Half {
	if c.Ipv6 != 0 {
		return from6(&c.Key, &c.Flow)
	}
	return from4((*object.DatapathFlow4Key)(unsafe.Pointer(&c.Key)), (*object.DatapathFlow4)(unsafe.Pointer(&c.Flow)))
}

// Carried is its inverse. Fields that Half doesn't have become zero.
func Carried(h Half) (c object.DatapathCarried) {
	c.Key = ExpiredKey(h.Key)
	if h.IPv6() {
		c.Ipv6, c.Flow = 1, to6(&h)
	} else {
		*(*object.DatapathFlow4)(unsafe.Pointer(&c.Flow)) = to4(&h)
	}
	return c
}
