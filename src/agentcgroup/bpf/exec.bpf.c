/* exec: tells user space what the processes of our sessions do: fork, exec, exit, change of cgroup.
 *
 * What is ours is decided here, in the kernel: a process is ours when its cgroup is the root cgroup of agentcgroup's
 * tree (state.root) or below it. Whatever happens elsewhere on the host costs one walk up the few levels of its
 * cgroup and nothing else. Each event is one record of a ring buffer that all CPUs share, so events of a process and
 * of its children come in the order in which they happened.
 *
 * A fork is reported when the child is in its cgroup, also one that clone3 put there, and before it runs. Arguments
 * are read from the new program's own stack at exec, before its first instruction. An exit is reported once for each
 * process, by whichever thread finds that no other is left; two threads can find so at the same time, so the first to
 * mark the process says it. The mark is in storage that the kernel keeps with the process and frees with it; it also
 * remembers the cgroup, since a tracepoint of the cgroup code sees a process that moves only when it has arrived.
 * Processes that were there before us are marked by an iterator that user space runs once.
 *
 * Waking the reader costs more than making the event. So after each look user space says until when it will not be
 * woken (state.quiet_until) but for the kinds of events that it calls urgent, and looks by itself then. Some kinds are
 * urgent in one cgroup only (state.watched): where a process may show up that does not belong there. Of a program that
 * user space knows and expects there (state.known) it is told like of any other, and not woken.
 *
 * No event may be lost between the tracepoint and us. The kernel skips a program that is already running on that CPU,
 * and since Linux 7.0 a program of a tracepoint can be preempted, so that another process is skipped meanwhile (26 to
 * 39 of 6,000 events in an emulated fork bomb; keeping the CPU by bpf_preempt_disable does not help, as a preemption
 * that is due then comes when the program lets go). So each program is there twice: the second one tells what it finds
 * untold by the marks, and is soon done otherwise. An event is missing only when both were skipped for it.
 *
 * Known weaknesses. A process that rewrites its arguments after exec is not noticed. Arguments that are swapped out
 * at that very moment are missing (flagged), only the program's path is there. Threads that move alone between
 * threaded cgroups are not followed. When the ring is full events are lost: they are counted, and user space reports
 * the number, as it does how often both programs of an event were skipped (recursion_misses), at most.
 */
#include "exec.h"
#include "counters.h" /* of the struct there */
#include "kernel.h"

char license_text[] SECTION("license") = "Dual MIT/GPL";

struct state state SECTION(".data") = {};

struct {
	MAP_UINT(type, MAP_RINGBUF);
	MAP_UINT(max_entries, 1 << 20); /* user space may choose another size */
} events MAPS;

struct mark {
	u64 cgroup; /* last known; 0: not ours */
	u64 exec;   /* self_exec_id of the last exec that was told */
	u32 born, ended; /* 1: that was told */
};

struct {
	MAP_UINT(type, MAP_TASK_STORAGE);
	MAP_UINT(map_flags, MAP_NO_PREALLOC);
	MAP_TYPE(key, int);
	MAP_TYPE(value, struct mark);
} marks MAPS;

struct exec_record {
	struct event event;
	char data[MAX_ARGUMENTS + MAX_PATH_KEPT];
};

/* An exec record is too large for the stack and of no fixed size. Each of the two programs has its own, and never runs
 * twice at once on a CPU. */
struct {
	MAP_UINT(type, MAP_PERCPU_ARRAY);
	MAP_UINT(max_entries, 2);
	MAP_TYPE(key, u32);
	MAP_TYPE(value, struct exec_record);
} scratch MAPS;

INLINE struct cgroup *cgroup_of(struct task_struct *task)
{
	return task->cgroups->dfl_cgrp;
}

INLINE bool is_ours(struct cgroup *group)
{
	return is_below(group, state.root);
}

INLINE u64 wake(u32 kind, const struct event *event)
{
	u64 bit = 1 << kind;

	if (state.urgent & bit)
		return RING_FORCE_WAKEUP;
	if (event->cgroup == state.watched && state.watched_kinds & bit && !(event->flags & FLAG_KNOWN))
		return RING_FORCE_WAKEUP;
	return event->at_ns < state.quiet_until ? RING_NO_WAKEUP : 0;
}

INLINE void describe(struct event *event, u32 kind, struct task_struct *task)
{
	struct task_struct *leader = task->group_leader, *parent = leader->real_parent;

	event->at_ns = monotonic_ns();
	event->started_ns = leader->start_boottime;
	event->parent_started_ns = parent->group_leader->start_boottime;
	event->cgroup = cgroup_id(cgroup_of(task));
	event->from = 0;
	event->kind = kind;
	event->pid = task->tgid;
	event->parent = parent->tgid;
	event->thread = task->pid;
	event->status = 0;
	event->flags = 0;
	event->arguments = 0;
	event->path = 0;
	__builtin_memset(event->unused, 0, sizeof(event->unused));
	read_kernel(event->name, sizeof(event->name), task->comm);
}

INLINE void tell(u32 kind, struct task_struct *task, u64 from, s32 status)
{
	struct event *event = ring_reserve(&events, sizeof(*event), 0);

	if (!event) {
		__sync_fetch_and_add(&state.lost, 1);
		return;
	}
	describe(event, kind, task);
	event->from = from;
	event->status = status;
	ring_submit(event, wake(kind, event));
}

/* What is known of a process; `task` is the leader of its threads. NULL when there is no memory. */
INLINE struct mark *mark_of(struct task_struct *task)
{
	return task_storage(&marks, task, NULL, STORAGE_CREATE);
}

/* Without a mark nobody knows whether the first program told: then only it does, and the leaving will not be seen. */
INLINE bool first_without_mark(bool second)
{
	if (!second)
		__sync_fetch_and_add(&state.unmarked, 1);
	return !second;
}

INLINE void on_fork(u64 *ctx, bool second)
{
	struct task_struct *parent = (void *)ctx[0], *child = (void *)ctx[1];

	if (child->pid != child->tgid)
		return; /* a thread */
	bool ours = is_ours(cgroup_of(child));
	if (!ours && !is_ours(cgroup_of(parent)))
		return;
	struct mark *mark = mark_of(child);
	if (mark ? __sync_fetch_and_or(&mark->born, 1) : !first_without_mark(second))
		return;
	if (ours) {
		if (mark)
			mark->cgroup = cgroup_id(cgroup_of(child));
		COUNT(forks);
		tell(EVENT_FORK, child, 0, 0);
	} else { /* clone3 into a cgroup elsewhere */
		COUNT(left);
		tell(EVENT_LEFT, child, cgroup_id(cgroup_of(parent)), 0);
	}
}

/* Whether the program is one that user space knows. */
INLINE bool is_known(struct linux_binprm *binary)
{
	struct inode *inode = binary->file->f_inode;

	if (inode->i_sb->s_dev != state.known_device)
		return false;
	for (u32 i = 0; i < MAX_KNOWN; i++)
		if (state.known[i] == inode->i_ino)
			return true;
	return false;
}

/* Fill in the arguments and the path; returns how many bytes of the record there are. */
INLINE u32 fill(struct exec_record *record, struct task_struct *task, struct linux_binprm *binary)
{
	struct event *event = &record->event;
	unsigned long start = task->mm->arg_start, length = task->mm->arg_end - start;
	long path;

	if (length > MAX_ARGUMENTS) {
		length = MAX_ARGUMENTS;
		event->flags |= FLAG_ARGUMENTS_CUT;
	}
	if (read_user(record->data, length, (void *)start)) {
		length = 0;
		event->flags |= FLAG_ARGUMENTS_UNREADABLE;
	}
	path = read_kernel_string(record->data + length, MAX_PATH_KEPT, binary->filename);
	if (path < 1 || path > MAX_PATH_KEPT)
		path = 1;
	if (path == MAX_PATH_KEPT)
		event->flags |= FLAG_PATH_CUT;
	event->arguments = length;
	event->path = path - 1;
	return sizeof(*event) + length + path - 1;
}

INLINE void on_exec(u64 *ctx, bool second)
{
	struct task_struct *task = (void *)ctx[0];
	struct linux_binprm *binary = (void *)ctx[2];
	u32 mine = second;

	if (!is_ours(cgroup_of(task)))
		return;
	struct mark *mark = mark_of(task);
	if (mark ? mark->exec == task->self_exec_id : !first_without_mark(second))
		return;
	if (mark)
		mark->exec = task->self_exec_id;
	struct exec_record *record = map_lookup(&scratch, &mine);
	if (!record)
		return;
	COUNT(execs);
	describe(&record->event, EVENT_EXEC, task);
	record->event.thread = (u32)ctx[1]; /* before exec made it the leader */
	if (is_known(binary))
		record->event.flags |= FLAG_KNOWN;
	u32 size = fill(record, task, binary);
	if (size > sizeof(*record)) /* cannot be; the verifier does not know */
		return;
	if (ring_output(&events, record, size, wake(EVENT_EXEC, &record->event)))
		__sync_fetch_and_add(&state.lost, 1);
}

INLINE void on_exit(u64 *ctx, bool second)
{
	struct task_struct *task = (void *)ctx[0], *leader = task->group_leader;
	struct signal_struct *signal = task->signal;

	if (signal->live.counter != 0 || !is_ours(cgroup_of(task)))
		return;
	struct mark *mark = mark_of(leader);
	if (mark ? __sync_fetch_and_or(&mark->ended, 1) : !first_without_mark(second))
		return;
	COUNT(exits);
	/* The rule of wait(2): of the whole group if something ended it, else of the first thread. */
	tell(EVENT_EXIT, task, 0, signal->flags & SIGNAL_GROUP_EXIT ? signal->group_exit_code : leader->exit_code);
}

INLINE void on_move(u64 *ctx, bool second)
{
	struct cgroup *to = (void *)ctx[0];
	struct task_struct *task = (void *)ctx[2];

	/* Of cgroup v1 too; and `task` is the leader unless a single thread moves. */
	if (task->pid != task->tgid || cgroup_of(task) != to)
		return;
	u64 here = is_ours(to) ? cgroup_id(to) : 0;
	struct mark *mark = task_storage(&marks, task, NULL, here ? STORAGE_CREATE : 0);
	if (!mark) {
		if (here && first_without_mark(second))
			tell(EVENT_MOVE, task, 0, 0);
		return;
	}
	u64 from = mark->cgroup;
	if (from == here)
		return; /* told, or it stays where it is, or it was never ours */
	mark->cgroup = here;
	if (here) {
		COUNT(moves);
		tell(EVENT_MOVE, task, from, 0);
	} else {
		COUNT(left);
		tell(EVENT_LEFT, task, from, 0);
	}
}

/* NAME and NAME_2 at one tracepoint, the second after the first as it is attached later. */
#define TWICE(tracepoint, name, body)                           \
	SECTION("tp_btf/" tracepoint) int name(u64 *ctx)        \
	{                                                       \
		body(ctx, false);                               \
		return 0;                                       \
	}                                                       \
	SECTION("tp_btf/" tracepoint) int name##_2(u64 *ctx)    \
	{                                                       \
		body(ctx, true);                                \
		return 0;                                       \
	}

TWICE("sched_process_fork", agent_fork, on_fork)
TWICE("sched_process_exec", agent_exec, on_exec)
TWICE("sched_process_exit", agent_exit, on_exit)
TWICE("cgroup_attach_task", agent_move, on_move)

/* Run once by user space: marks the processes that were ours before the programs above were attached. */
SECTION("iter/task") int agent_present(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (!task || task->pid != task->tgid || !is_ours(cgroup_of(task)))
		return 0;
	struct mark *mark = mark_of(task);
	if (mark)
		mark->cgroup = cgroup_id(cgroup_of(task));
	return 0;
}
