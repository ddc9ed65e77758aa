/* Counters of a leaf; the contract is in counters.h. */
#include "counters.h"

#include "sys.h"

static const char *const FILES[COUNTER_FILES] = {
    "cgroup.events", "memory.events", "memory.peak", "cpu.stat", "pids.peak", "pids.events",
};

void counters_open(struct counters *counters, int leaf) {
    for (int i = 0; i < COUNTER_FILES; i++)
        counters->fd[i] = leaf < 0 ? -1 : sys_open(leaf, FILES[i], O_RDONLY, 0);
}

/* Whether the text of a flat keyed file has this key with another value than 0. */
static bool counted(struct piece text, const char *key, const char *zero) {
    return piece_contains(text, piece_of(key)) && !piece_contains(text, piece_of(zero));
}

struct findings counters_read(const struct counters *counters, struct message *m) {
    char text[4096];
    struct findings found = {false, false};
    for (int i = 0; i < COUNTER_FILES; i++) {
        if (counters->fd[i] < 0) continue;
        long size = SYS4(__NR_pread64, counters->fd[i], text, sizeof text, 0);
        if (size < 0) continue; /* the leaf was removed meanwhile */
        struct piece read = {text, (size_t)size};
        wire_bytes(m, FILES[i], str_length(FILES[i]) + 1);
        wire_bytes(m, text, (size_t)size);
        wire_bytes(m, "", 1);
        if (i == 0) found.populated = piece_contains(read, piece_of("populated 1"));
        if (i == 1 && counted(read, "oom_kill ", "oom_kill 0\n")) found.eventful = true;
        if (i == 5 && counted(read, "max ", "max 0\n")) found.eventful = true;
    }
    return found;
}
