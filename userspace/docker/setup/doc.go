// SPDX-License-Identifier: Apache-2.0

// Package setup makes a Docker Engine leave its containers' traffic to Fairway, by
// the keys of its daemon.json, and back. It reads how the engine runs from the
// process's arguments and its configuration file; what decides is pure.
//
// Be aware:
//   - the engine is never started, stopped or reloaded here: the operator is told;
//   - rules of an engine that runs with iptables are left alone, since they carry
//     its traffic; those that one left behind are flushed;
//   - dockerd refuses to start if a flag and a key say the same thing: keys whose
//     flag is given aren't written, and a flag with the wrong value is an error.
package setup
