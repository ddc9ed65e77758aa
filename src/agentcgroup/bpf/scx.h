/* sched_ext (Linux 6.12 and newer): the kernel's functions for a scheduler, its callbacks, and their types. */
#pragma once

#include "cgroups.h"

#define OPTIONAL_FUNCTION __attribute__((section(".ksyms"), weak)) /* or variable: NULL where there is none */

static void *(*const this_cpu)(const void *variable) = (void *)154;
static long (*const timer_init)(void *timer, void *map, u64 clock) = (void *)169;
static long (*const timer_set_callback)(void *timer, void *callback) = (void *)170;
static long (*const timer_start)(void *timer, u64 ns, u64 flags) = (void *)171;
static long (*const repeat)(u32 times, void *each, void *context, u64 flags) = (void *)181;

#define UNUSED __attribute__((unused))

enum { CLOCK_MONOTONIC = 1 };

/* In the kernel's hands (include/uapi/linux/bpf.h). */
struct bpf_timer {
	u64 opaque[2];
} __attribute__((aligned(8)));

/* Values of the kernel's enums are looked up when the object is loaded, since they are no user interface. */
enum scx_enq_flags { SCX_ENQ_WAKEUP = 1, SCX_ENQ_LAST = 2 };
enum scx_dsq_id_flags { SCX_DSQ_LOCAL = 2 };
enum scx_kick_flags { SCX_KICK_IDLE = 1, SCX_KICK_PREEMPT = 2 };
enum scx_ent_flags { SCX_TASK_QUEUED = 1 };
enum scx_exit_kind { SCX_EXIT_NONE = 0 };
#define ENUM_VALUE(type, name) __builtin_preserve_enum_value(*(type *)name, 1)

#define FIELD_EXISTS(field) __builtin_preserve_field_info(field, 2)
#define FIELD_ADDRESS(field) ((const void *)__builtin_preserve_access_index(&(field)))

struct sched_ext_entity {
	u32 flags;
	u64 slice;
	u64 dsq_vtime;
} KERNEL;

typedef struct {
	unsigned long sig[1];
} KERNEL sigset_t;

struct sigpending {
	sigset_t signal;
} KERNEL;

struct signal_struct___scx {
	struct sigpending shared_pending;
} KERNEL;

struct cpumask {
	unsigned long bits[1];
} KERNEL;

/* What a task has besides struct task_struct of kernel.h: libbpf drops the suffix when it looks for the type. */
struct task_struct___scx {
	struct sched_ext_entity scx;
	struct sigpending pending;
	sigset_t blocked;
	const struct cpumask *cpus_ptr;
	int memcg_nr_pages_over_high; /* it will be throttled for so many pages on its way back to user mode */
} KERNEL;

struct cgroup_freezer_state {
	bool e_freeze; /* it or one above it is to be frozen */
} KERNEL;

struct cgroup___scx {
	int level;
	struct cgroup_freezer_state freezer;
} KERNEL;

/* The registers that an interrupt found; those of one architecture are there. */
struct pt_regs {
	u16 cs;     /* x86 */
	u64 pstate; /* arm64 */
} KERNEL;

/* Of each CPU: those of the interrupt that it handles now, NULL outside (include/asm-generic/irq_regs.h). */
extern struct pt_regs *__irq_regs OPTIONAL_FUNCTION;

struct scx_exit_info {
	enum scx_exit_kind kind;
	s64 exit_code;
	const char *reason;
	char *msg;
} KERNEL;

struct scx_cgroup_init_args {
	u32 weight; /* cpu.weight, 1 to 10000 */
	u64 bw_period_us, bw_quota_us, bw_burst_us; /* cpu.max; Linux 6.17 */
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
	void (*tick)(struct task_struct *task);
	s32 (*init_task)(struct task_struct *task, struct scx_init_task_args *how);
	s32 (*cgroup_init)(struct cgroup *group, struct scx_cgroup_init_args *how);
	void (*cgroup_move)(struct task_struct *task, struct cgroup *from, struct cgroup *to);
	void (*cgroup_set_weight)(struct cgroup *group, u32 weight);
	s32 (*init)(void);
	void (*exit)(struct scx_exit_info *why);
	void (*cgroup_set_bandwidth)(struct cgroup *group, u64 period_us, u64 quota_us, u64 burst_us); /* Linux 6.17 */
	u64 flags;
	u32 timeout_ms;
	u64 sub_cgroup_id; /* Linux 7.3 */
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
extern void scx_bpf_dsq_move_set_slice(struct bpf_iter_scx_dsq *iterator, u64 slice) KERNEL_FUNCTION;
extern void scx_bpf_dsq_move_set_vtime(struct bpf_iter_scx_dsq *iterator, u64 vtime) KERNEL_FUNCTION;
extern bool scx_bpf_dsq_move_vtime(struct bpf_iter_scx_dsq *iterator, struct task_struct *task, u64 dsq, u64 flags)
	KERNEL_FUNCTION;
extern s32 scx_bpf_dsq_nr_queued(u64 dsq) KERNEL_FUNCTION;
extern s32 scx_bpf_pick_idle_cpu(const struct cpumask *allowed, u64 flags) KERNEL_FUNCTION;
extern bool scx_bpf_task_set_slice(struct task_struct *task, u64 slice) OPTIONAL_FUNCTION;
extern bool scx_bpf_dsq_move_to_local(u64 dsq) KERNEL_FUNCTION;
extern void scx_bpf_kick_cpu(s32 cpu, u64 flags) KERNEL_FUNCTION;
extern s32 scx_bpf_task_cpu(const struct task_struct *task) KERNEL_FUNCTION;
extern u32 scx_bpf_nr_cpu_ids(void) KERNEL_FUNCTION;
