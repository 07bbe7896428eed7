// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The last step of collection, run by the control plane. It hands in what
 * looked expired when it read the table. Compare-and-exchange on last_seen
 * decides against the packets: a flow that saw one in the meantime is left
 * alone, and a packet that comes later finds the entry condemned.
 */
#include "flow.h"

/* As flow_condemn(), but what is condemned already, and still here, goes too. */
static __always_inline bool condemn(struct flow *f, __u32 seen)
{
	return seen == FLOW_DEAD ? f->last_seen == FLOW_DEAD : flow_condemn(f, seen);
}

/* Takes back a sentence; seen is when the flow was alive. */
static __always_inline void pardon(struct flow *f, __u32 seen)
{
	__sync_val_compare_and_swap(&f->last_seen, FLOW_DEAD, seen);
}

static __always_inline bool condemn_both(struct flow *f, struct flow *twin, struct expired *e)
{
	if (!condemn(f, e->last_seen))
		return false;
	if (twin && !condemn(twin, e->twin_last_seen)) {
		pardon(f, twin->last_seen);
		return false;
	}
	return true;
}

static __always_inline bool collect_flow(bool v6, struct expired *e)
{
	union flow_key key, twin_key;
	struct flow *f, *twin;

	__builtin_memcpy(&key, &e->key, v6 ? sizeof(key.v6) : sizeof(key.v4));
	f = bpf_map_lookup_elem(flow_table(v6), &key);
	if (!f)
		return false;
	flow_twin_key(v6, &twin_key, f, &key);
	twin = bpf_map_lookup_elem(flow_table(v6), &twin_key);
	if (!condemn_both(f, twin, e))
		return false;
	flow_remove(v6, &key, f);
	return true;
}

static long collect_one(__u32 index, void *unused __attribute__((unused)))
{
	struct expired *e = bpf_map_lookup_elem(&expired, &index);

	if (!e)
		return 1;
	e->collected = e->ipv6 ? collect_flow(true, e) : collect_flow(false, e);
	return 0;
}

SEC("syscall")
int collect(struct collect_request *req)
{
	__u32 count = req->count;

	if (count > COLLECT_BATCH)
		count = COLLECT_BATCH;
	bpf_loop(count, collect_one, NULL, 0);
	req->jiffies = bpf_jiffies64();
	req->nanoseconds = bpf_ktime_get_ns();
	return 0;
}
