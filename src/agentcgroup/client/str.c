/* String functions; the contract is in str.h. */
#include "str.h"

#ifndef HOSTED

/* Keeps the compiler from recognizing a loop as what it implements, and calling itself. */
#define AS_WRITTEN __asm__ volatile("" : : : "memory")

void *memcpy(void *restrict to, const void *restrict from, size_t size) {
#ifdef __x86_64__
    void *at = to;
    __asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(size) : : "memory");
#else
    for (size_t i = 0; i < size; i++) {
        ((char *)to)[i] = ((const char *)from)[i];
        AS_WRITTEN;
    }
#endif
    return to;
}

void *memset(void *to, int byte, size_t size) {
#ifdef __x86_64__
    void *at = to;
    __asm__ volatile("rep stosb" : "+D"(at), "+c"(size) : "a"(byte) : "memory");
#else
    for (size_t i = 0; i < size; i++) {
        ((char *)to)[i] = (char)byte;
        AS_WRITTEN;
    }
#endif
    return to;
}

int memcmp(const void *a, const void *b, size_t size) {
    const unsigned char *x = a, *y = b;
    for (size_t i = 0; i < size; i++)
        if (x[i] != y[i]) return x[i] < y[i] ? -1 : 1;
    return 0;
}

#endif

size_t str_length(const char *text) {
    size_t size = 0;
    while (text[size]) size++;
    return size;
}

bool str_equal(const char *a, const char *b) { return piece_equal(piece_of(a), b); }

bool str_copy(char *to, size_t room, struct piece text) {
    bool fits = text.size < room;
    if (!fits) text.size = 0;
    if (text.size > 0) memcpy(to, text.at, text.size);
    to[text.size] = 0;
    return fits;
}

bool str_append(char *to, size_t room, const char *text) {
    size_t used = str_length(to), size = str_length(text);
    if (size >= room - used) return false;
    memcpy(to + used, text, size + 1);
    return true;
}

bool str_append_number(char *to, size_t room, uint64_t number) {
    char digits[21];
    char *at = digits + sizeof digits - 1;
    *at = 0;
    do {
        *--at = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    return str_append(to, room, at);
}

struct piece piece_of(const char *text) { return (struct piece){text, str_length(text)}; }

bool piece_equal(struct piece a, const char *text) {
    size_t size = str_length(text);
    return a.size == size && memcmp(a.at, text, size) == 0;
}

bool piece_begins(struct piece text, struct piece with) {
    return text.size >= with.size && memcmp(text.at, with.at, with.size) == 0;
}

bool piece_ends(struct piece text, struct piece with) {
    return text.size >= with.size && memcmp(text.at + (text.size - with.size), with.at, with.size) == 0;
}

bool piece_contains(struct piece text, struct piece what) {
    if (what.size == 0) return true;
    for (size_t i = 0; text.size - i >= what.size && i < text.size; i++)
        if (text.at[i] == what.at[0] && memcmp(text.at + i, what.at, what.size) == 0) return true;
    return false;
}

bool piece_split(struct piece *rest, char separator, struct piece *part) {
    if (rest->at == NULL) return false;
    size_t size = 0;
    while (size < rest->size && rest->at[size] != separator) size++;
    *part = (struct piece){rest->at, size};
    if (size == rest->size)
        *rest = (struct piece){NULL, 0};
    else
        *rest = (struct piece){rest->at + size + 1, rest->size - size - 1};
    return true;
}

bool piece_number(struct piece text, uint32_t *value) {
    uint64_t number = 0;
    if (text.size == 0 || text.size > 10) return false;
    for (size_t i = 0; i < text.size; i++) {
        if (text.at[i] < '0' || text.at[i] > '9') return false;
        number = number * 10 + (uint64_t)(text.at[i] - '0');
    }
    *value = (uint32_t)number;
    return number <= UINT32_MAX;
}

const char *env_value(char *const *envp, struct piece name) {
    for (; *envp; envp++) {
        size_t i = 0;
        while (i < name.size && (*envp)[i] && (*envp)[i] == name.at[i]) i++;
        if (i == name.size && (*envp)[i] == '=') return *envp + i + 1;
    }
    return NULL;
}
