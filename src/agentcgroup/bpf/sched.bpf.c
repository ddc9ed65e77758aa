/* sched: divides the CPU among the sessions of a host by weight, and within a session among its calls.
 *
 * Only tasks with the policy SCHED_EXT are here (SCX_OPS_SWITCH_PARTIAL): those of our sessions. The rest of the host
 * stays with the kernel's own scheduler, which also goes first: a task of ours runs where it has nothing to run.
 *
 * The algorithm is start-time fair queueing over a hierarchy that is flattened as it changes. One queue for all CPUs is
 * ordered by virtual time. Each call (and the agent of a session) has a clock. A task that is queued takes the clock's
 * value as its tag, and the clock moves on by what the task may run, times
 *
 *     (weights of the calls of the session that are active) / (weight of the call) / (weight of the session)
 *
 * so that the clocks of two sessions, whatever happens in them, move in proportion to their weights, and those of the
 * calls in a session to theirs. What was not run is given back when the task stops. Whoever comes back after a pause
 * starts at the virtual time of the host less a small credit: nobody saves up for a stampede. A task that wakes up and
 * is behind the one that runs takes its place at once; one that sleeps much is behind by nature, so nobody has to be
 * told who is interactive. The agent of a session, and a call until it has used 0.2 s of CPU, have the larger credit.
 *
 * Weights are those of cpu.weight: the kernel tells us of each cgroup and of each change. A call above its memory.high
 * is charged several times as much while that lasts: it would spend its time in reclaim, for which others would pay.
 *
 * Known weaknesses. One queue is one lock, which hundreds of CPUs would feel. A task is queued with a whole slice, so
 * among many tasks of one call those that block early make the clock jump back and forth by a slice. Below a call no
 * weights count. cpu.max of a session is not enforced here.
 */
#include "scx.h"
#include "sched.h"

char license_text[] SECTION("license") = "Dual MIT/GPL";

#define QUEUE 0
#define MS 1000000ULL
#define SLICE (3 * MS)
#define CREDIT (1 * MS)              /* that an idle call saves up, at the usual weights */
#define INTERACTIVE_CREDIT (10 * MS)
#define MOST_LAG (100 * MS) /* of a call that is not idle: it may be unable to use its share, on one CPU */
#define INTERACTIVE_UNTIL (200 * MS) /* of CPU time */
#define MARGIN (1 * MS / 2)          /* that the running task must be ahead to lose its place */
#define USUAL_WEIGHT 100
#define OVER_HIGH_COST 4
#define MOST_CPUS 64 /* that are looked at for a place */

struct state state SECTION(".data") = {};

struct group { /* a cgroup: a session, a call, or what lies between */
	u32 weight;
	u32 active;   /* runnable tasks in it, itself only */
	u32 session_level; /* of a call: the depth of its session's cgroup; 0: not found yet */
	u32 unused;
	u64 counted;  /* of a call: the weight with which it counts in its session now, 0 while it is idle */
	u64 weights;  /* of a session: the sum of these */
	s64 clock;    /* of a call: virtual time, ns at the usual weights */
	u64 cpu_ns;
};

struct {
	MAP_UINT(type, MAP_CGROUP_STORAGE);
	MAP_UINT(map_flags, MAP_NO_PREALLOC);
	MAP_TYPE(key, int);
	MAP_TYPE(value, struct group);
} groups MAPS;

/* The cgroups that are sessions: user space says which. */
struct {
	MAP_UINT(type, MAP_CGROUP_STORAGE);
	MAP_UINT(map_flags, MAP_NO_PREALLOC);
	MAP_TYPE(key, int);
	MAP_TYPE(value, u32);
} sessions MAPS;

struct task {
	s64 tag;
	s64 charged; /* ahead of its run */
	u64 since;
};

struct {
	MAP_UINT(type, MAP_TASK_STORAGE);
	MAP_UINT(map_flags, MAP_NO_PREALLOC);
	MAP_TYPE(key, int);
	MAP_TYPE(value, struct task);
} tasks MAPS;

struct place { /* a CPU */
	s64 tag; /* of the task that runs */
	u32 busy; /* with one of ours */
	u32 unused;
};

struct {
	MAP_UINT(type, MAP_ARRAY);
	MAP_UINT(max_entries, MOST_CPUS);
	MAP_TYPE(key, u32);
	MAP_TYPE(value, struct place);
} places MAPS;

INLINE struct group *group_of(struct cgroup *cgroup)
{
	struct group *group = cgroup_storage(&groups, cgroup, NULL, STORAGE_CREATE);
	if (group && !group->weight)
		group->weight = USUAL_WEIGHT;
	return group;
}

/* The depth of the session that a cgroup lies in, 0: in none. Looked for once for each cgroup. */
INLINE u32 level_of_session(struct cgroup *own, struct group *call)
{
	int level = ((struct cgroup___scx *)own)->level;
	for (int up = 1; !call->session_level && up < MAX_DEPTH && up < level; up++) {
		struct cgroup *above = bpf_cgroup_ancestor(own, level - up);
		if (!above)
			break;
		if (cgroup_storage(&sessions, above, NULL, 0))
			call->session_level = level - up;
		bpf_cgroup_release(above);
	}
	return call->session_level;
}

/* The call (or agent leaf) and the session of a task; false for a task outside of all sessions.
 *
 * By its cgroup in the unified hierarchy, which may be asked for at any time. (scx_bpf_task_cgroup answers only in the
 * callbacks that are about this task, and the last decision, whether it stays, is not.)
 */
INLINE bool find(struct task_struct *task, struct group **call, struct group **session, bool *agent)
{
	*session = NULL;
	bpf_rcu_read_lock();
	struct cgroup *own = task->cgroups->dfl_cgrp;
	*call = group_of(own);
	if (*call) {
		u32 level = level_of_session(own, *call);
		struct cgroup *above = level ? bpf_cgroup_ancestor(own, level) : NULL;
		if (above) {
			*session = group_of(above);
			bpf_cgroup_release(above);
		}
		*agent = ((struct cgroup___scx *)own)->level == (int)level + 1;
	}
	bpf_rcu_read_unlock();
	return *session;
}

/* What `ns` of CPU time are on the clock of a call. */
INLINE s64 cost(struct group *call, struct group *session, u64 ns)
{
	u64 weights = session->weights > call->weight ? session->weights : call->weight;
	return ns * weights / call->weight * USUAL_WEIGHT / session->weight;
}

INLINE bool ahead(s64 one, s64 other)
{
	return one - other > 0;
}

/* A call is behind the host by no more than `credit` of CPU time. */
INLINE void catch_up(struct group *call, struct group *session, u64 credit)
{
	s64 least = state.now - cost(call, session, credit);
	if (ahead(least, call->clock))
		call->clock = least;
}

SECTION("struct_ops/select_cpu") s32 sched_select_cpu(u64 *arguments)
{
	struct task_struct *task = (void *)arguments[0];
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(task, (s32)arguments[1], arguments[2], &idle);
	if (idle) {
		__sync_fetch_and_add(&state.direct, 1);
		scx_bpf_dsq_insert(task, ENUM_VALUE(enum scx_dsq_id_flags, SCX_DSQ_LOCAL), SLICE, 0);
	}
	return cpu;
}

struct search {
	s64 worst;
	s32 cpu;
};

/* One CPU of the search below; called by the kernel, so that the verifier looks at it once. */
static long look_at(u32 cpu, struct search *search)
{
	struct place *place = map_lookup(&places, &cpu);
	if (place && place->busy && ahead(place->tag, search->worst)) {
		search->worst = place->tag;
		search->cpu = cpu;
	}
	return 0;
}

/* Give a task that has woken up the place of the one that is furthest ahead of it, if there is one. */
INLINE void take_place(s64 tag)
{
	struct search search = {.worst = tag + (s64)MARGIN, .cpu = -1};
	u32 cpus = scx_bpf_nr_cpu_ids();
	repeat(cpus < MOST_CPUS ? cpus : MOST_CPUS, look_at, &search, 0);
	if (search.cpu >= 0) {
		__sync_fetch_and_add(&state.preempted, 1);
		scx_bpf_kick_cpu(search.cpu, ENUM_VALUE(enum scx_kick_flags, SCX_KICK_PREEMPT));
	}
}

INLINE void insert(struct task_struct *task, s64 tag, u64 flags)
{
	if (__scx_bpf_dsq_insert_vtime) {
		struct scx_bpf_dsq_insert_vtime_args how = {.dsq_id = QUEUE, .slice = SLICE, .vtime = tag, .enq_flags = flags};
		__scx_bpf_dsq_insert_vtime(task, &how);
	} else {
		scx_bpf_dsq_insert_vtime(task, QUEUE, SLICE, tag, flags);
	}
}

/* The tag of the first in the queue; false for an empty one. */
INLINE bool first_tag(s64 *tag)
{
	struct bpf_iter_scx_dsq iterator;
	bpf_iter_scx_dsq_new(&iterator, QUEUE, 0);
	struct task_struct *first = bpf_iter_scx_dsq_next(&iterator);
	if (first)
		*tag = ((struct task_struct___scx *)first)->scx.dsq_vtime;
	bpf_iter_scx_dsq_destroy(&iterator);
	return first != NULL;
}

/* Put what a task has run on the clock of its call, in place of what it was charged. */
INLINE void settle(struct task_struct *task, struct task *own, struct group *call, struct group *session, u64 at)
{
	bool over = ((struct task_struct___scx *)task)->memcg_nr_pages_over_high > 0;
	u64 ran = at - own->since;
	s64 due = cost(call, session, over ? ran * OVER_HIGH_COST : ran);
	__sync_fetch_and_add(&call->clock, due - own->charged);
	__sync_fetch_and_add(&call->cpu_ns, ran);
	__sync_fetch_and_add(&state.ran_ns, ran);
	if (over)
		__sync_fetch_and_add(&state.over_high, 1);
	own->charged = 0;
}

/* Charge a task for a whole slice; its tag. */
INLINE s64 charge(struct task *own, struct group *call, struct group *session)
{
	own->charged = cost(call, session, SLICE);
	own->tag = __sync_fetch_and_add(&call->clock, own->charged);
	return own->tag;
}

INLINE void show_running(struct task *own, u32 cpu)
{
	if (own->charged && ahead(own->tag, state.now))
		state.now = own->tag;
	struct place *place = map_lookup(&places, &cpu);
	if (place) {
		place->tag = own->charged ? own->tag : state.now;
		place->busy = 1;
	}
}

SECTION("struct_ops/enqueue") void sched_enqueue(u64 *arguments)
{
	struct task_struct *task = (void *)arguments[0];
	u64 flags = arguments[1];
	struct task *own = task_storage(&tasks, task, NULL, 0);
	struct group *call, *session;
	bool agent;
	__sync_fetch_and_add(&state.queued, 1);
	if (!own || !find(task, &call, &session, &agent)) {
		insert(task, state.now, flags);
		return;
	}
	catch_up(call, session, MOST_LAG);
	if (own->charged) /* it left the queue without having run: another cgroup, another policy */
		__sync_fetch_and_add(&call->clock, -own->charged);
	insert(task, charge(own, call, session), flags);
	if (flags & ENUM_VALUE(enum scx_enq_flags, SCX_ENQ_WAKEUP))
		take_place(own->tag);
}

/* The kernel asks before it puts the task that ran back into the queue: if nobody there is further behind, it stays. */
INLINE bool stays(struct task_struct *task, u32 cpu)
{
	if (!task || !(((struct task_struct___scx *)task)->scx.flags & ENUM_VALUE(enum scx_ent_flags, SCX_TASK_QUEUED)))
		return false;
	struct task *own = task_storage(&tasks, task, NULL, 0);
	struct group *call, *session;
	bool agent;
	s64 first;
	if (!own || !own->since || !find(task, &call, &session, &agent) || !first_tag(&first))
		return false;
	u64 at = monotonic_ns();
	settle(task, own, call, session, at);
	own->since = at;
	if (ahead(call->clock, first))
		return false;
	charge(own, call, session);
	show_running(own, cpu);
	__sync_fetch_and_add(&state.stayed, 1);
	if (scx_bpf_task_set_slice)
		scx_bpf_task_set_slice(task, SLICE);
	else
		((struct task_struct___scx *)task)->scx.slice = SLICE;
	return true;
}

SECTION("struct_ops/dispatch") void sched_dispatch(u64 *arguments)
{
	if (!stays((void *)arguments[1], (u32)arguments[0]))
		scx_bpf_dsq_move_to_local(QUEUE);
}

SECTION("struct_ops/runnable") void sched_runnable(u64 *arguments)
{
	struct task_struct *task = (void *)arguments[0];
	struct group *call, *session;
	bool agent;
	if (!find(task, &call, &session, &agent))
		return;
	if (__sync_fetch_and_add(&call->active, 1) == 0) {
		call->counted = call->weight;
		__sync_fetch_and_add(&session->weights, call->counted);
		bool interactive = agent || call->cpu_ns < INTERACTIVE_UNTIL;
		catch_up(call, session, interactive ? INTERACTIVE_CREDIT : CREDIT);
	}
}

SECTION("struct_ops/quiescent") void sched_quiescent(u64 *arguments)
{
	struct task_struct *task = (void *)arguments[0];
	struct group *call, *session;
	bool agent;
	if (!find(task, &call, &session, &agent) || !call->active)
		return;
	if (__sync_fetch_and_add(&call->active, -1) == 1) {
		__sync_fetch_and_add(&session->weights, -call->counted);
		call->counted = 0;
	}
}

SECTION("struct_ops/running") void sched_running(u64 *arguments)
{
	struct task_struct *task = (void *)arguments[0];
	struct task *own = task_storage(&tasks, task, NULL, 0);
	if (!own)
		return;
	own->since = monotonic_ns();
	show_running(own, scx_bpf_task_cpu(task));
}

SECTION("struct_ops/stopping") void sched_stopping(u64 *arguments)
{
	struct task_struct *task = (void *)arguments[0];
	struct task *own = task_storage(&tasks, task, NULL, 0);
	struct group *call, *session;
	bool agent;
	u32 cpu = scx_bpf_task_cpu(task);
	struct place *place = map_lookup(&places, &cpu);
	if (place)
		place->busy = 0;
	if (!own || !own->since)
		return;
	if (find(task, &call, &session, &agent))
		settle(task, own, call, session, monotonic_ns());
	own->charged = 0;
	own->since = 0;
}

SECTION("struct_ops.s/init_task") s32 sched_init_task(u64 *arguments)
{
	return task_storage(&tasks, (void *)arguments[0], NULL, STORAGE_CREATE) ? 0 : -12; /* ENOMEM */
}

SECTION("struct_ops.s/cgroup_init") s32 sched_cgroup_init(u64 *arguments)
{
	struct scx_cgroup_init_args *how = (void *)arguments[1];
	struct group *group = group_of((void *)arguments[0]);
	if (!group)
		return -12; /* ENOMEM */
	group->weight = how->weight;
	return 0;
}

SECTION("struct_ops/cgroup_set_weight") void sched_cgroup_set_weight(u64 *arguments)
{
	struct group *group = group_of((void *)arguments[0]);
	if (group)
		group->weight = (u32)arguments[1]; /* an active call counts with it in its session from its next pause on */
}

SECTION("struct_ops.s/init") s32 sched_init(void)
{
	return scx_bpf_create_dsq(QUEUE, -1);
}

SECTION("struct_ops/exit") void sched_exit(u64 *arguments)
{
	struct scx_exit_info *why = (void *)arguments[0];
	state.exit_code = why->exit_code;
	read_kernel_string(state.reason, sizeof(state.reason), why->reason);
	read_kernel_string(state.message, sizeof(state.message), why->msg);
	state.exit_kind = why->kind;
}

SECTION(".struct_ops.link") struct sched_ext_ops agentcgroup_ops = {
	.select_cpu = (void *)sched_select_cpu,
	.enqueue = (void *)sched_enqueue,
	.dispatch = (void *)sched_dispatch,
	.runnable = (void *)sched_runnable,
	.running = (void *)sched_running,
	.stopping = (void *)sched_stopping,
	.quiescent = (void *)sched_quiescent,
	.init_task = (void *)sched_init_task,
	.cgroup_init = (void *)sched_cgroup_init,
	.cgroup_set_weight = (void *)sched_cgroup_set_weight,
	.init = (void *)sched_init,
	.exit = (void *)sched_exit,
	.timeout_ms = 5000,
	.name = "agentcgroup",
};
