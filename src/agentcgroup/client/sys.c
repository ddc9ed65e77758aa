/* System calls that need more than one instruction; the contract is in sys.h. */
#include "sys.h"

#include <asm/ioctls.h>
#include <linux/time.h>

#if defined(__x86_64__)

/* The kernel keeps every register but rax, rcx and r11, so fn (moved to r9) and arg (r8) are still there in the
 * child. The stack handed in is 16-byte aligned, and `call` pushes 8: what the ABI wants at a function's entry. */
__asm__(".text\n"
        ".globl sys_clone_call\n"
        ".type sys_clone_call,@function\n"
        "sys_clone_call:\n"
        "    mov %rcx, %r9\n"
        "    mov %rdi, %rax\n"
        "    mov %rsi, %rdi\n"
        "    mov %rdx, %rsi\n"
        "    xor %edx, %edx\n"
        "    xor %r10d, %r10d\n"
        "    syscall\n"
        "    test %rax, %rax\n"
        "    jnz 1f\n"
        "    xor %ebp, %ebp\n"
        "    mov %r8, %rdi\n"
        "    call *%r9\n"
        "    mov %eax, %edi\n"
        "    mov $231, %eax\n" /* exit_group */
        "    syscall\n"
        "    hlt\n"
        "1:  ret\n"
        ".size sys_clone_call, . - sys_clone_call\n");

#elif defined(__aarch64__)

__asm__(".text\n"
        ".globl sys_clone_call\n"
        ".type sys_clone_call,%function\n"
        "sys_clone_call:\n"
        "    mov x8, x0\n"
        "    mov x0, x1\n"
        "    mov x1, x2\n"
        "    mov x5, x3\n"
        "    mov x6, x4\n"
        "    mov x2, xzr\n"
        "    mov x3, xzr\n"
        "    mov x4, xzr\n"
        "    svc 0\n"
        "    cbnz x0, 1f\n"
        "    mov x29, xzr\n"
        "    mov x0, x6\n"
        "    blr x5\n"
        "    mov x8, #94\n" /* exit_group */
        "    svc 0\n"
        "    brk #1\n"
        "1:  ret\n"
        ".size sys_clone_call, . - sys_clone_call\n");

#endif

_Noreturn void sys_exit(int status) {
    for (;;) SYS1(__NR_exit_group, status);
}

uint64_t sys_now(void) {
    struct sys_timespec now = {0, 0};
    SYS2(__NR_clock_gettime, CLOCK_MONOTONIC, &now);
    return (uint64_t)now.sec * 1000000000u + (uint64_t)now.nsec;
}

struct kernel_pollfd { /* not every set of kernel headers has linux/poll.h */
    int fd;
    short events;
    short revents;
};

bool sys_ready(int fd, short events, uint64_t until) {
    for (;;) {
        uint64_t now = sys_now();
        uint64_t left = now < until ? until - now : 0;
        struct sys_timespec limit = {(int64_t)(left / 1000000000u), (int64_t)(left % 1000000000u)};
        struct kernel_pollfd poll = {.fd = fd, .events = events};
        long ready = SYS5(__NR_ppoll, &poll, 1, &limit, NULL, 0);
        if (ready != -EINTR) return ready > 0; /* EINTR: stopped and continued, and the clock went on */
    }
}

int sys_above_stdio(int fd) {
    if (fd < 0 || fd > 2) return fd;
    int moved = (int)SYS3(__NR_fcntl, fd, F_DUPFD_CLOEXEC, 3);
    sys_close(fd);
    return moved;
}

int sys_open(int dir, const char *path, int flags, int mode) {
    return sys_above_stdio((int)SYS4(__NR_openat, dir, path, flags | O_CLOEXEC, mode));
}

long sys_slurp(int dir, const char *path, char *text, size_t size) {
    text[0] = 0;
    int fd = sys_open(dir, path, O_RDONLY, 0);
    if (fd < 0) return fd;
    size_t used = 0;
    long got;
    while (used < size - 1 && (got = SYS3(__NR_read, fd, text + used, size - 1 - used)) != 0) {
        if (got == -EINTR) continue;
        if (got < 0) break;
        used += (size_t)got;
    }
    sys_close(fd);
    text[used] = 0;
    return (long)used;
}

bool sys_write_all(int fd, const void *data, size_t size) {
    const char *at = data;
    while (size > 0) {
        long done = SYS3(__NR_write, fd, at, size);
        if (done == -EINTR) continue;
        if (done <= 0) return false;
        at += done;
        size -= (size_t)done;
    }
    return true;
}

void sys_close_range(unsigned first, unsigned last) {
    if (first > last || SYS3(__NR_close_range, first, last, 0) != -ENOSYS) return;
    /* Linux before 5.9: what matters are the pipes of the agent, which have small numbers. */
    if (last > 255) last = 255;
    for (unsigned fd = first; fd <= last; fd++) sys_close((int)fd);
}

bool sys_is_terminal(int fd) {
    char settings[256]; /* a struct termios is 60 bytes at most */
    return SYS3(__NR_ioctl, fd, TCGETS, settings) == 0;
}
