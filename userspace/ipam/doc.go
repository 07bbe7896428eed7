// SPDX-License-Identifier: Apache-2.0

// Package ipam assigns subnets to bridge networks and addresses to endpoints,
// with the pools and the rules of Docker's default IPAM driver.
//
// Everything is in memory and nothing is written: a Manager is rebuilt at start
// by RestoreNetwork from the stored networks and endpoints.
//
// Be aware:
//   - The host's routes and name servers are what the caller says at AddNetwork;
//     a route that appears later isn't noticed.
//   - Automatic assignment goes upwards from the last address it gave out and
//     starts over at the end (Docker's serial allocation), so that a released
//     address comes back as late as possible. After a restart it goes on behind
//     the highest address that an endpoint holds by automatic assignment.
//   - Only addresses in use take memory, about 50 bytes each.
package ipam
