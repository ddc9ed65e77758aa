/* An arena (Linux 6.9), which the kernel asks of a sub-scheduler, and uses itself. */
#pragma once

#include "helpers.h"

enum {
	MAP_ARENA = 33,
	MAP_MMAPABLE = 1 << 10, /* BPF_F_MMAPABLE */
};

#define ARENA_MEMORY __attribute__((address_space(1)))

struct {
	MAP_UINT(type, MAP_ARENA);
	MAP_UINT(map_flags, MAP_MMAPABLE);
	MAP_UINT(max_entries, 64); /* pages; the kernel takes some of them for itself */
} arena MAPS;

extern void ARENA_MEMORY *bpf_arena_alloc_pages(void *map, void ARENA_MEMORY *at, u32 pages, int node, u64 flags)
	SECTION(".ksyms");
