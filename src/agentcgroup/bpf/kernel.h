/* The kernel's types, as far as they are used here: only the fields read, in any order, found by CO-RE. */
#pragma once

#include "helpers.h"

struct kernfs_node {
	u64 id;
	const char *name;
} KERNEL;

struct cgroup;

struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct cgroup_subsys_state *parent;
} KERNEL;

struct cgroup {
	struct cgroup_subsys_state self;
	struct kernfs_node *kn;
	int level; /* 0: the root */
} KERNEL;

struct css_set {
	struct cgroup *dfl_cgrp; /* in the unified hierarchy, wherever cgroup v1 has the task */
} KERNEL;

struct mm_struct {
	unsigned long arg_start, arg_end;
} KERNEL;

typedef struct {
	int counter;
} KERNEL atomic_t;

struct signal_struct {
	atomic_t live; /* threads that have not begun to exit */
	int group_exit_code;
	unsigned int flags;
} KERNEL;

/* A macro of include/linux/sched/signal.h, so not in BTF; unchanged since 2.6. */
#define SIGNAL_GROUP_EXIT 0x4

struct task_struct {
	int pid, tgid;
	int exit_code;
	u64 start_boottime;
	u64 self_exec_id; /* counts the execs, also those of the ancestors */
	char comm[16];
	struct task_struct *real_parent, *group_leader;
	struct css_set *cgroups;
	struct mm_struct *mm;
	struct signal_struct *signal;
} KERNEL;

struct super_block {
	unsigned int s_dev;
} KERNEL;

struct inode {
	u64 i_ino;
	struct super_block *i_sb;
} KERNEL;

struct file {
	struct inode *f_inode;
} KERNEL;

struct linux_binprm {
	const char *filename;
	struct file *file; /* of the interpreter when a script is executed */
} KERNEL;

struct bpf_iter__task {
	struct task_struct *task;
} KERNEL;

/* Nested deeper than this, a cgroup counts as outside. */
#define MAX_DEPTH 32

INLINE u64 cgroup_id(struct cgroup *group)
{
	return group->kn->id;
}

/* Whether `group` is the cgroup with this id or below it. */
INLINE bool is_below(struct cgroup *group, u64 id)
{
	for (int depth = 0; depth < MAX_DEPTH; depth++) {
		if (group->kn->id == id)
			return true;
		struct cgroup_subsys_state *parent = group->self.parent;
		if (!parent)
			return false;
		group = parent->cgroup;
	}
	return false;
}
