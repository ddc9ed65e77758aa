/* What a process is called: the names that the rule table compares (docs/reference/client-protocol.md). */
#ifndef ACG_NAMES_H
#define ACG_NAMES_H

#include <stdint.h>

#include "str.h"

enum { NAME_SIZE = 64 };

struct ancestor {
    uint32_t pid;
    char name[NAME_SIZE];   /* basename of the first word of the command line */
    char script[NAME_SIZE]; /* for an interpreter, the script or module it runs; else empty */
};

/* Fills both names from the bytes of /proc/PID/cmdline. A name longer than 63 bytes is left empty. */
void names_of(struct piece cmdline, struct ancestor *who);

#endif
