/* Counters of each CPU: `struct counters` of the program that includes this, in the map `counts`. */
#pragma once

#include "helpers.h"

struct {
	MAP_UINT(type, MAP_PERCPU_ARRAY);
	MAP_UINT(max_entries, 1);
	MAP_TYPE(key, u32);
	MAP_TYPE(value, struct counters);
} counts MAPS;

#define ADD(field, by)                                                  \
	do {                                                            \
		u32 _zero = 0;                                          \
		struct counters *_mine = map_lookup(&counts, &_zero);   \
		if (_mine)                                              \
			__sync_fetch_and_add(&_mine->field, by);        \
	} while (0)

#define COUNT(field) ADD(field, 1)
