/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Constants that the loader sets before the programs are verified. */
#pragma once

#include "kernel.h"

/* Cookie of the host's network namespace: whose sockets are the host's own. */
volatile const __u64 host_netns_cookie = 0;

/* A flow's last_seen is written when it is older than this many jiffies. */
volatile const __u32 touch_jiffies = 256;

/* The kernel knows BPF_F_IPV6 for bpf_l4_csum_replace. */
volatile const bool have_csum_ipv6 = false;

/* The kernel has bpf_cast_to_kern_ctx(); see checksum_state(). */
volatile const bool have_kern_ctx = false;

/* Source ports that masquerading may choose from when the sender's isn't free. */
volatile const __u16 masquerade_port_min = 1024;
volatile const __u16 masquerade_port_max = 65535;

/* Slots of the rings of connections opened last, less one; a power of two. */
volatile const __u32 recent_mask = 65535;

/* Netfilter's rules judge what goes between containers and outside; see netfilter.h. */
volatile const bool first_packet = false;
