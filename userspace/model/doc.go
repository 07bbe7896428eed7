// SPDX-License-Identifier: Apache-2.0

// Package model holds the nouns of the Docker network model as plain values:
// networks, endpoints, sandboxes, port specifications and published ports.
//
// Nothing here does anything: no kernel object is made, no file is written. The
// engine owns the values, the store keeps them, a datapath carries them out and
// the front ends show them. Values are exchanged by copy; whoever changes one
// clones it first.
package model
