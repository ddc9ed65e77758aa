/* Waiting and forwarding; the contract is in relay.h, the sentinel in sentinel.h. */
#include "relay.h"

#include <linux/wait.h>

#include "sentinel.h"
#include "signals.h"
#include "sys.h"
#include "watchdog.h"

/* A sentinel costs some 30 us at the end; most commands are over before anybody could want to signal them. */
enum { SENTINEL_AFTER_NS = 5000000 };

#define STOPPED(status) (((status) & 0xff) == 0x7f)
#define STOP_SIGNAL(status) (((status) >> 8) & 0xff)

static bool same_group(uint32_t pid) { return SYS1(__NR_getpgid, pid) == SYS1(__NR_getpgid, 0); }

/* Signals that a terminal sends, always to a whole process group. The rest of what the kernel sends (SIGALRM of a
 * timer that survived the exec, SIGHUP to a session leader) is for one process. */
static bool from_terminal(int signal, const siginfo_t *info) {
    if (info->si_code != SI_KERNEL) return false;
    return signal == SIGINT || signal == SIGQUIT || signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU ||
           signal == SIGWINCH;
}

/* Whether the command has got this signal without our help. A command in another process group (an interactive
 * shell makes its own) has not: as a plain shell it would be the leader of ours. */
static bool has_it(uint32_t pid, int signal, const siginfo_t *info) {
    bool grouped = sentinel_got(signal); /* asked in any case: a count must be matched, or it would match the next */
    if (!same_group(pid)) return false;
    return grouped || (!sentinel_running() && from_terminal(signal, info));
}

static void relay_one(uint32_t pid, int signal, siginfo_t *info) {
    if (signal == SIGCHLD || watchdog_took(signal, info)) return;
    bool by_process = info->si_code == SI_USER || info->si_code == SI_QUEUE || info->si_code == SI_TKILL;
    uint32_t sender = by_process ? (uint32_t)info->si_pid : 0;
    if (sentinel_is(sender)) return;
    if (has_it(pid, signal, info)) return;
    /* The command signals itself directly, and us when it means its parent or its group. */
    if (sender == pid) return;
    if (info->si_code == SI_QUEUE) { /* keeps the value that came with it */
        SYS3(__NR_rt_sigqueueinfo, pid, signal, info);
        return;
    }
    SYS2(__NR_kill, pid, signal);
}

/* What only a command that lasts is worth. */
static void settle(void) {
    sentinel_start();
    watchdog_start();
}

static void stop_alike(uint32_t pid, int signal) {
    settle(); /* to wake us, should somebody continue the command without us */
    sentinel_watch(pid);
    signals_suffer(signal);
    sentinel_watch(0);
}

/* As a subreaper (hosts without cgroups) we are given the call's orphans: they must not stay zombies while it runs. */
static void reap_orphans(uint32_t pid) {
    for (;;) {
        siginfo_t info = {.si_pid = 0};
        long got = SYS5(__NR_waitid, P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT, NULL);
        uint32_t ended = (uint32_t)info.si_pid;
        if (got != 0 || ended == 0 || ended == pid || sentinel_is(ended)) return;
        SYS4(__NR_wait4, ended, NULL, WNOHANG, NULL);
    }
}

void relay_until_end(uint32_t pid, struct ending *ending) {
    const struct sys_timespec patience = {0, SENTINEL_AFTER_NS};
    for (;;) {
        long got = SYS4(__NR_wait4, pid, &ending->status, WNOHANG | WUNTRACED, &ending->usage);
        if (got == (long)pid && STOPPED(ending->status)) {
            stop_alike(pid, STOP_SIGNAL(ending->status));
            continue;
        }
        if (got != 0 && got != -EINTR) break;
        siginfo_t info;
        int signal = signals_wait(&info, sentinel_running() ? NULL : &patience);
        if (signal == -EAGAIN) settle();
        if (signal == SIGCHLD) reap_orphans(pid);
        if (signal > 0) relay_one(pid, signal, &info);
    }
    ending->ended_ns = sys_now();
    sentinel_kill();
}
