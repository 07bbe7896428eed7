/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The one translation unit: every program is compiled together, so that all of
 * them share one set of maps and one set of types.
 */
#include "maps.h"
#include "config.h"

#include "enums.h"

SEC("tc") int from_container(struct __sk_buff *ctx) { __u32 k = have_csum_ipv6 + touch_jiffies + host_netns_cookie;
  bpf_map_lookup_elem(&devices,&k); bpf_map_lookup_elem(&endpoints,&k); bpf_map_lookup_elem(&networks,&k);bpf_map_lookup_elem(&endpoint_macs,&k); return ctx->len ? NEXT : 0; }
SEC("tc") int to_container(struct __sk_buff *ctx) { return ctx->len ? NEXT : 0; }
SEC("tc") int from_uplink(struct __sk_buff *ctx) { return ctx->len ? NEXT : 0; }
SEC("tc") int to_uplink(struct __sk_buff *ctx) { return ctx->len ? NEXT : 0; }
SEC("cgroup/connect4") int connect4(struct bpf_sock_addr *ctx) { return ctx->family ? 1 : 1; }
SEC("cgroup/connect6") int connect6(struct bpf_sock_addr *ctx) { return ctx->family ? 1 : 1; }
SEC("cgroup/sendmsg4") int sendmsg4(struct bpf_sock_addr *ctx) { return ctx->family ? 1 : 1; }
SEC("cgroup/sendmsg6") int sendmsg6(struct bpf_sock_addr *ctx) { return ctx->family ? 1 : 1; }
SEC("cgroup/recvmsg4") int recvmsg4(struct bpf_sock_addr *ctx) { return ctx->family ? 1 : 1; }
SEC("cgroup/recvmsg6") int recvmsg6(struct bpf_sock_addr *ctx) { return ctx->family ? 1 : 1; }
SEC("cgroup/getpeername4") int getpeername4(struct bpf_sock_addr *ctx) { return ctx->family ? 1 : 1; }
SEC("cgroup/getpeername6") int getpeername6(struct bpf_sock_addr *ctx) { return ctx->family ? 1 : 1; }
SEC("syscall") int collect(struct collect_request *req) { req->jiffies = bpf_jiffies64(); return 0; }
char _license[] SEC("license") = "Dual BSD/GPL";
