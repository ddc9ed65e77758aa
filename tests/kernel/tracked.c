/* What the tracker's tests let happen, in ways that no shell can.
 *
 *   tracked again COUNT PROCESSES   COUNT programs one after the other, in each of so many children
 *   tracked threads                 eight threads that the first one ends by exit_group(7)
 *   tracked leader                  the first thread ends, another goes on and then ends the process with 9
 *   tracked swap PROGRAM            a thread that is not the first executes PROGRAM
 *   tracked into DIRECTORY PROGRAM  PROGRAM in a child born in that cgroup (clone3, CLONE_INTO_CGROUP)
 *   tracked reuse                   two children with the same pid, one after the other, as ns_last_pid allows
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static char **arguments;

static void *sleep_long(void *unused) {
    (void)unused;
    for (;;) pause();
}

static void *end_process(void *unused) {
    (void)unused;
    usleep(50000);
    syscall(SYS_exit_group, 9);
    return NULL;
}

static void *execute(void *unused) {
    (void)unused;
    execv(arguments[2], arguments + 2);
    _exit(126);
}

static int start(void *(*body)(void *), int count) {
    pthread_t thread;
    for (int i = 0; i < count; i++)
        if (pthread_create(&thread, NULL, body, NULL)) return 1;
    return 0;
}

static void many(char *self, int count) {
    char *again[] = {self, NULL}, *none[] = {NULL};
    for (int i = 0; i < count; i++) {
        if (vfork() == 0) {
            execve(self, again, none);
            _exit(126);
        }
        wait(NULL);
    }
}

static int born_in(char *directory, char **program) {
    struct clone_args how = {.flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD};
    int status;
    how.cgroup = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    long pid = syscall(SYS_clone3, &how, sizeof(how));
    if (pid == 0) {
        execv(program[0], program);
        _exit(126);
    }
    return pid < 0 || waitpid(pid, &status, 0) < 0 || status;
}

static int child(int code) {
    pid_t pid = fork();
    if (pid == 0) _exit(code);
    waitpid(pid, NULL, 0);
    return pid;
}

static int reuse(void) {
    int first = child(1);
    for (int i = 0; i < 200; i++) {
        FILE *file = fopen("/proc/sys/kernel/ns_last_pid", "w");
        if (!file) return 2;
        fprintf(file, "%d", first - 1);
        if (fclose(file)) return 3;
        if (child(2) == first) return 0;
    }
    return 4;
}

int main(int argc, char **argv) {
    arguments = argv;
    char *what = argc > 1 ? argv[1] : "";
    if (!strcmp(what, "again")) {
        for (int i = 0; i < atoi(argv[3]); i++)
            if (fork() == 0) {
                many(argv[0], atoi(argv[2]));
                _exit(0);
            }
        while (wait(NULL) > 0);
    } else if (!strcmp(what, "threads")) {
        start(sleep_long, 7);
        usleep(50000);
        syscall(SYS_exit_group, 7);
    } else if (!strcmp(what, "leader")) {
        start(end_process, 1);
        syscall(SYS_exit, 1);
    } else if (!strcmp(what, "swap")) {
        start(execute, 1);
        for (;;) pause();
    } else if (!strcmp(what, "into")) {
        return born_in(argv[2], argv + 3);
    } else if (!strcmp(what, "reuse")) {
        return reuse();
    }
    return 0;
}
