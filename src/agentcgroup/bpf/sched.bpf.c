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
 * A cgroup may be limited: by cpu.max, which the fair class does not enforce on tasks that are not its own, or for a
 * while by user space, which slows or holds a call so that another one gets the memory. bandwidth.h says how, and why
 * nobody waits long for a lock that a task owns which is made to wait.
 *
 * Known weaknesses. One queue is one lock, which hundreds of CPUs would feel. A task is queued with a whole slice, so
 * among many tasks of one call those that block early make the clock jump back and forth by a slice. Below a call no
 * weights count.
 */
#include "scx.h"
#include "sched.h"

char license_text[] SECTION("license") = "Dual MIT/GPL";

#define QUEUE 0
#define HELD 1 /* tasks that wait for their cgroup to have CPU time again */
#define SLICE (3 * MS)
#define CREDIT (4 * MS)              /* that an idle call saves up, at the usual weights; above a slice */
#define INTERACTIVE_CREDIT (10 * MS)
#define MOST_LAG (100 * MS) /* of a call that is not idle: it may be unable to use its share, on one CPU */
#define INTERACTIVE_UNTIL (200 * MS) /* of CPU time */
#define MARGIN (1 * MS / 2)          /* that the running task must be ahead to lose its place */
#define USUAL_WEIGHT 100
#define OVER_HIGH_COST 4
#define MOST_CPUS 64 /* that are looked at for a place */

struct state state SECTION(".data") = {};

#include "bandwidth.h" /* uses the state */
#include "counters.h"

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
	u64 woken;      /* since when it waits to run; 0: it has run since */
	u64 billed;     /* its run up to then is taken out of the buckets */
	s64 prepaid;    /* what was taken out when it was let go */
	u64 held_since; /* 0: it is not in HELD, and counts as active */
	u64 counted_in; /* the id of the cgroup in which it counts as active; 0: in none */
	u32 caught;     /* in user mode, with nothing left in a bucket, and has not run since */
	u32 unused;
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

/* The call (or agent leaf) and the session of a cgroup; false for one outside of all sessions. */
INLINE bool find_in(struct cgroup *own, struct group **call, struct group **session, bool *agent)
{
	*session = NULL;
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
	return *session;
}

/* Those of a task, by its cgroup in the unified hierarchy, which may be asked for at any time. (scx_bpf_task_cgroup
 * answers only in the callbacks that are about this task, and the last decision, whether it stays, is not.)
 */
INLINE bool find_locked(struct task_struct *task, struct group **call, struct group **session, bool *agent)
{
	return find_in(task->cgroups->dfl_cgrp, call, session, agent);
}

/* The same where the RCU lock is not held. */
INLINE bool find(struct task_struct *task, struct group **call, struct group **session, bool *agent)
{
	bpf_rcu_read_lock();
	bool found = find_locked(task, call, session, agent);
	bpf_rcu_read_unlock();
	return found;
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

#ifndef BELOW
SECTION("struct_ops/select_cpu") s32 sched_select_cpu(u64 *arguments)
{
	struct task_struct *task = (void *)arguments[0];
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(task, (s32)arguments[1], arguments[2], &idle);
	if (idle) {
		COUNT(direct);
		scx_bpf_dsq_insert(task, ENUM_VALUE(enum scx_dsq_id_flags, SCX_DSQ_LOCAL), SLICE, 0);
	}
	return cpu;
}
#endif

/* The weight with which a call counts in its session from now on. Two CPUs may say so at once: each adds its part. */
INLINE void weigh(struct group *call, struct group *session, u64 weight)
{
	u64 before = __sync_lock_test_and_set(&call->counted, weight);
	__sync_fetch_and_add(&session->weights, weight - before);
}

INLINE u64 own_cgroup(struct task_struct *task)
{
	return task->cgroups->dfl_cgrp->kn->id;
}

/* A call has one task more, or less, that could run. */
INLINE void count_in(struct task_struct *task, struct group *call, struct group *session, bool agent)
{
	struct task *own = task_storage(&tasks, task, NULL, 0);
	if (own)
		own->counted_in = own_cgroup(task);
	if (__sync_fetch_and_add(&call->active, 1) == 0) {
		weigh(call, session, call->weight);
		bool interactive = agent || call->cpu_ns < INTERACTIVE_UNTIL;
		catch_up(call, session, interactive ? INTERACTIVE_CREDIT : CREDIT);
	}
}

INLINE void count_out(struct group *call, struct group *session)
{
	if (call->active && __sync_fetch_and_add(&call->active, -1) == 1) {
		weigh(call, session, 0);
		if (call->active) /* another task has come meanwhile */
			weigh(call, session, call->weight);
	}
}

INLINE void set_slice(struct task_struct *task, u64 slice)
{
	if (scx_bpf_task_set_slice)
		scx_bpf_task_set_slice(task, slice);
	else
		((struct task_struct___scx *)task)->scx.slice = slice;
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

INLINE u32 looked_at(void)
{
	u32 cpus = scx_bpf_nr_cpu_ids();
	return cpus < MOST_CPUS ? cpus : MOST_CPUS;
}

/* Give a task that has woken up the place of the one that is furthest ahead of it, if there is one. */
INLINE void take_place(s64 tag)
{
	struct search search = {.worst = tag + (s64)MARGIN, .cpu = -1};
	repeat(looked_at(), look_at, &search, 0);
	if (search.cpu >= 0) {
		COUNT(preempted);
		scx_bpf_kick_cpu(search.cpu, ENUM_VALUE(enum scx_kick_flags, SCX_KICK_PREEMPT));
	}
}

INLINE void insert(struct task_struct *task, u64 queue, s64 tag, u64 flags)
{
	if (__scx_bpf_dsq_insert_vtime) {
		struct scx_bpf_dsq_insert_vtime_args how = {.dsq_id = queue, .slice = SLICE, .vtime = tag, .enq_flags = flags};
		__scx_bpf_dsq_insert_vtime(task, &how);
	} else {
		scx_bpf_dsq_insert_vtime(task, queue, SLICE, tag, flags);
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
	ADD(ran_ns, ran);
	if (over)
		COUNT(over_high);
	own->charged = 0;
}

/* Take what a task has run since the last time out of the buckets; how long until they have something again, 0: now. */
INLINE u64 settle_limits(struct task_struct *task, struct task *own, u64 at)
{
	s64 ran = at - own->billed - own->prepaid;
	own->billed = at;
	own->prepaid = 0;
	bpf_rcu_read_lock();
	u64 wait = bill(task->cgroups->dfl_cgrp, ran, 1, at);
	bpf_rcu_read_unlock();
	return wait;
}

/* Charge a task for a whole slice; its tag. */
INLINE s64 charge(struct task *own, struct group *call, struct group *session)
{
	own->charged = cost(call, session, SLICE);
	own->tag = __sync_fetch_and_add(&call->clock, own->charged);
	return own->tag;
}

/* A task that woke up runs now. */
INLINE void count_wait(u64 ns)
{
	u32 kind = 0;
	for (u64 us = ns / 1000; us && kind < WAITS - 1; us >>= 1)
		kind++;
	COUNT(waits[kind]);
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

struct sweeper {
	struct bpf_timer timer;
};

struct {
	MAP_UINT(type, MAP_ARRAY);
	MAP_UINT(max_entries, 1);
	MAP_TYPE(key, u32);
	MAP_TYPE(value, struct sweeper);
} sweepers MAPS;

/* Have a task wait that was caught in user mode, until the sweeper finds that it may run. */
INLINE void hold(struct task_struct *task, struct task *own, u64 flags)
{
	struct group *call, *session;
	bool agent;
	u32 first = 0;
	s64 tag = state.now;
	struct sweeper *sweeper = map_lookup(&sweepers, &first);
	COUNT(held);
	own->held_since = monotonic_ns();
	if (find(task, &call, &session, &agent)) {
		if (own->counted_in)
			count_out(call, session);
		own->counted_in = 0;
		tag = call->clock;
	}
	insert(task, HELD, tag, flags & ~ENUM_VALUE(enum scx_enq_flags, SCX_ENQ_LAST));
	if (sweeper && !__sync_fetch_and_or(&state.sweeping, 1))
		timer_start(&sweeper->timer, SWEEP_EVERY, 0);
}

/* How long a task in HELD has to wait yet; 0: no longer. */
INLINE u64 has_to_wait(struct task_struct *task, struct task *own, u64 now)
{
	if (is_called(task)) {
		COUNT(called);
		return 0;
	}
	if (now - own->held_since >= MOST_HELD)
		return 0;
	return bill(task->cgroups->dfl_cgrp, 0, PIECE, now);
}

/* A CPU that idles, if there is one, shall look into the queue: `task` is there now. */
#ifdef BELOW
static long wake_if_idle(u32 cpu, UNUSED void *nothing)
{
	struct place *place = map_lookup(&places, &cpu);
	if (place && !place->busy)
		scx_bpf_kick_cpu(cpu, ENUM_VALUE(enum scx_kick_flags, SCX_KICK_IDLE)); /* nothing happens to one that is not */
	return 0;
}

INLINE void wake_idle(UNUSED struct task_struct *task)
{
	repeat(looked_at(), wake_if_idle, NULL, 0);
}
#else
INLINE void wake_idle(struct task_struct *task)
{
	s32 idle = scx_bpf_pick_idle_cpu(((struct task_struct___scx *)task)->cpus_ptr, 0);
	if (idle >= 0)
		scx_bpf_kick_cpu(idle, ENUM_VALUE(enum scx_kick_flags, SCX_KICK_IDLE));
}
#endif

/* Put a task from HELD back to the others, with a part of what its cgroup has. */
INLINE void let_go(struct bpf_iter_scx_dsq *held, struct task_struct *task, struct task *own, u64 now)
{
	struct group *call, *session;
	bool agent;
	s64 tag = state.now;
	bill(task->cgroups->dfl_cgrp, PIECE, 1, now);
	own->prepaid = PIECE;
	own->held_since = 0;
	if (find_locked(task, &call, &session, &agent)) {
		count_in(task, call, session, agent);
		tag = charge(own, call, session);
	}
	scx_bpf_dsq_move_set_slice(held, SLICE);
	scx_bpf_dsq_move_set_vtime(held, tag);
	scx_bpf_dsq_move_vtime(held, task, QUEUE, 0);
	wake_idle(task);
}

/* Go through HELD; by the timer, which goes on while there is anything in it. */
static int sweep(UNUSED void *map, UNUSED u32 *key, struct sweeper *sweeper)
{
	u64 now = monotonic_ns(), next = SWEEP_EVERY;
	struct bpf_iter_scx_dsq held;
	struct task_struct *task;
	state.sweeping = 0; /* who comes from now on may not be seen, and starts the timer */
	bpf_iter_scx_dsq_new(&held, HELD, 0);
	while ((task = bpf_iter_scx_dsq_next(&held))) {
		struct task *own = task_storage(&tasks, task, NULL, 0);
		u64 wait = own ? has_to_wait(task, own, now) : SWEEP_EVERY;
		if (!wait)
			let_go(&held, task, own, now);
		else if (wait < next)
			next = wait;
	}
	bpf_iter_scx_dsq_destroy(&held);
	u64 rest = (monotonic_ns() - now) * SWEEP_REST;
	if (scx_bpf_dsq_nr_queued(HELD) && !__sync_fetch_and_or(&state.sweeping, 1))
		timer_start(&sweeper->timer, next > rest ? next : rest, 0);
	return 0;
}

SECTION("struct_ops/enqueue") void sched_enqueue(u64 *arguments)
{
	struct task_struct *task = (void *)arguments[0];
	u64 flags = arguments[1];
	struct task *own = task_storage(&tasks, task, NULL, 0);
	struct group *call, *session;
	bool agent;
	if (own && own->caught) {
		hold(task, own, flags);
		return;
	}
	COUNT(queued);
	if (!own || !find(task, &call, &session, &agent)) {
		insert(task, QUEUE, state.now, flags);
		return;
	}
	catch_up(call, session, MOST_LAG);
	if (own->charged) /* it left the queue without having run: another cgroup, another policy */
		__sync_fetch_and_add(&call->clock, -own->charged);
	insert(task, QUEUE, charge(own, call, session), flags);
	if (flags & ENUM_VALUE(enum scx_enq_flags, SCX_ENQ_WAKEUP))
		take_place(own->tag);
}

INLINE bool could_stay(struct task_struct *task)
{
	return task && (((struct task_struct___scx *)task)->scx.flags & ENUM_VALUE(enum scx_ent_flags, SCX_TASK_QUEUED));
}

/* The kernel asks before it puts the task that ran back into the queue: if nobody there is further behind, it stays. */
INLINE bool stays(struct task_struct *task, struct task *own, u32 cpu)
{
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
	COUNT(stayed);
	set_slice(task, SLICE);
	return true;
}

SECTION("struct_ops/dispatch") void sched_dispatch(u64 *arguments)
{
	struct task_struct *task = (void *)arguments[1];
	bool could = could_stay(task);
	struct task *own = could ? task_storage(&tasks, task, NULL, 0) : NULL;
	if (own && own->caught)
		could = false;
	if (could && stays(task, own, (u32)arguments[0]))
		return;
	/* With SCX_OPS_ENQ_LAST the kernel lets nobody stay by itself, not even on a CPU that would idle. */
	if (!scx_bpf_dsq_move_to_local(QUEUE) && could)
		set_slice(task, SLICE);
}

/* The timer interrupt of a CPU that runs a task. */
SECTION("struct_ops/tick") void sched_tick(u64 *arguments)
{
	struct task_struct *task = (void *)arguments[0];
	if (!state.limited)
		return;
	struct task *own = task_storage(&tasks, task, NULL, 0);
	if (!own || !own->since || !settle_limits(task, own, monotonic_ns()))
		return;
	if (!in_user_mode(task) || is_called(task)) {
		COUNT(let_on);
		return;
	}
	own->caught = 1;
	set_slice(task, 0);
}

SECTION("struct_ops/runnable") void sched_runnable(u64 *arguments)
{
	struct task_struct *task = (void *)arguments[0];
	struct group *call, *session;
	bool agent;
	struct task *own = task_storage(&tasks, task, NULL, 0);
	if (own) {
		own->caught = 0;
		own->held_since = 0;
		own->prepaid = 0;
		own->woken = arguments[1] & ENUM_VALUE(enum scx_enq_flags, SCX_ENQ_WAKEUP) ? monotonic_ns() : 0;
	}
	if (find(task, &call, &session, &agent))
		count_in(task, call, session, agent);
}

SECTION("struct_ops/quiescent") void sched_quiescent(u64 *arguments)
{
	struct task_struct *task = (void *)arguments[0];
	struct group *call, *session;
	bool agent;
	struct task *own = task_storage(&tasks, task, NULL, 0);
	/* A task that could run and is moved is in the other cgroup already: sched_cgroup_move counts it out. */
	if (!own || own->held_since || own->counted_in != own_cgroup(task))
		return;
	own->counted_in = 0;
	if (find(task, &call, &session, &agent))
		count_out(call, session);
}

/* Between the end of its time in one cgroup and its beginning in another, for a task that could run. */
SECTION("struct_ops/cgroup_move") void sched_cgroup_move(u64 *arguments)
{
	struct task *own = task_storage(&tasks, (void *)arguments[0], NULL, 0);
	struct group *call, *session;
	bool agent;
	if (!own || !own->counted_in)
		return;
	own->counted_in = 0;
	if (find_in((void *)arguments[1], &call, &session, &agent))
		count_out(call, session);
}

SECTION("struct_ops/running") void sched_running(u64 *arguments)
{
	struct task_struct *task = (void *)arguments[0];
	struct task *own = task_storage(&tasks, task, NULL, 0);
	if (!own)
		return;
	own->since = own->billed = monotonic_ns();
	own->caught = 0;
	if (own->woken)
		count_wait(own->since - own->woken);
	own->woken = 0;
#ifdef BELOW
	if (!own->charged) { /* the kernel found an idle CPU for it, past the queue, with a slice of its own */
		COUNT(direct);
		set_slice(task, SLICE);
	}
#endif
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
	u64 at = monotonic_ns();
	if (find(task, &call, &session, &agent))
		settle(task, own, call, session, at);
	if (state.limited)
		settle_limits(task, own, at);
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
	if (FIELD_EXISTS(how->bw_quota_us))
		set_limit((void *)arguments[0], how->bw_period_us, how->bw_quota_us, how->bw_burst_us);
	return 0;
}

SECTION("struct_ops/cgroup_set_weight") void sched_cgroup_set_weight(u64 *arguments)
{
	struct group *group = group_of((void *)arguments[0]);
	if (group)
		group->weight = (u32)arguments[1]; /* an active call counts with it in its session from its next pause on */
}

SECTION("struct_ops/cgroup_set_bandwidth") void sched_cgroup_set_bandwidth(u64 *arguments)
{
	set_limit((void *)arguments[0], arguments[1], arguments[2], arguments[3]);
}

SECTION("struct_ops.s/init") s32 sched_init(void)
{
	u32 first = 0;
	struct sweeper *sweeper = map_lookup(&sweepers, &first);
	if (!sweeper || timer_init(&sweeper->timer, &sweepers, CLOCK_MONOTONIC) ||
	    timer_set_callback(&sweeper->timer, sweep))
		return -22; /* EINVAL */
#ifdef BELOW
	if (!bpf_arena_alloc_pages(&arena, NULL, 1, -1, 0)) /* the kernel knows the arena of a scheduler by its use */
		return -12; /* ENOMEM */
#endif
	s32 failed = scx_bpf_create_dsq(QUEUE, -1);
	return failed ? failed : scx_bpf_create_dsq(HELD, -1);
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
#ifndef BELOW
	.select_cpu = (void *)sched_select_cpu,
#endif
	.enqueue = (void *)sched_enqueue,
	.dispatch = (void *)sched_dispatch,
	.runnable = (void *)sched_runnable,
	.running = (void *)sched_running,
	.stopping = (void *)sched_stopping,
	.quiescent = (void *)sched_quiescent,
	.tick = (void *)sched_tick,
	.init_task = (void *)sched_init_task,
	.cgroup_init = (void *)sched_cgroup_init,
	.cgroup_move = (void *)sched_cgroup_move,
	.cgroup_set_weight = (void *)sched_cgroup_set_weight,
	.cgroup_set_bandwidth = (void *)sched_cgroup_set_bandwidth,
	.init = (void *)sched_init,
	.exit = (void *)sched_exit,
	.timeout_ms = 5000,
	.name = "agentcgroup",
};
