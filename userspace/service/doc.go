// SPDX-License-Identifier: Apache-2.0

// Package service keeps the backends of services: who they are while sandboxes come and
// go, and what state each is in. It tells what follows of that to who keeps what is wanted
// (Owner), which has the datapath follow.
//
// An owner of services says what they are (Put, Remove) and which sandboxes run with which
// endpoints (SetMember, RemoveMember). Backends are asked whether they serve (package
// health), and what is found is remembered over restarts before it is told (Memory).
//
// A backend is active while its sandbox runs and is healthy. It drains when it is told to,
// when its sandbox is being stopped, and when it leaves the service; after the service's
// drain time it is down for a moment, so that its flows end, and then gone. While it
// drains no check ends its flows: a process that is about to end listens no more.
//
// Be aware:
//   - nothing is told before Begin: what is known is complete then, so that no flow ends
//     for want of a sandbox that wasn't looked at yet;
//   - an event costs what the services that it concerns cost: they are found by the
//     sandbox's name and labels;
//   - calls of one sandbox, and of one service, are ordered by the caller.
package service
