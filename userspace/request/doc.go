// SPDX-License-Identifier: Apache-2.0

// Package request holds what a front end asks the control plane for, what it gets to
// see, and the kinds of errors between the two, as plain values. No transport is in
// it: package api carries these values over HTTP, and its answers have a form of
// their own where they differ.
//
// Be aware: the json tags are the wire format of requests, of the status and of
// checks. It is part of the API's version 1.
package request
