/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where a service's backends stand: each pool has a table of its own, in its slot. */
#pragma once

#include "endpoint.h"
#include "share.h"

/* Entry of the table in the slot; NULL if there is none. */
static __always_inline void *entry_of(void *tables, __u32 slot, __u32 index)
{
	void *table = bpf_map_lookup_elem(tables, &slot);

	return table ? bpf_map_lookup_elem(table, &index) : NULL;
}

static __always_inline struct pool *pool_at(__u32 slot)
{
	return entry_of(&pools, slot, 0);
}

static __always_inline struct backend *backend_at(__u32 slot, __u32 index)
{
	return index ? entry_of(&pools, slot, index) : NULL;
}

/* A backend's name in flows: its index, and below that its pool's slot. 0 is nobody's. */
static __always_inline __u32 backend_name(__u32 slot, __u32 index)
{
	return index << 16 | slot;
}

static __always_inline __u32 slot_of_name(__u32 name)
{
	return name & 0xffff;
}

static __always_inline __u32 index_of_name(__u32 name)
{
	return name >> 16;
}

/* What tells a client by its address. */
static __always_inline __u32 client_address(bool v6, const __be32 *addr)
{
	__u32 hash = mix(0, addr[0]);
	int i;

#pragma clang loop unroll(full)
	for (i = 1; v6 && i < 4; i++)
		hash = mix(hash, addr[i]);
	return hash;
}
