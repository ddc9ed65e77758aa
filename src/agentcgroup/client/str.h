/* The few string functions the client needs. All of them stop at the length or the NUL they are given. */
#ifndef ACG_STR_H
#define ACG_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A piece of somebody else's text, not NUL-terminated. */
struct piece {
    const char *at;
    size_t size;
};

/* gcc emits calls to these three even in freestanding code. */
void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);

size_t str_length(const char *text);
bool str_equal(const char *a, const char *b);

/* Copies `text` and a NUL if both fit, else leaves an empty string: a cut name must not match another name. */
bool str_copy(char *to, size_t room, struct piece text);

/* Appends to the NUL-terminated `to`; false, and `to` unchanged, when there is no room. */
bool str_append(char *to, size_t room, const char *text);

/* Appends a number in decimal. */
bool str_append_number(char *to, size_t room, uint64_t number);

bool piece_equal(struct piece a, const char *text);
bool piece_begins(struct piece text, struct piece with);
bool piece_ends(struct piece text, struct piece with);
bool piece_contains(struct piece text, struct piece what);
struct piece piece_of(const char *text);

/* Takes the text up to `separator` (or the end) off the front of `rest`; false when nothing was left. */
bool piece_split(struct piece *rest, char separator, struct piece *part);

/* The value of a decimal number that fills the whole piece and is below 2^32; false for anything else. */
bool piece_number(struct piece text, uint32_t *value);

/* The value of the environment variable `name`, or NULL. */
const char *env_value(char *const *envp, struct piece name);

#endif
