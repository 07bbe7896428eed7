// SPDX-License-Identifier: Apache-2.0

package progrun

import "github.com/fairway-project/fairway/maps/object"

// Reasons by the names that tables read well with.
const (
	malformed       = object.DatapathDropReasonDROP_MALFORMED
	unmanaged       = object.DatapathDropReasonDROP_UNMANAGED
	spoofedMAC      = object.DatapathDropReasonDROP_SPOOFED_MAC
	spoofedAddress  = object.DatapathDropReasonDROP_SPOOFED_ADDRESS
	spoofedARP      = object.DatapathDropReasonDROP_SPOOFED_ARP
	spoofedND       = object.DatapathDropReasonDROP_SPOOFED_ND
	dhcpServer      = object.DatapathDropReasonDROP_DHCP_SERVER
	familyDisabled  = object.DatapathDropReasonDROP_FAMILY_DISABLED
	isolated        = object.DatapathDropReasonDROP_ISOLATED
	iccReason       = object.DatapathDropReasonDROP_ICC
	internalReason  = object.DatapathDropReasonDROP_INTERNAL
	directRouting   = object.DatapathDropReasonDROP_DIRECT_ROUTING
	martian         = object.DatapathDropReasonDROP_MARTIAN
	noFlow          = object.DatapathDropReasonDROP_NO_FLOW
	tableFull       = object.DatapathDropReasonDROP_FLOW_TABLE_FULL
	noPort          = object.DatapathDropReasonDROP_NO_PORT
	noRoute         = object.DatapathDropReasonDROP_NO_ROUTE
	noAddressReason = object.DatapathDropReasonDROP_NO_ADDRESS
	fragmentReason  = object.DatapathDropReasonDROP_FRAGMENT
	unsupported     = object.DatapathDropReasonDROP_UNSUPPORTED
	endpointGone    = object.DatapathDropReasonDROP_ENDPOINT_GONE
	privateSource   = object.DatapathDropReasonDROP_PRIVATE_SOURCE
	rewriteFailed   = object.DatapathDropReasonDROP_REWRITE_FAILED
	flowExpiring    = object.DatapathDropReasonDROP_FLOW_EXPIRING
	hostPortInUse   = object.DatapathDropReasonDROP_HOST_PORT_IN_USE
)
