/* What the kernel counted for a leaf. The files are opened while the command runs and read once it has ended. */
#ifndef ACG_COUNTERS_H
#define ACG_COUNTERS_H

#include <stdbool.h>

#include "wire.h"

enum { COUNTER_FILES = 6 };

struct counters {
    int fd[COUNTER_FILES]; /* -1: this kernel or hierarchy has no such file */
};

/* Opens the counter files below the directory `leaf` (-1: none). */
void counters_open(struct counters *counters, int leaf);

struct findings {
    bool populated; /* the leaf still has processes */
    bool eventful;  /* an OOM kill or a refused fork was counted */
};

/* Appends "NAME\0TEXT\0" of every file to the message and returns what follows from them. */
struct findings counters_read(const struct counters *counters, struct message *m);

#endif
