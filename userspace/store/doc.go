// SPDX-License-Identifier: Apache-2.0

// Package store keeps the desired state of one daemon, its networks, endpoints
// and sandboxes, in one bbolt file, and what other owners keep beside them.
//
// Open examines the whole file before bbolt maps it, under the lock that keeps
// other daemons out, and changes nothing in a file that it refuses: what is
// wrong is one of the errors of this package, and the operator decides. Each
// record carries a CRC-32C, since bbolt has checksums in its meta pages only.
//
// Be aware:
//   - Update waits for the disk (fdatasync twice), up to milliseconds. Bring
//     changes that belong together into one Update.
//   - A newest meta page that is torn or damaged makes the file one transaction
//     older, by bbolt's design; the two cases can't be told apart.
package store
