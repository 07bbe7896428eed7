// SPDX-License-Identifier: Apache-2.0

package firewall

// Judging is how to have the host's rules judge containers. The setting alone would cut
// containers off wherever the policy or the last rule of FORWARD refuses.
const Judging = `first make rules that accept what containers need ("Your own firewall rules" in docs/docker.md), then: fairway daemon --netfilter first-packet`

// DropPolicy is what the policy DROP of FORWARD means where rules don't judge containers.
const DropPolicy = "it stays, so that the host doesn't route for its neighbours. Of containers it stops what the host's stack forwards: fragments and odd routes"
