/* below: the scheduler of sched.bpf.c, attached to a cgroup below another one (Linux 7.3).
 *
 * The kernel has one sched_ext scheduler, but that one may let others in (sub_attach). Such a sub-scheduler has the
 * tasks of one cgroup and of those below it, as far as they are under sched_ext. It says which of them is next. On
 * which CPUs they may run the one above says (scx_bpf_sub_grant), and when a CPU is theirs (scx_bpf_sub_dispatch). When
 * it fails it goes alone, and the one above has the tasks; when that one goes, so does this.
 *
 * The algorithm is the same, compiled from the same source. The kernel takes a sub-scheduler only in another form: its
 * CPUs have compact ids (cid), some callbacks and functions other names, and there must be an arena. So here are the
 * names; what differs besides is marked BELOW in sched.bpf.c. The most: the kernel's search for an idle CPU cannot be
 * called in this form. But the kernel makes it by itself for who wakes up, since there is no select_cid, and a task for
 * which it finds a CPU runs there at once, past the queue.
 *
 * Known weaknesses. That search does not know what is granted: for a CPU that is not, the kernel gives the task back,
 * and it waits in the queue. Who is let go from HELD wakes every idle CPU, for which is idle is not told. The kernel's
 * functions for all this exist for x86-64 only (Linux 7.3).
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
