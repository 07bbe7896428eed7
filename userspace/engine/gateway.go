// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/policy"
)

// attachment is an endpoint with its network: what most decisions about a
// sandbox need.
type attachment struct {
	ep  *model.Endpoint
	net *model.Network
}

// policy returns a as package policy has it.
func (a attachment) policy() policy.Attachment {
	return policy.Attachment{Endpoint: a.ep, Network: a.net}
}

// elect picks the gateways among a sandbox's endpoints.
func elect(all []attachment) policy.Gateways {
	var members []policy.Attachment
	for _, a := range all {
		members = append(members, a.policy())
	}
	return policy.Elect(members)
}

func compareAttachments(a, b attachment) int { return policy.Compare(a.policy(), b.policy()) }
