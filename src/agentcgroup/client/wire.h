/* The messages between client and controller, packed and unpacked (docs/reference/client-protocol.md). */
#ifndef ACG_WIRE_H
#define ACG_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "str.h"

enum wire_type {
    WIRE_REQUEST = 1,
    WIRE_GRANT = 2,
    WIRE_START = 3,
    WIRE_END = 4,
    WIRE_DONE = 5,
    WIRE_NOTE = 6,
    WIRE_WAIT = 7,
    WIRE_REFUSE = 8,
};

enum {
    WIRE_MAGIC = 0x31474341, /* "ACG1" */
    WIRE_HEADER = 16,
    WIRE_MAX = 98304,
    WIRE_ARGV_MAX = 65536,
    WIRE_NOTE_ARGV_MAX = 4096,
    WIRE_HINT_MAX = 4096,
    WIRE_END_POPULATED = 1, /* flags of END */
    WIRE_END_WAITS = 2,
    WIRE_WAIT_MAX_MS = 600000,
    LEAF_MAX = 31,
    LEAF_SIZE = LEAF_MAX + 1, /* one entry of the pool */
};

/* A message under construction. `bytes` and `room` are the caller's; what does not fit sets `full`. */
struct message {
    char *bytes;
    size_t room;
    size_t size;
    bool full;
};

void wire_begin(struct message *m, char *bytes, size_t room, enum wire_type type, uint32_t sender);
void wire_u32(struct message *m, uint32_t value);
void wire_u64(struct message *m, uint64_t value);
void wire_blob(struct message *m, const void *data, size_t size);

/* Opens a blob that is filled with wire_bytes; the value goes to wire_blob_end. */
size_t wire_blob_begin(struct message *m);
void wire_bytes(struct message *m, const void *data, size_t size);
void wire_blob_end(struct message *m, size_t begin);

/* Writes the size into the header; false when the message did not fit. */
bool wire_end(struct message *m);

/* The type of a whole packet, or 0 when it is none of ours. */
uint16_t wire_type_of(const char *bytes, size_t size);

/* The only blob of a GRANT, a DONE or a REFUSE; false when the packet is malformed. */
bool wire_one_blob(const char *bytes, size_t size, struct piece *blob);

/* The milliseconds of a WAIT, at most WIRE_WAIT_MAX_MS; false when the packet is malformed. */
bool wire_wait_ms(const char *bytes, size_t size, uint32_t *ms);

/* Copies a leaf name of 1 to 31 of a-z, 0-9 and '-' into `name` (LEAF_SIZE); false for anything else, since a
 * name becomes a path. The name may be followed by NULs only. */
bool wire_leaf_name(struct piece text, char *name);

#endif
