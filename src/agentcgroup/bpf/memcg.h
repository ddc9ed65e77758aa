/* The kernel's side of memcg.bpf.c: struct memcg_bpf_ops and what is read of a memory cgroup; and what the program
 * shares with user space, mirrored by agentcgroup/kernel/memcg_ops.py.
 */
#pragma once

#include "cgroups.h"
#include "pressed.h"

enum { MAP_HASH = 1 };
static long (*const map_delete)(void *map, const void *key) = (void *)3;

struct page_counter { /* in pages */
	struct {
		s64 counter;
	} usage;
	unsigned long min, low; /* memory.min and memory.low, as they were written */
} KERNEL;

struct mem_cgroup {
	struct cgroup_subsys_state css;
	struct page_counter memory;
} KERNEL;

/* All callbacks of all generations of the patch series that adds the type; no kernel has them all. They are matched by
 * name: user space empties those that the running kernel lacks, or has with other parameters, before the object is
 * loaded. The type has this name in every generation, so a second definition of it would only repeat the first. */
struct memcg_bpf_ops {
	/* the first: */
	void (*handle_cgroup_online)(struct mem_cgroup *memcg);
	void (*handle_cgroup_offline)(struct mem_cgroup *memcg);
	bool (*below_low)(struct mem_cgroup *memcg);
	bool (*below_min)(struct mem_cgroup *memcg);
	u32 (*get_high_delay_ms)(struct mem_cgroup *memcg);
	/* the newer (and memcg_uncharged, of which we have no use): */
	u32 (*memcg_charged)(struct mem_cgroup *memcg);
};

#define MOST_DELAY_MS 2000 /* what the kernel itself allows in one go (MEMCG_MAX_HIGH_DELAY_JIFFIES) */

struct state { /* the only global; set before the start */
	u32 delay_ms;       /* the longest that a task is delayed in one go; 0: no delays */
	u32 charged_delays; /* what memcg_charged returns is a delay in ms, as far as the kernel's type tells */
	u64 least_pages;    /* what no reclaim takes from a protected cgroup while others press; 0: nothing is so hard */
};

struct counters { /* of one CPU, since the start */
	u64 online, offline; /* cgroups */
	u64 low, least;      /* times that a cgroup was protected, softly and hard */
	u64 delays, delay_ms;
};
