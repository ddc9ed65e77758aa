/* What a program asks the kernel about cgroups of the unified hierarchy: ancestors, and storage kept with a cgroup.
 *
 * Linux 6.2 and newer (BPF_MAP_TYPE_CGRP_STORAGE). A cgroup that a program finds by itself is safe to use only between
 * bpf_rcu_read_lock and bpf_rcu_read_unlock; an ancestor is held until bpf_cgroup_release.
 */
#pragma once

#include "kernel.h"

#define KERNEL_FUNCTION SECTION(".ksyms")

enum {
	MAP_CGROUP_STORAGE = 32,
};

static void *(*const cgroup_storage)(void *map, void *group, void *value, u64 flags) = (void *)210;

extern void bpf_rcu_read_lock(void) KERNEL_FUNCTION;
extern void bpf_rcu_read_unlock(void) KERNEL_FUNCTION;
extern struct cgroup *bpf_cgroup_ancestor(struct cgroup *group, int level) KERNEL_FUNCTION;
extern void bpf_cgroup_release(struct cgroup *group) KERNEL_FUNCTION;
