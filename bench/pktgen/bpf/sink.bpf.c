// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Counts the generator's packets where they arrive, and ends them: at a device as
 * they come in, or at a socket that everything before it has accepted.
 */
#include "frame.h"

/* A sink's packets carry this; set before loading. */
volatile const __u64 mark = 0;
/* What addresses and destination port must be; zero is "don't look". */
volatile const __u8 want_src[16] = { 0 }, want_dst[16] = { 0 };
volatile const bool look_src = false, look_dst = false;
volatile const __be16 want_dport = 0;

/* Look at checksums too; may be changed at any time. */
bool verify;

enum outcome {
	ARRIVED,    /* the workload's, as it should look */
	MISMATCHED, /* the workload's, with wrong addresses or port */
	CORRUPT,    /* the workload's, with a wrong checksum */
	OUTCOMES,
};

/*
 * On whose time a packet came, and how often that was another's than the packet
 * before: what the softirq of one system call brings comes on the caller's.
 */
__u64 bringer, handovers;

/* Types reach BTF, which Go's come from, only if something refers to them. */
volatile const struct {
	enum outcome outcome;
} types = {};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, OUTCOMES);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

static __always_inline void count(enum outcome outcome)
{
	__u32 key = outcome;
	__u64 *n = bpf_map_lookup_elem(&counts, &key);

	if (n)
		(*n)++;
}

static __always_inline void note_bringer(void)
{
	__u64 task = bpf_get_current_task();

	if (task == bringer)
		return;
	bringer = task;
	handovers++;
}

static __always_inline bool same(volatile const __u8 *want, const __be32 *addr, int words)
{
	want += 16 - words * 4;
	for (int i = 0; i < words; i++)
		if (((volatile const __u32 *)want)[i] != addr[i])
			return false;
	return true;
}

/* Whether checksums are right: of an IPv4 header, and of a datagram with its pseudo header. */
static __always_inline bool intact(const struct iphdr *ip4, const __be32 *addrs, int words,
				   const struct udphdr *udp)
{
	__u32 sum = (__u32)bpf_htons(IPPROTO_UDP) + udp->len;

	for (int i = 0; i < 2 * words; i++)
		sum = csum_add(sum, addrs[i]);
	if (ip4 && csum_fold(bpf_csum_diff(NULL, 0, (void *)ip4, sizeof(*ip4), 0)))
		return false;
	return !csum_fold(bpf_csum_diff(NULL, 0, (void *)udp, UDP_LEN, sum));
}

/* Source and destination address lie behind each other, each of so many words. */
static __always_inline enum outcome judge(const struct iphdr *ip4, const __be32 *addrs, int words,
					  const struct udphdr *udp)
{
	if ((look_src && !same(want_src, addrs, words)) ||
	    (look_dst && !same(want_dst, addrs + words, words)) ||
	    (want_dport && udp->dest != want_dport))
		return MISMATCHED;
	return verify && !intact(ip4, addrs, words, udp) ? CORRUPT : ARRIVED;
}

/* Everything that isn't the workload's goes on untouched. */
SEC("tc")
int count4(struct __sk_buff *skb)
{
	void *frame = (void *)(long)skb->data;
	struct iphdr *ip = frame + IP_OFF;
	struct udphdr *udp = frame + L4_OFF4;

	if (frame + UDP4_FRAME > (void *)(long)skb->data_end ||
	    ((struct ethhdr *)frame)->h_proto != bpf_htons(ETH_P_IP) || ip->ihl != 5 ||
	    ip->protocol != IPPROTO_UDP || *(__u64 *)(udp + 1) != mark)
		return TC_ACT_UNSPEC;
	note_bringer();
	count(judge(ip, &ip->saddr, 1, udp));
	return TC_ACT_SHOT;
}

SEC("tc")
int count6(struct __sk_buff *skb)
{
	void *frame = (void *)(long)skb->data;
	struct ipv6hdr *ip = frame + IP_OFF;
	struct udphdr *udp = frame + L4_OFF6;

	if (frame + UDP6_FRAME > (void *)(long)skb->data_end ||
	    ((struct ethhdr *)frame)->h_proto != bpf_htons(ETH_P_IPV6) ||
	    ip->nexthdr != IPPROTO_UDP || *(__u64 *)(udp + 1) != mark)
		return TC_ACT_UNSPEC;
	note_bringer();
	count(judge(NULL, ip->saddr.in6_u.u6_addr32, 4, udp));
	return TC_ACT_SHOT;
}

/*
 * At a socket the kernel has looked at addresses, port and checksums (a socket
 * with a filter has them looked at first). Nothing is kept, nobody is woken.
 */
SEC("socket")
int count_socket(struct __sk_buff *skb)
{
	struct {
		struct udphdr udp;
		__u64 mark;
	} __attribute__((packed)) head;

	if (bpf_skb_load_bytes(skb, 0, &head, sizeof(head)) || head.mark != mark)
		return skb->len;
	note_bringer();
	count(ARRIVED);
	return 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";
