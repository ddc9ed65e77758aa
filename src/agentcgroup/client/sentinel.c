/* The sentinel; the contract is in sentinel.h. */
#include "sentinel.h"

#include <linux/futex.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/wait.h>

#include "proc.h"
#include "signals.h"
#include "sys.h"

/* WAKE_UP is how the client wakes the sentinel: a signal that hardly anybody sends. (SIGCONT, pending here because this
 * task has not run yet, would hide that another SIGCONT was for the client alone.) */
enum { GROUP_WAIT_NS = 2000000, WATCH_NS = 20000000, WAKE_UP = 64 };

/* Shared by both tasks: the sentinel writes `count` and `moved`, the client `watched`. */
static struct {
    uint32_t count[SIGNALS_COUNT];
    uint32_t moved; /* futex: grows with every signal */
    uint32_t watched;
} shared;

static struct {
    uint32_t pid;
    uint32_t client;
    uint32_t known[SIGNALS_COUNT]; /* how much of `count` has been matched with a signal of ours */
} sentinel;

static char sentinel_stack[16384] __attribute__((aligned(16)));

static uint32_t load(const uint32_t *word) { return __atomic_load_n(word, __ATOMIC_ACQUIRE); }

static void note(int signal) {
    if (signal <= 0 || signal >= SIGNALS_COUNT) return;
    __atomic_add_fetch(&shared.count[signal], 1, __ATOMIC_RELEASE);
    __atomic_add_fetch(&shared.moved, 1, __ATOMIC_RELEASE);
    SYS3(__NR_futex, &shared.moved, FUTEX_WAKE, 1);
}

/* A command that was stopped and is continued by somebody else would leave the client stopped for ever: only we are
 * awake to see it. */
static void look_at_watched(void) {
    uint32_t pid = load(&shared.watched);
    if (pid == 0) return;
    char state = proc_state(pid);
    if (state != 'T' && state != 't') SYS2(__NR_kill, sentinel.client, SIGCONT);
}

static int sentinel_main(void *unused) {
    (void)unused;
    SYS2(__NR_prctl, PR_SET_PDEATHSIG, SIGKILL);
    if (sys_getppid() != sentinel.client) return 0;
    sys_close_range(0, ~0u); /* a copy of the socket here would hide the client's death from the controller */
    for (;;) {
        siginfo_t info;
        struct sys_timespec soon = {0, WATCH_NS};
        int signal = signals_wait(&info, load(&shared.watched) ? &soon : NULL);
        bool woken = signal == WAKE_UP && info.si_code == SI_USER && (uint32_t)info.si_pid == sentinel.client;
        if (signal > 0 && !woken) note(signal);
        look_at_watched();
    }
}

void sentinel_start(void) {
    if (sentinel.pid) return;
    sentinel.client = sys_getpid();
    long top = (long)(sentinel_stack + sizeof sentinel_stack);
    long pid = sys_clone_call(__NR_clone, CLONE_VM, top, sentinel_main, NULL);
    if (pid > 0) sentinel.pid = (uint32_t)pid;
}

bool sentinel_running(void) { return sentinel.pid != 0; }

bool sentinel_is(uint32_t pid) { return sentinel.pid != 0 && sentinel.pid == pid; }

/* `known` may be ahead, when a signal was found pending before the sentinel could count it. */
static bool counted(int signal) { return (int32_t)(load(&shared.count[signal]) - sentinel.known[signal]) > 0; }

bool sentinel_got(int signal) {
    if (!sentinel.pid || signal <= 0 || signal >= SIGNALS_COUNT) return false;
    uint64_t now = sys_now(), until = now + GROUP_WAIT_NS;
    uint32_t moved = load(&shared.moved);
    while (!counted(signal) && now < until) {
        struct sys_timespec left = {0, (int64_t)(until - now)};
        SYS4(__NR_futex, &shared.moved, FUTEX_WAIT, moved, &left);
        moved = load(&shared.moved);
        now = sys_now();
    }
    /* On a busy machine it may not have run yet, or the whole group is stopped: then the signal is pending. */
    if (counted(signal))
        sentinel.known[signal] = load(&shared.count[signal]); /* two that came as one to us are both done */
    else if (proc_pending(sentinel.pid, signal))
        sentinel.known[signal]++;
    else
        return false;
    return true;
}

void sentinel_watch(uint32_t pid) {
    if (!sentinel.pid) return;
    __atomic_store_n(&shared.watched, pid, __ATOMIC_RELEASE);
    if (pid != 0) SYS2(__NR_kill, sentinel.pid, WAKE_UP);
}

void sentinel_kill(void) {
    if (sentinel.pid) SYS2(__NR_kill, sentinel.pid, SIGKILL);
}

void sentinel_reap(void) {
    if (!sentinel.pid) return;
    while (SYS4(__NR_wait4, sentinel.pid, NULL, __WALL, NULL) == -EINTR) {
    }
    sentinel.pid = 0;
}
