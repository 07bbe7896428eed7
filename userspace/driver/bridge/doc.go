// SPDX-License-Identifier: Apache-2.0

// Package bridge is the driver of networks whose endpoints are veths on a bridge of this
// host.
package bridge
