/* Starting the command in its cgroup, and becoming the real shell without one. */
#ifndef ACG_SPAWN_H
#define ACG_SPAWN_H

#include <stdint.h>

#include "leaf.h"

/* What the client changed about itself and the command must find as it was. */
struct inherited {
    uint64_t mask;        /* blocked signals */
    bool child_ignored;   /* SIGCHLD was ignored */
    uint32_t is_subreaper; /* PR_SET_CHILD_SUBREAPER, which a clone does not inherit */
};

/* Blocks all signals and makes SIGCHLD deliverable, so that nothing is lost and wait4(2) has something to wait for. */
void spawn_prepare(struct inherited *inherited);

/* The opposite, for the case that this process becomes the real shell after all. */
void spawn_restore(const struct inherited *inherited);

/* Starts `path` with this argv and environment in the cgroup of `leaf`. Returns the pid and, when the kernel refused
 * the cgroup, empties `leaf`; -errno when nothing could be started. `exec_error` is 0 or the errno of execve(2); then
 * the child has exited with spawn_exec_status. */
long spawn_command(const char *path, char *const *argv, char *const *envp, const struct inherited *inherited,
                   struct leaf *leaf, int *exec_error);

/* The exit status of a failed execve(2): 127 (not there) or 126, as in shells; and the words for stderr. */
int spawn_exec_status(int error);
void spawn_explain(const char *path, int error);

/* execve(2) of this process; when that fails, explains and exits. */
_Noreturn void spawn_become(const char *path, char *const *argv, char *const *envp);

#endif
