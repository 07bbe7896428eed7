// SPDX-License-Identifier: Apache-2.0

// Package nl has a name of the real one.
package nl

func SubscribeAt() error { return nil }
