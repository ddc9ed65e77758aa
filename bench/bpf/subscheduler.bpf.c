/* subscheduler: the smallest schedulers that show what a sub-scheduler (Linux 7.3) costs; bench/subscheduler.py.
 *
 * One queue, first in first out, slices of 3 ms. Compiled twice. As it is it is the only scheduler, or one attached
 * to the cgroup that the loader writes into sub_cgroup_id. With -DROOT it is the one above, which grants all CPUs to
 * whoever attaches, and passes on to it each CPU that has nothing to do.
 *
 * All are of the form that Linux 7.3 asks of schedulers that have, or are, sub-schedulers: CPUs by compact ids, and an
 * arena, from which the set of CPUs is handed over.
 */
#include "scx.h"

char license_text[] SECTION("license") = "Dual MIT/GPL";

#define SLICE (3 * 1000 * 1000)
#define ARENA_MEMORY __attribute__((address_space(1)))
#ifdef ROOT
#define QUEUE 0
#else
#define QUEUE 1
#endif

enum { MAP_ARENA = 33, MAP_MMAPABLE = 1 << 10 }; /* include/uapi/linux/bpf.h */
enum scx_cap_flags { __SCX_CAP_ALL = 15 };

struct {
	MAP_UINT(type, MAP_ARENA);
	MAP_UINT(map_flags, MAP_MMAPABLE);
	MAP_UINT(max_entries, 64); /* pages; the kernel takes some of them for itself */
} arena MAPS;

struct scx_cmask {
	u32 base, nr_cids, alloc_words;
	u64 bits[];
};

struct sched_ext_ops_cid {
	void (*enqueue)(struct task_struct *task, u64 flags);
	void (*dispatch)(s32 cid, struct task_struct *previous);
	s32 (*init)(void);
	void (*exit)(struct scx_exit_info *why);
	s32 (*sub_attach)(void *how);
	u64 flags;
	u32 timeout_ms;
	u64 sub_cgroup_id;
	char name[128];
} KERNEL;

struct scx_sub_attach_args {
	struct sched_ext_ops_cid *ops;
} KERNEL;

struct {
	u64 queued;
	u64 passed_on; /* times that the scheduler below had a task for a CPU */
	u64 below;     /* the cgroup of the scheduler below */
	s64 granted;   /* 0, or why it was not */
	u64 exit_kind;
	char message[128];
} state SECTION(".data") = {};

extern void ARENA_MEMORY *bpf_arena_alloc_pages(void *map, void ARENA_MEMORY *at, u32 pages, int node, u64 flags)
	KERNEL_FUNCTION;
extern bool scx_bpf_sub_dispatch(u64 cgroup) KERNEL_FUNCTION;
extern s32 scx_bpf_sub_grant(u64 cgroup, u64 capabilities, const struct scx_cmask *cids, struct scx_cmask *denied)
	KERNEL_FUNCTION;

SECTION("struct_ops/enqueue") void bench_enqueue(u64 *arguments)
{
	__sync_fetch_and_add(&state.queued, 1);
	scx_bpf_dsq_insert((void *)arguments[0], QUEUE, SLICE, arguments[1]);
}

SECTION("struct_ops/dispatch") void bench_dispatch(UNUSED u64 *arguments)
{
	if (scx_bpf_dsq_move_to_local(QUEUE))
		return;
#ifdef ROOT
	if (state.below && scx_bpf_sub_dispatch(state.below))
		__sync_fetch_and_add(&state.passed_on, 1);
#endif
}

SECTION("struct_ops.s/init") s32 bench_init(void)
{
	return bpf_arena_alloc_pages(&arena, NULL, 1, -1, 0) ? scx_bpf_create_dsq(QUEUE, -1) : -12; /* ENOMEM */
}

SECTION("struct_ops/exit") void bench_exit(u64 *arguments)
{
	struct scx_exit_info *why = (void *)arguments[0];
	read_kernel_string(state.message, sizeof(state.message), why->msg);
	state.exit_kind = why->kind;
}

#ifdef ROOT
SECTION("struct_ops.s/sub_attach") s32 bench_sub_attach(u64 *arguments)
{
	struct scx_sub_attach_args *how = (void *)arguments[0];
	struct scx_cmask ARENA_MEMORY *all = bpf_arena_alloc_pages(&arena, NULL, 1, -1, 0);
	if (!all)
		return -12; /* ENOMEM */
	u32 cpus = scx_bpf_nr_cpu_ids();
	all->nr_cids = cpus;
	all->alloc_words = 2;
	all->bits[0] = cpus < 64 ? (1ULL << cpus) - 1 : -1;
	state.below = how->ops->sub_cgroup_id;
	state.granted = scx_bpf_sub_grant(state.below, ENUM_VALUE(enum scx_cap_flags, __SCX_CAP_ALL), (void *)(long)all, NULL);
	return 0;
}
#endif

SECTION(".struct_ops.link") struct sched_ext_ops_cid bench_ops = {
	.enqueue = (void *)bench_enqueue,
	.dispatch = (void *)bench_dispatch,
	.init = (void *)bench_init,
	.exit = (void *)bench_exit,
#ifdef ROOT
	.sub_attach = (void *)bench_sub_attach,
	.name = "bench_root",
#else
	.name = "bench_queue",
#endif
	.timeout_ms = 5000,
};
