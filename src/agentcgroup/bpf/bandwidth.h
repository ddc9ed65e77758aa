/* bandwidth: how much CPU time a cgroup may have, for sched.bpf.c. One mechanism for cpu.max, for a slowed call and for
 * one that is held.
 *
 * A cgroup with a limit has a bucket. It fills at the rate that the cgroup may have; what its tasks run is taken out,
 * also of the buckets of the cgroups above. Nothing prevents a debt: it only takes the longer until there is something
 * in the bucket again. cpu.max is a bucket; so is a brake, with a deadline after which it does not count any more;
 * holding a cgroup is a brake with the rate zero.
 *
 * Who may be made to wait. A task that waits while it owns a lock of the kernel makes all those wait who need that
 * lock, however important they are. So nobody waits but tasks that the timer interrupt has found in user mode, where a
 * task owns no lock of the kernel (lockdep checks this on every return to user mode, lockdep_sys_exit). From there it
 * goes straight to schedule(): with nothing left of its slice the interrupt's return finds that it shall be
 * rescheduled, and takes nothing on the way. The mark `caught` says so, and is gone as soon as the task runs or becomes
 * runnable anew, so that it can never be used for a later, other place in the kernel. A task that is found in the
 * kernel runs on, and its cgroup has the debt. (The fair class throttles by the same rule since Linux 6.18, there by
 * task work.)
 *
 * Tasks that wait are in a queue of their own, HELD, which a timer sweeps while there are any: those whose cgroups have
 * something in all their buckets go back to the others, and so do, at once, those with a signal to take, those of a
 * cgroup that is to be frozen, and those that have waited for MOST_HELD, for the kernel ends a scheduler that leaves a
 * task waiting for long. Each is let go with a part of what there is, so that a thousand are not let go with the same.
 *
 * Known weaknesses. The timer interrupt comes every 1 to 10 ms (CONFIG_HZ), so that is what a task runs at least when
 * it is let go; the debt makes the average right. A task that is hardly ever in user mode is hardly ever caught.
 */
#pragma once

#include "scx.h"
#include "sched.h"

#define PIECE (2 * MS)           /* with which a task is let go */
#define SWEEP_EVERY (5 * MS)     /* at the latest: so late a signal may be seen */
#define SWEEP_REST 20            /* times what the last sweep took: it shall not cost more than 5 % of a CPU */
#define MOST_HELD (3000 * MS)    /* the kernel's patience is timeout_ms */
#define LONGEST (100000 * MS)    /* no bucket fills for longer than this at once: no overflow */
#define NO_LIMIT (~0ULL)         /* of a quota, RUNTIME_INF in the kernel */
#define RATE_SHIFT 20

struct {
	MAP_UINT(type, MAP_CGROUP_STORAGE);
	MAP_UINT(map_flags, MAP_NO_PREALLOC);
	MAP_TYPE(key, int);
	MAP_TYPE(value, struct bucket);
} limits MAPS, brakes MAPS; /* cpu.max, and what user space wants of a cgroup for a while */

/* Take `ns` out of a bucket; how long until there are `need` in it, 0: there are.
 *
 * Not static, so that the verifier walks through it once and not at each of the places below.
 */
__attribute__((noinline)) u64 draw(struct bucket *bucket, s64 ns, s64 need, u64 now)
{
	if (!bucket || (bucket->until_ns && now >= bucket->until_ns))
		return 0;
	u64 at = bucket->at_ns;
	if (now > at && __sync_val_compare_and_swap(&bucket->at_ns, at, now) == at) {
		u64 passed = now - at < LONGEST ? now - at : LONGEST;
		__sync_fetch_and_add(&bucket->left_ns, (passed * bucket->rate) >> RATE_SHIFT);
	}
	__sync_fetch_and_add(&bucket->left_ns, -ns);
	s64 left = bucket->left_ns;
	if (left > (s64)bucket->most_ns)
		bucket->left_ns = left = bucket->most_ns;
	if (left >= need)
		return 0;
	u64 wait = bucket->rate ? ((u64)(need - left) << RATE_SHIFT) / bucket->rate + 1 : LONGEST;
	return bucket->until_ns && bucket->until_ns - now < wait ? bucket->until_ns - now : wait;
}

/* Take `ns` out of all buckets that a cgroup lies under; how long until each has `need` in it, 0: each has. */
INLINE u64 bill(struct cgroup *own, s64 ns, s64 need, u64 now)
{
	int level = ((struct cgroup___scx *)own)->level;
	u64 longest = 0;
	for (int up = 0; up < MAX_DEPTH && up < level; up++) {
		struct cgroup *above = bpf_cgroup_ancestor(own, level - up);
		if (!above)
			break;
		u64 by_limit = draw(cgroup_storage(&limits, above, NULL, 0), ns, need, now);
		u64 by_brake = draw(cgroup_storage(&brakes, above, NULL, 0), ns, need, now);
		bpf_cgroup_release(above);
		if (by_limit > longest)
			longest = by_limit;
		if (by_brake > longest)
			longest = by_brake;
	}
	return longest;
}

/* cpu.max of a cgroup, in microseconds. */
INLINE void set_limit(struct cgroup *cgroup, u64 period, u64 quota, u64 burst)
{
	bool none = quota == NO_LIMIT || !period;
	struct bucket *limit = cgroup_storage(&limits, cgroup, NULL, none ? 0 : STORAGE_CREATE);
	if (!limit)
		return;
	if (none) {
		limit->until_ns = 1; /* over since the host was started */
		return;
	}
	u64 most = (quota + burst) * 1000;
	limit->rate = (quota << RATE_SHIFT) / period;
	limit->most_ns = most > PIECE ? most : PIECE;
	limit->left_ns = limit->most_ns;
	limit->at_ns = monotonic_ns();
	limit->until_ns = 0;
	state.limited = 1;
}

/* Whether the interrupt that is being handled on this CPU came while `task` was in user mode. By the registers that the
 * interrupted code had, as the kernel's own get_irq_regs() and user_mode(); there are none outside of an interrupt. */
INLINE bool in_user_mode(struct task_struct *task)
{
	if (!&__irq_regs || task != current_task())
		return false; /* a CPU without a tick of its own is looked at from another */
	struct pt_regs *registers = *(struct pt_regs **)this_cpu(&__irq_regs);
	if (!registers)
		return false;
	if (FIELD_EXISTS(registers->cs)) { /* x86: the privilege level */
		u16 segment = 0;
		read_kernel(&segment, sizeof(segment), FIELD_ADDRESS(registers->cs));
		return segment & 3;
	}
	if (FIELD_EXISTS(registers->pstate)) { /* arm64: the exception level and the width of its registers, 0: user */
		u64 mode = ~0ULL;
		read_kernel(&mode, sizeof(mode), FIELD_ADDRESS(registers->pstate));
		return !(mode & 0xf);
	}
	return false;
}

/* Whether a task must get on, whatever its cgroups may have: to die, to take a signal, to be frozen. */
INLINE bool is_called(struct task_struct *task)
{
	struct task_struct___scx *it = (void *)task;
	struct signal_struct___scx *signal = (void *)task->signal;
	u64 pending = it->pending.signal.sig[0] | signal->shared_pending.signal.sig[0];
	return (pending & ~it->blocked.sig[0]) || (task->signal->flags & SIGNAL_GROUP_EXIT) ||
	       ((struct cgroup___scx *)task->cgroups->dfl_cgrp)->freezer.e_freeze;
}
