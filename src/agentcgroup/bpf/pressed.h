/* For each rank of sessions, until when (CLOCK_MONOTONIC, ns) one of them is short of what sessions share. Two objects
 * have it: pressure.bpf.c writes it, and memcg.bpf.c may read the same map.
 */
#pragma once

#include "helpers.h"

#define RANKS 3 /* of agentcgroup/model.py, Priority: 0 is LOW */

struct {
	MAP_UINT(type, MAP_ARRAY);
	MAP_UINT(max_entries, RANKS);
	MAP_TYPE(key, u32);
	MAP_TYPE(value, u64);
} pressed MAPS;
