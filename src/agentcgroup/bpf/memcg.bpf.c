/* memcg: in a kernel with memcg_bpf_ops, slows who takes memory while others of a higher rank stall for it.
 *
 * memcg_bpf_ops lets a BPF program take part where the kernel decides about memory: whether a cgroup counts as below
 * its memory.low or memory.min when reclaim looks for victims, and how long a task that was charged is held, as for
 * memory.high: on its way back to user mode, where it has no lock of the kernel that somebody of a higher rank could
 * come to wait for.
 *
 * Who stalls is not found here. Whoever detects it (the pressure program, or user space) writes for each rank until
 * when its pressure lasts, into the map `pressed`, a little ahead each time. The highest rank whose time is not over
 * rules. Cgroups of that rank and above count as below memory.low, so that reclaim turns to the others first; those
 * of lower ranks are delayed, each as long as the others: at most delay_ms in one go, and never for longer than the
 * pressure is known to last. Between two delays a task gets what it has asked for, so all of them get on; none is
 * stopped, and no one of them can starve. A cgroup that uses no more than its protected share (its own memory.low or
 * memory.min) is not delayed. While only the lowest rank is pressed nothing happens: nobody could give way to it.
 *
 * The rank of a cgroup is that of the nearest session above it. User space says which cgroups are sessions, by id; a
 * cgroup that lies in none is left alone, so that it does no harm if a kernel should ask about more cgroups than those
 * we attach to. When user space dies the kernel takes all of this away; if it only hangs, the pressure is soon over.
 *
 * Known weaknesses. No released kernel has the type; the programs were verified and run in other places of a kernel
 * (tests/kernel/test_memcg_ops.py), never in these. The protection is soft and whole: while a rank rules, all
 * memory of its sessions is protected, also from the session's own limit, where the kernel has to look twice before it
 * takes any. A delay that has begun is not cut short. A task that takes very much in one system call is held inside it
 * (since Linux 5.18, over memory.high too), maybe with a lock. Nested deeper than 32, a cgroup counts as in no session.
 */
#include "memcg.h"
#include "counters.h" /* of the struct there */

char license_text[] SECTION("license") = "Dual MIT/GPL";

#define MS 1000000ULL

struct state state SECTION(".data") = {};

/* The id of a session's cgroup -> its rank. */
struct {
	MAP_UINT(type, MAP_HASH);
	MAP_UINT(max_entries, 4096);
	MAP_TYPE(key, u64);
	MAP_TYPE(value, u32);
} sessions MAPS;

/* The highest rank that is pressed, and for how many ns from now on; 0 when nobody has to give way. */
INLINE u32 ruling(u64 *left)
{
	u64 now = monotonic_ns();

	for (u32 rank = RANKS - 1; rank > 0; rank--) {
		u64 *until = map_lookup(&pressed, &rank);
		u64 end = until ? *(volatile u64 *)until : 0;
		if (end > now) {
			*left = end - now;
			return rank;
		}
	}
	return 0;
}

/* The rank of the session that a cgroup lies in; RANKS for none. */
INLINE u32 rank_of(struct mem_cgroup *memcg)
{
	struct cgroup *group = memcg->css.cgroup;

	for (int depth = 0; depth < MAX_DEPTH; depth++) {
		u64 id = cgroup_id(group);
		u32 *rank = map_lookup(&sessions, &id);
		if (rank)
			return *rank;
		struct cgroup_subsys_state *parent = group->self.parent;
		if (!parent)
			break;
		group = parent->cgroup;
	}
	return RANKS;
}

/* How long a task that was charged to this cgroup is to be held, in ms. */
INLINE u32 delay(struct mem_cgroup *memcg)
{
	u64 left;
	u32 most = ruling(&left), rank;

	if (!most || !state.delay_ms)
		return 0;
	rank = rank_of(memcg);
	u64 used = memcg->memory.usage.counter;
	if (rank >= most || used <= memcg->memory.low || used <= memcg->memory.min)
		return 0;
	u64 ms = (left + MS - 1) / MS;
	if (ms > state.delay_ms)
		ms = state.delay_ms;
	if (ms > MOST_DELAY_MS)
		ms = MOST_DELAY_MS;
	COUNT(delays);
	ADD(delay_ms, ms);
	return ms;
}

INLINE bool is_protected(struct mem_cgroup *memcg)
{
	u64 left;
	u32 least = ruling(&left), rank;

	if (!least)
		return false;
	rank = rank_of(memcg);
	return rank >= least && rank < RANKS;
}

SECTION("struct_ops/below_low") bool memcg_below_low(u64 *arguments)
{
	if (!is_protected((void *)arguments[0]))
		return false;
	COUNT(low);
	return true;
}

/* What is below memory.min is not even taken before somebody is killed for want of it: so only a little, if any. */
SECTION("struct_ops/below_min") bool memcg_below_min(u64 *arguments)
{
	struct mem_cgroup *memcg = (void *)arguments[0];

	if (!state.least_pages || (u64)memcg->memory.usage.counter > state.least_pages || !is_protected(memcg))
		return false;
	COUNT(least);
	return true;
}

SECTION("struct_ops/get_high_delay_ms") u32 memcg_high_delay(u64 *arguments)
{
	return delay((void *)arguments[0]);
}

SECTION("struct_ops/memcg_charged") u32 memcg_charged(u64 *arguments)
{
	return state.charged_delays ? delay((void *)arguments[0]) : 0;
}

SECTION("struct_ops/handle_cgroup_online") int memcg_online(void)
{
	COUNT(online);
	return 0;
}

/* A session that was not taken from the map before its cgroup went: ids are never used again, but the map is finite. */
SECTION("struct_ops/handle_cgroup_offline") int memcg_offline(u64 *arguments)
{
	struct mem_cgroup *memcg = (void *)arguments[0];
	u64 id = cgroup_id(memcg->css.cgroup);

	map_delete(&sessions, &id);
	COUNT(offline);
	return 0;
}

SECTION(".struct_ops.link") struct memcg_bpf_ops agentcgroup_memcg = {
	.handle_cgroup_online = (void *)memcg_online,
	.handle_cgroup_offline = (void *)memcg_offline,
	.below_low = (void *)memcg_below_low,
	.below_min = (void *)memcg_below_min,
	.get_high_delay_ms = (void *)memcg_high_delay,
	.memcg_charged = (void *)memcg_charged,
};
