// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The one translation unit: every program is compiled together, so that all of
 * them share one set of maps and one set of types.
 */
#include "enums.h"

#include "from_container.bpf.c"
#include "to_container.bpf.c"
#include "from_uplink.bpf.c"
#include "to_uplink.bpf.c"
#include "enter.bpf.c"
#include "relay.bpf.c"
#include "park.bpf.c"
#include "icmp.bpf.c"
#include "uplink_xdp.bpf.c"
#include "sock.bpf.c"
#include "collect.bpf.c"
#include "carry.bpf.c"

char _license[] SEC("license") = "Dual BSD/GPL";
