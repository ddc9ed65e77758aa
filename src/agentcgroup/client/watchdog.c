/* The watchdog; the contract is in watchdog.h. */
#include "watchdog.h"

#include "sys.h"

static struct {
    int link;
    int leaf_dir;
    bool set;
    bool started;
} watchdog;

void watchdog_over(int link, int leaf_dir) {
    watchdog.link = link;
    watchdog.leaf_dir = leaf_dir;
    watchdog.set = link >= 0 && leaf_dir >= 0;
}

/* Asking for no event is asking for POLLHUP and POLLERR alone: the other end is closed, by whatever way it died. A
 * message that came too late is no reason. */
static bool controller_gone(void) { return sys_ready(watchdog.link, 0, 0); }

/* Where we may not write, or the leaf is gone, there is nothing to be done. */
static void thaw_if_alone(void) {
    if (!watchdog.set || !controller_gone()) return;
    watchdog.set = false;
    int freeze = sys_open(watchdog.leaf_dir, "cgroup.freeze", O_WRONLY, 0);
    if (freeze < 0) return;
    sys_write_all(freeze, "0", 1);
    sys_close(freeze);
}

void watchdog_start(void) {
    if (watchdog.started || !watchdog.set) return;
    watchdog.started = true;
    /* With F_SETSIG the signal names its descriptor: a SIGIO for a file of the agent's is not taken for ours. */
    SYS3(__NR_fcntl, watchdog.link, F_SETSIG, SIGIO);
    SYS3(__NR_fcntl, watchdog.link, F_SETOWN, sys_getpid());
    SYS3(__NR_fcntl, watchdog.link, F_SETFL, FASYNC);
    thaw_if_alone(); /* it may have gone before anybody asked for a signal */
}

bool watchdog_took(int signal, const siginfo_t *info) {
    if (signal != SIGIO || !watchdog.started) return false;
    /* In any case: one that was pending already, whoever sent it, hides ours. */
    thaw_if_alone();
    bool from_kernel = info->si_code > 0 && info->si_code != SI_KERNEL;
    return from_kernel && info->si_fd == watchdog.link;
}
