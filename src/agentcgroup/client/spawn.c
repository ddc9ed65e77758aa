/* Starting the command; the contract is in spawn.h.
 *
 * The child shares our memory and we sleep until its execve(2) is through (CLONE_VM | CLONE_VFORK): nothing is
 * copied, and how it went is simply in memory. Until then the child may only do what is async-signal-safe, has all
 * signals blocked, and runs on a stack of its own.
 */
#include "spawn.h"

#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/signal.h>

#include "config.h"
#include "signals.h"
#include "sys.h"

struct start {
    const char *path;
    char *const *argv;
    char *const *envp;
    const struct inherited *inherited;
    uint32_t parent;
    int procs;   /* cgroup.procs to move to, or -1 */
    bool placed; /* set by the child after a move */
    int error;   /* errno of execve */
};

static char child_stack[8192] __attribute__((aligned(16)));

void spawn_prepare(struct inherited *inherited) {
    inherited->mask = signals_block(SIGNALS_ALL);
    inherited->child_ignored = signals_default(SIGCHLD) == SIG_IGN;
    inherited->is_subreaper = 0;
    SYS2(__NR_prctl, PR_GET_CHILD_SUBREAPER, &inherited->is_subreaper);
}

void spawn_restore(const struct inherited *inherited) {
    if (inherited->child_ignored) signals_ignore(SIGCHLD);
    signals_block(inherited->mask);
}

/* When the whole host runs out of memory its calls shall go before the agent. */
static void set_oom_score(void) {
    if (!config.oom_score_adj[0]) return;
    int file = sys_open(AT_FDCWD, "/proc/self/oom_score_adj", O_WRONLY, 0);
    SYS3(__NR_write, file, config.oom_score_adj, str_length(config.oom_score_adj));
    sys_close(file);
}

static int child(void *argument) {
    struct start *start = argument;
    if (start->procs >= 0) start->placed = SYS3(__NR_write, start->procs, "0", 1) == 1;
    /* When the agent kills the shell it started, it means the shell: so the real one dies with us. What the agent
     * asked for itself (PR_SET_PDEATHSIG before exec) still reaches us and is forwarded like any signal. */
    SYS2(__NR_prctl, PR_SET_PDEATHSIG, SIGKILL);
    if (sys_getppid() != start->parent) return 128 + SIGKILL;
    if (start->inherited->is_subreaper) SYS2(__NR_prctl, PR_SET_CHILD_SUBREAPER, 1);
    set_oom_score();
    spawn_restore(start->inherited);
    start->error = (int)-SYS3(__NR_execve, start->path, start->argv, start->envp);
    return spawn_exec_status(start->error);
}

/* clone3(2) into the cgroup: Linux 5.7. */
static long clone_into(int cgroup, struct start *start) {
    struct clone_args args = {
        .flags = CLONE_VM | CLONE_VFORK | (cgroup >= 0 ? CLONE_INTO_CGROUP : 0),
        .exit_signal = SIGCHLD,
        .stack = (uintptr_t)child_stack,
        .stack_size = sizeof child_stack,
        .cgroup = cgroup >= 0 ? (uint64_t)cgroup : 0,
    };
    return sys_clone_call(__NR_clone3, (long)&args, sizeof args, child, start);
}

/* clone(2), for kernels and sandboxes without clone3. */
static long clone_plain(struct start *start) {
    long top = (long)(child_stack + sizeof child_stack);
    return sys_clone_call(__NR_clone, CLONE_VM | CLONE_VFORK | SIGCHLD, top, child, start);
}

/* Starts outside of the cgroup and lets the child move itself, before it runs anything of the agent's. */
static long clone_and_move(int cgroup, struct start *start, bool *placed) {
    start->procs = cgroup >= 0 ? sys_open(cgroup, "cgroup.procs", O_WRONLY, 0) : -1;
    long pid = clone_plain(start);
    sys_close(start->procs);
    *placed = start->placed;
    return pid;
}

long spawn_command(const char *path, char *const *argv, char *const *envp, const struct inherited *inherited,
                   struct leaf *leaf, int *exec_error) {
    struct start start = {path, argv, envp, inherited, sys_getpid(), -1, false, 0};
    bool placed = true;
    long pid = clone_into(leaf->dir, &start);
    if (pid < 0) pid = clone_and_move(leaf->dir, &start, &placed);
    if (leaf->dir >= 0 && !placed) leaf_forget(leaf);
    *exec_error = *(volatile int *)&start.error;
    return pid;
}

int spawn_exec_status(int error) { return error == ENOENT ? 127 : 126; }

void spawn_explain(const char *path, int error) {
    char text[512] = "agentcgroup: cannot run ";
    str_append(text, sizeof text - 64, path);
    str_append(text, sizeof text, ": error ");
    str_append_number(text, sizeof text, (uint64_t)error);
    str_append(text, sizeof text, error == ENOENT ? " (no such file)\n" : error == E2BIG ? " (too long)\n" : "\n");
    sys_write_all(2, text, str_length(text));
}

_Noreturn void spawn_become(const char *path, char *const *argv, char *const *envp) {
    int error = (int)-SYS3(__NR_execve, path, argv, envp);
    spawn_explain(path, error);
    sys_exit(spawn_exec_status(error));
}
