// SPDX-License-Identifier: Apache-2.0

// Package object is the compiled eBPF object with the Go view of its types,
// maps, programs and variables, generated from bpf/. Nothing in it is written
// by hand but this file; the packages beside it give the maps their meaning.
package object

//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -cflags "-O2 -g -Wall -Wextra -Werror -mcpu=v3 -I/usr/include/x86_64-linux-gnu -I/usr/include/aarch64-linux-gnu" -type drop_reason -type direction -type program -type verdict -type limit -type device_flag -type endpoint_flag -type network_flag -type published_flag -type zone -type flow_echo -type flow_action -type flow_kind -type flow_flag -type flow_state -type flow_last_seen -type flow_netfilter -type carry_outcome -type park_mark -type backend_state -type pool_flag -type ring_word -type backend -type pool -type affinity_set -type collect_request -type led_socket Datapath ../../bpf/datapath.c
