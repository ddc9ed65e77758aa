/* sched_ext (Linux 6.12 and newer): the kernel's functions for a scheduler, its callbacks, and their types. */
#pragma once

#include "kernel.h"

#define KERNEL_FUNCTION SECTION(".ksyms")
#define OPTIONAL_FUNCTION __attribute__((section(".ksyms"), weak))

enum {
	MAP_ARRAY = 2,
	MAP_CGROUP_STORAGE = 32,
};

static void *(*const cgroup_storage)(void *map, void *group, void *value, u64 flags) = (void *)210;
static long (*const repeat)(u32 times, void *each, void *context, u64 flags) = (void *)181;

/* Values of the kernel's enums are looked up when the object is loaded, since they are no user interface. */
enum scx_enq_flags { SCX_ENQ_WAKEUP = 1 };
enum scx_dsq_id_flags { SCX_DSQ_LOCAL = 2 };
enum scx_kick_flags { SCX_KICK_PREEMPT = 2 };
enum scx_ent_flags { SCX_TASK_QUEUED = 1 };
enum scx_exit_kind { SCX_EXIT_NONE = 0 };
#define ENUM_VALUE(type, name) __builtin_preserve_enum_value(*(type *)name, 1)

struct sched_ext_entity {
	u32 flags;
	u64 slice;
	u64 dsq_vtime;
} KERNEL;

/* What a task has besides struct task_struct of kernel.h: libbpf drops the suffix when it looks for the type. */
struct task_struct___scx {
	struct sched_ext_entity scx;
	int memcg_nr_pages_over_high; /* it will be throttled for so many pages on its way back to user mode */
} KERNEL;

struct cgroup___scx {
	int level;
} KERNEL;

struct scx_exit_info {
	enum scx_exit_kind kind;
	s64 exit_code;
	const char *reason;
	char *msg;
} KERNEL;

struct scx_cgroup_init_args {
	u32 weight; /* cpu.weight, 1 to 10000 */
} KERNEL;

struct scx_init_task_args;

/* Matched with the kernel's struct by the names of its fields, so it may be a part of it. */
struct sched_ext_ops {
	s32 (*select_cpu)(struct task_struct *task, s32 previous, u64 flags);
	void (*enqueue)(struct task_struct *task, u64 flags);
	void (*dispatch)(s32 cpu, struct task_struct *previous);
	void (*runnable)(struct task_struct *task, u64 flags);
	void (*running)(struct task_struct *task);
	void (*stopping)(struct task_struct *task, bool runnable);
	void (*quiescent)(struct task_struct *task, u64 flags);
	s32 (*init_task)(struct task_struct *task, struct scx_init_task_args *how);
	s32 (*cgroup_init)(struct cgroup *group, struct scx_cgroup_init_args *how);
	void (*cgroup_set_weight)(struct cgroup *group, u32 weight);
	s32 (*init)(void);
	void (*exit)(struct scx_exit_info *why);
	u64 flags;
	u32 timeout_ms;
	char name[128];
};

/* Linux 6.19 gave the function one argument less, in a struct; before, it had five. */
struct scx_bpf_dsq_insert_vtime_args {
	u64 dsq_id, slice, vtime, enq_flags;
} KERNEL;

extern s32 scx_bpf_create_dsq(u64 dsq, s32 node) KERNEL_FUNCTION;
extern s32 scx_bpf_select_cpu_dfl(struct task_struct *task, s32 previous, u64 flags, bool *idle) KERNEL_FUNCTION;
extern void scx_bpf_dsq_insert(struct task_struct *task, u64 dsq, u64 slice, u64 flags) KERNEL_FUNCTION;
extern void scx_bpf_dsq_insert_vtime(struct task_struct *task, u64 dsq, u64 slice, u64 vtime, u64 flags)
	OPTIONAL_FUNCTION;
extern bool __scx_bpf_dsq_insert_vtime(struct task_struct *task, struct scx_bpf_dsq_insert_vtime_args *how)
	OPTIONAL_FUNCTION;
/* An iterator over a queue, in the kernel's hands (include/linux/sched/ext.h). */
struct bpf_iter_scx_dsq {
	u64 opaque[6];
} __attribute__((aligned(8)));
extern int bpf_iter_scx_dsq_new(struct bpf_iter_scx_dsq *iterator, u64 dsq, u64 flags) KERNEL_FUNCTION;
extern struct task_struct *bpf_iter_scx_dsq_next(struct bpf_iter_scx_dsq *iterator) KERNEL_FUNCTION;
extern void bpf_iter_scx_dsq_destroy(struct bpf_iter_scx_dsq *iterator) KERNEL_FUNCTION;
extern bool scx_bpf_task_set_slice(struct task_struct *task, u64 slice) OPTIONAL_FUNCTION;
extern bool scx_bpf_dsq_move_to_local(u64 dsq) KERNEL_FUNCTION;
extern void scx_bpf_kick_cpu(s32 cpu, u64 flags) KERNEL_FUNCTION;
extern s32 scx_bpf_task_cpu(const struct task_struct *task) KERNEL_FUNCTION;
extern u32 scx_bpf_nr_cpu_ids(void) KERNEL_FUNCTION;
extern void bpf_rcu_read_lock(void) KERNEL_FUNCTION;
extern void bpf_rcu_read_unlock(void) KERNEL_FUNCTION;
extern struct cgroup *bpf_cgroup_ancestor(struct cgroup *group, int level) KERNEL_FUNCTION;
extern void bpf_cgroup_release(struct cgroup *group) KERNEL_FUNCTION;
