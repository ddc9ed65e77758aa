/* pressure: tells user space at once when a task of our sessions stalls for memory, and whose room there is none of.
 *
 * What counts is the entry into direct reclaim: a task wanted memory, was refused it, and now has to free some itself
 * before it may go on. The kernel gets there by two doors. For want of room in a cgroup, at its memory.max or above its
 * memory.high, it calls try_to_free_mem_cgroup_pages, whose first argument is that cgroup: so the door also tells whose
 * limit it is. For want of room on the host it passes the tracepoint mm_vmscan_direct_reclaim_begin. A page fault that
 * finds memory passes neither; nor do the background threads of the kernel on their own behalf.
 *
 * Sessions are named to us by user space, in storage that the kernel keeps with their cgroups, with their rank. A task
 * is looked up by the ancestors of its cgroup; what the tasks of nobody's session do is counted and no more. A limit
 * counts only if the task lies below it, so memory charged to somebody else is not mistaken for its own. An event
 * carries the ids and the names of the session's and the call's cgroup, so that nobody has to look for paths.
 *
 * A task that is short of memory comes back thousands of times a second. Of each call and each room the first stall is
 * told at once, later ones at most every state.every_ns, with their number. Beside that, `pressed` says for each rank
 * until when a session of it is short of what sessions share: for other programs in the kernel, which may read it.
 *
 * Tried and left out, on Linux 7.3: psi_memstall_enter comes 0.1 ms before each of these without saying whose room is
 * short, and else means a page that has to be read again, which PSI tells. __mem_cgroup_handle_over_high is always
 * followed by the reclaim above.
 *
 * Known weaknesses. Reclaim of page cache looks the same: a call that reads files at its limit is told of although it
 * is not short, and user space has to look at what the room is filled with. What is charged in an interrupt, or by
 * kernel threads for a session, is not seen. A write to memory.reclaim from inside a session counts as a stall. Since
 * Linux 7.0 a tracepoint can skip a stall of another task while it is preempted; the next one is told.
 */
#include "cgroups.h"
#include "pressure.h"
#include "counters.h" /* of the struct there */

#define MOST_BELOW 16 /* a session is looked for so far up from a task's cgroup */

char license_text[] SECTION("license") = "Dual MIT/GPL";

struct mem_cgroup {
	struct cgroup_subsys_state css;
} KERNEL;

struct state state SECTION(".data") = {.every_ns = 5000000, .pressed_ns = 50000000};

/* The cgroups that are sessions, and the rank of each: user space says which. */
struct {
	MAP_UINT(type, MAP_CGROUP_STORAGE);
	MAP_UINT(map_flags, MAP_NO_PREALLOC);
	MAP_TYPE(key, int);
	MAP_TYPE(value, u32);
} sessions MAPS;

struct {
	MAP_UINT(type, MAP_RINGBUF);
	MAP_UINT(max_entries, 1 << 18);
} events MAPS;

struct subject {
	u64 call;
	u64 where;
};

struct told {
	u64 at_ns; /* the last event */
	u32 since; /* stalls after it */
	u32 unused;
};

/* Made beforehand: where memory is short is no place to ask for some. */
struct {
	MAP_UINT(type, MAP_LRU_HASH);
	MAP_UINT(max_entries, 4096);
	MAP_TYPE(key, struct subject);
	MAP_TYPE(value, struct told);
} tellings MAPS;

/* The depth of the session that a cgroup lies in and its rank; 0: it lies in none. */
INLINE int level_of_session(struct cgroup *own, u32 *rank)
{
	int level = own->level;
	for (int up = 1; up <= MOST_BELOW && up < level; up++) {
		struct cgroup *above = bpf_cgroup_ancestor(own, level - up);
		if (!above)
			return 0;
		u32 *found = cgroup_storage(&sessions, above, NULL, 0);
		if (found)
			*rank = *found;
		bpf_cgroup_release(above);
		if (found)
			return level - up;
	}
	return 0;
}

/* The id of the ancestor at `level` (0: none), and its name. */
INLINE u64 describe(struct cgroup *own, int level, char *name, u32 size)
{
	struct cgroup *group = bpf_cgroup_ancestor(own, level);
	if (!group)
		return 0;
	u64 id = cgroup_id(group);
	if (name)
		read_kernel_string(name, size, group->kn->name);
	bpf_cgroup_release(group);
	return id;
}

/* Whether the ancestor at `level` is calls/, and not the agent's cgroup. */
INLINE bool is_calls(struct cgroup *own, int level)
{
	union {
		char text[8];
		u64 word;
	} name = {}, wanted = {CALLS};
	describe(own, level, name.text, sizeof(name.text));
	return name.word == wanted.word;
}

/* Whether `own` lies in `limit`, which may be of another hierarchy or of somebody else. */
INLINE bool lies_in(struct cgroup *own, struct cgroup *limit)
{
	if (limit->level > own->level)
		return false;
	struct cgroup *above = bpf_cgroup_ancestor(own, limit->level);
	if (!above)
		return false;
	bool same = above == limit;
	bpf_cgroup_release(above);
	return same;
}

INLINE u64 where_is(struct cgroup *limit, int session, bool agent)
{
	int below = limit->level - session;
	if (below > 1 || (below == 1 && agent))
		return WHERE_OWN;
	return below == 1 ? WHERE_CALLS : below == 0 ? WHERE_SESSION : WHERE_ABOVE;
}

/* How many stalls the event that is due now stands for; 0: none is due. */
INLINE u32 due(struct subject *subject, u64 now)
{
	struct told *told = map_lookup(&tellings, subject);
	if (!told) {
		struct told first = {.at_ns = now};
		if (!map_update(&tellings, subject, &first, MAP_NEW_KEY))
			return 1;
		told = map_lookup(&tellings, subject); /* another CPU was quicker */
		if (!told)
			return 1;
	}
	u64 before = told->at_ns;
	__sync_fetch_and_add(&told->since, 1);
	if (now - before < state.every_ns || __sync_val_compare_and_swap(&told->at_ns, before, now) != before)
		return 0;
	return __sync_lock_test_and_set(&told->since, 0);
}

INLINE void tell(struct cgroup *own, int session, bool agent, struct subject *subject, u32 count, u64 now)
{
	struct event *event = ring_reserve(&events, sizeof(*event), 0);
	if (!event) {
		__sync_fetch_and_add(&state.lost, 1);
		return;
	}
	__builtin_memset(event, 0, sizeof(*event));
	event->at_ns = now;
	event->call = subject->call;
	event->where = subject->where;
	event->count = count;
	event->agent = agent;
	event->session = describe(own, session, event->session_name, sizeof(event->session_name));
	describe(own, agent ? session + 1 : session + 2, event->call_name, sizeof(event->call_name));
	ring_submit(event, RING_FORCE_WAKEUP); /* seldom, and the sooner the better */
	COUNT(told);
}

INLINE void on_stall_in(struct cgroup *own, struct cgroup *limit)
{
	u64 now = monotonic_ns();
	u32 rank = 0, count;
	int session = level_of_session(own, &rank);

	if (!session) {
		COUNT(others);
		return;
	}
	if (limit && !lies_in(own, limit))
		return;
	bool agent = !is_calls(own, session + 1);
	struct subject subject = {
		.call = describe(own, agent ? session + 1 : session + 2, NULL, 0),
		.where = limit ? where_is(limit, session, agent) : WHERE_HOST,
	};
	COUNT(stalls);
	u64 *until = map_lookup(&pressed, &rank);
	if (until && subject.where >= WHERE_ABOVE)
		*until = now + state.pressed_ns;
	count = due(&subject, now);
	if (count)
		tell(own, session, agent, &subject, count, now);
}

/* The current task needs room in `limit`; NULL: on the host. */
INLINE void on_stall(struct cgroup *limit)
{
	struct task_struct *task = current_task();

	bpf_rcu_read_lock();
	on_stall_in(task->cgroups->dfl_cgrp, limit);
	bpf_rcu_read_unlock();
}

SECTION("fentry/try_to_free_mem_cgroup_pages") int pressure_limit(u64 *ctx)
{
	struct mem_cgroup *limit = (void *)ctx[0];

	on_stall(limit->css.cgroup);
	return 0;
}

SECTION("tp_btf/mm_vmscan_direct_reclaim_begin") int pressure_host(void)
{
	on_stall(NULL);
	return 0;
}
