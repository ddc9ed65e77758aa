/* System calls without a C library, for x86_64 and aarch64.
 *
 * A dynamic libc costs 0.3 ms per start and a static one 0.15 ms; this program is started for every shell command
 * of an agent, so it makes its calls itself. Every wrapper returns what the kernel returns: a value, or -errno.
 * Only calls that both architectures have are used (openat, ppoll, newfstatat ...).
 */
#ifndef ACG_SYS_H
#define ACG_SYS_H

#include <asm/stat.h>
#include <asm/unistd.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/resource.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef __NR_clone3
#define __NR_clone3 435 /* Linux 5.3, the same number everywhere */
#endif
#ifndef __NR_close_range
#define __NR_close_range 436 /* Linux 5.9 */
#endif

#if defined(__x86_64__)

static inline long sys6(long n, long a, long b, long c, long d, long e, long f) {
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long ret;
    __asm__ volatile("syscall"
                     : "=a"(ret)
                     : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return ret;
}

#elif defined(__aarch64__)

static inline long sys6(long n, long a, long b, long c, long d, long e, long f) {
    register long x8 __asm__("x8") = n;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
    return x0;
}

#else
#error "the client knows the system calls of x86_64 and aarch64 only; add those of this machine to sys.h and sys.c"
#endif

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "messages are little-endian and are written as they lie in memory"
#endif

#define SYS0(n) sys6(n, 0, 0, 0, 0, 0, 0)
#define SYS1(n, a) sys6(n, (long)(a), 0, 0, 0, 0, 0)
#define SYS2(n, a, b) sys6(n, (long)(a), (long)(b), 0, 0, 0, 0)
#define SYS3(n, a, b, c) sys6(n, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define SYS4(n, a, b, c, d) sys6(n, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define SYS5(n, a, b, c, d, e) sys6(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)
#define SYS6(n, a, b, c, d, e, f) sys6(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

struct sys_timespec {
    int64_t sec;
    int64_t nsec;
};

/* clone(2) or clone3(2) with a stack of its own: `nr` is called with `a` and `b`; the child runs fn(arg) and exits
 * with what it returns, the parent gets the child's pid or -errno. Written in assembly because a child that shares
 * the parent's memory must never return through the parent's frames. */
long sys_clone_call(long nr, long a, long b, int (*fn)(void *), void *arg);

_Noreturn void sys_exit(int status);

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t sys_now(void);

enum { SYS_READABLE = 1, SYS_WRITABLE = 4 }; /* POLLIN, POLLOUT */

/* Waits until the descriptor is ready (or has hung up) or the instant `until` has passed; false then. */
bool sys_ready(int fd, short events, uint64_t until);

/* openat(2) with O_CLOEXEC, never as one of the descriptors 0 to 2: when the agent closed them, the command must
 * find them closed, and what is written to "stderr" must not land in a file of ours. -errno on failure. */
int sys_open(int dir, const char *path, int flags, int mode);

/* Moves a fresh descriptor above 2 (see sys_open); passes -errno through. */
int sys_above_stdio(int fd);

/* Reads a small file below `dir` (AT_FDCWD for a plain path) and ends the text with NUL; its length, or -errno. */
long sys_slurp(int dir, const char *path, char *text, size_t size);

/* Writes everything, restarting after EINTR and short writes; false when that is not possible. */
bool sys_write_all(int fd, const void *data, size_t size);

/* Whether the descriptor is a terminal, as isatty(3) finds out. */
bool sys_is_terminal(int fd);

/* Closes all descriptors from `first` to `last`, both included. */
void sys_close_range(unsigned first, unsigned last);

static inline void sys_close(int fd) {
    if (fd >= 0) SYS1(__NR_close, fd);
}

static inline uint32_t sys_getpid(void) { return (uint32_t)SYS0(__NR_getpid); }

static inline uint32_t sys_getppid(void) { return (uint32_t)SYS0(__NR_getppid); }

#endif
