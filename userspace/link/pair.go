// SPDX-License-Identifier: Apache-2.0

package link

// CreatePair is CreateVeth for a driver that leaves it to others to move the inner
// end: both ends are in the host's namespace, down, the outer one enslaved.
func (h *Host) CreatePair(v Veth) (Device, error) {
	return h.CreateVeth(v, &Sandbox{ns: h.ns, nl: h.nl})
}
