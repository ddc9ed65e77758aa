/* below: the scheduler of sched.bpf.c, attached to a cgroup below another one (Linux 7.3).
 *
 * The kernel has one sched_ext scheduler, but that one may let others in (sub_attach). Such a sub-scheduler has the
 * tasks of one cgroup and of those below it, whatever their policy if the one above has all tasks. It decides which of
 * them is next; on which CPUs, and how often they are its turn, is what the one above grants (scx_bpf_sub_grant) and
 * passes on (scx_bpf_sub_dispatch). When it fails it goes alone; when the one above goes, so does this.
 *
 * The algorithm is the same, compiled from the same source. The kernel takes a sub-scheduler only in another form: its
 * CPUs have compact ids (cid), most callbacks and functions other names, and an arena must be there. So here are the
 * names; what differs besides is marked BELOW in sched.bpf.c:
 *
 * The kernel's search for an idle CPU cannot be called in this form, but is made for whoever wakes up, since there is
 * no select_cid: with what it finds, a task runs at once and past the queue.
 *
 * Known weaknesses. A task that is let go from HELD wakes every idle CPU, for which one is idle is not told. The
 * kernel's functions for this exist for x86-64 only (Linux 7.3).
 */
#define BELOW

#define sched_ext_ops sched_ext_ops_cid
#define select_cpu select_cid
#define cgroup_init cpuctl_init
#define cgroup_move cpuctl_move
#define cgroup_set_weight cpuctl_set_weight
#define cgroup_set_bandwidth cpuctl_set_bandwidth
#define scx_bpf_kick_cpu scx_bpf_kick_cid
#define scx_bpf_nr_cpu_ids scx_bpf_nr_cids
#define scx_bpf_task_cpu scx_bpf_task_cid

#include "arena.h"
#include "sched.bpf.c"
