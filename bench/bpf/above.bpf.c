/* above: the smallest scheduler that lets another one in below it (Linux 7.3), for bench/above.py.
 *
 * It grants all CPUs to whoever attaches, and passes on to them, in turn, each CPU that has nothing to do. Its own tasks
 * wait in one queue, first in first out, with slices of 3 ms.
 */
#include "scx.h"
#include "arena.h"

char license_text[] SECTION("license") = "Dual MIT/GPL";

#define SLICE (3 * 1000 * 1000)
#define QUEUE 0
#define MOST 8 /* that are attached below it */

enum scx_cap_flags { __SCX_CAP_ALL = 15 };

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
	void (*sub_detach)(void *how);
	u64 flags;
	u32 timeout_ms;
	u64 sub_cgroup_id;
	char name[128];
} KERNEL;

struct scx_sub_attach_args {
	struct sched_ext_ops_cid *ops;
} KERNEL;

struct scx_sub_detach_args {
	struct sched_ext_ops_cid *ops;
} KERNEL;

struct {
	u64 queued;
	u64 passed_on; /* times that the scheduler below had a task for a CPU */
	u64 turn;
	u64 below[MOST]; /* the cgroups of the schedulers below; 0: none */
	s64 granted;   /* 0, or why it was not */
	u64 exit_kind;
	u64 refusing; /* 1: whoever wants to attach is turned away; set by user space */
	u64 ending;   /* the cgroup whose scheduler is to be ended; set by user space */
	char message[128];
	char enough[16]; /* what it is told */
} state SECTION(".data") = {.enough = "enough of %llu"};

extern bool scx_bpf_sub_dispatch(u64 cgroup) KERNEL_FUNCTION;
extern s32 scx_bpf_sub_grant(u64 cgroup, u64 capabilities, const struct scx_cmask *cids, struct scx_cmask *denied)
	KERNEL_FUNCTION;

extern s32 scx_bpf_sub_kill_bstr(u64 cgroup, char *format, unsigned long long *values, u32 values_size)
	KERNEL_FUNCTION;

SECTION("struct_ops/enqueue") void above_enqueue(u64 *arguments)
{
	__sync_fetch_and_add(&state.queued, 1);
	scx_bpf_dsq_insert((void *)arguments[0], QUEUE, SLICE, arguments[1]);
}

SECTION("struct_ops/dispatch") void above_dispatch(UNUSED u64 *arguments)
{
	unsigned long long ending = state.ending;
	if (ending) {
		state.ending = 0;
		scx_bpf_sub_kill_bstr(ending, state.enough, &ending, sizeof(ending));
	}
	if (scx_bpf_dsq_move_to_local(QUEUE))
		return;
	u64 turn = __sync_fetch_and_add(&state.turn, 1);
	for (int number = 0; number < MOST; number++) {
		u64 below = state.below[(turn + number) % MOST];
		if (below && scx_bpf_sub_dispatch(below)) {
			__sync_fetch_and_add(&state.passed_on, 1);
			return;
		}
	}
}

/* Put `is` in the place of `was`; false when there is none. */
static bool replace(u64 was, u64 is)
{
	for (int number = 0; number < MOST; number++)
		if (__sync_val_compare_and_swap(&state.below[number], was, is) == was)
			return true;
	return false;
}

SECTION("struct_ops.s/init") s32 above_init(void)
{
	return bpf_arena_alloc_pages(&arena, NULL, 1, -1, 0) ? scx_bpf_create_dsq(QUEUE, -1) : -12; /* ENOMEM */
}

SECTION("struct_ops/exit") void above_exit(u64 *arguments)
{
	struct scx_exit_info *why = (void *)arguments[0];
	read_kernel_string(state.message, sizeof(state.message), why->msg);
	state.exit_kind = why->kind;
}

SECTION("struct_ops.s/sub_attach") s32 above_sub_attach(u64 *arguments)
{
	struct scx_sub_attach_args *how = (void *)arguments[0];
	u64 cgroup = how->ops->sub_cgroup_id;
	if (state.refusing)
		return -1; /* EPERM */
	struct scx_cmask ARENA_MEMORY *all = bpf_arena_alloc_pages(&arena, NULL, 1, -1, 0);
	if (!all)
		return -12; /* ENOMEM */
	u32 cpus = scx_bpf_nr_cpu_ids();
	all->nr_cids = cpus;
	all->alloc_words = 2;
	all->bits[0] = cpus < 64 ? (1ULL << cpus) - 1 : -1;
	state.granted = scx_bpf_sub_grant(cgroup, ENUM_VALUE(enum scx_cap_flags, __SCX_CAP_ALL), (void *)(long)all, NULL);
	return replace(0, cgroup) ? 0 : -28; /* ENOSPC */
}

SECTION("struct_ops.s/sub_detach") void above_sub_detach(u64 *arguments)
{
	struct scx_sub_detach_args *how = (void *)arguments[0];
	replace(how->ops->sub_cgroup_id, 0);
}

SECTION(".struct_ops.link") struct sched_ext_ops_cid above_ops = {
	.enqueue = (void *)above_enqueue,
	.dispatch = (void *)above_dispatch,
	.init = (void *)above_init,
	.exit = (void *)above_exit,
	.sub_attach = (void *)above_sub_attach,
	.sub_detach = (void *)above_sub_detach,
	.name = "bench_above",
	.timeout_ms = 5000,
};
