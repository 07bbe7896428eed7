/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Enums, and the entries of tables in tables, reach BTF, which the Go types come from, only
 * if something refers to them.
 */
#pragma once

#include "types.h"

struct enums {
	enum drop_reason drop_reason;
	enum direction direction;
	enum program program;
	enum verdict verdict;
	enum limit limit;
	enum device_flag device_flag;
	enum endpoint_flag endpoint_flag;
	enum network_flag network_flag;
	enum published_flag published_flag;
	enum zone zone;
	enum flow_echo flow_echo;
	enum flow_action flow_action;
	enum flow_kind flow_kind;
	enum flow_flag flow_flag;
	enum flow_state flow_state;
	enum flow_last_seen flow_last_seen;
	enum flow_netfilter flow_netfilter;
	enum carry_outcome carry_outcome;
	enum park_mark park_mark;
	enum backend_state backend_state;
	enum pool_flag pool_flag;
	struct ring_word ring_word;
	struct backend backend;
	struct pool pool;
	struct affinity_set affinity_set;
};

volatile const struct enums enums = {};
