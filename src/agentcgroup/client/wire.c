/* Packing and unpacking of messages; the contract is in wire.h. */
#include "wire.h"

static void put(struct message *m, const void *data, size_t size) {
    if (m->full || size > m->room - m->size) {
        m->full = true;
        return;
    }
    if (size > 0) memcpy(m->bytes + m->size, data, size);
    m->size += size;
}

static uint32_t get_u32(const char *at) {
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

void wire_begin(struct message *m, char *bytes, size_t room, enum wire_type type, uint32_t sender) {
    *m = (struct message){.bytes = bytes, .room = room};
    wire_u32(m, WIRE_MAGIC);
    wire_u32(m, (uint32_t)type); /* u16 type and u16 flags, which are 0 */
    wire_u32(m, 0);              /* the size, see wire_end */
    wire_u32(m, sender);
}

void wire_u32(struct message *m, uint32_t value) { put(m, &value, sizeof value); }

void wire_u64(struct message *m, uint64_t value) { put(m, &value, sizeof value); }

void wire_bytes(struct message *m, const void *data, size_t size) { put(m, data, size); }

void wire_blob(struct message *m, const void *data, size_t size) {
    wire_u32(m, (uint32_t)size);
    put(m, data, size);
}

size_t wire_blob_begin(struct message *m) {
    wire_u32(m, 0);
    return m->size;
}

void wire_blob_end(struct message *m, size_t begin) {
    if (m->full) return;
    uint32_t size = (uint32_t)(m->size - begin);
    memcpy(m->bytes + begin - sizeof size, &size, sizeof size);
}

bool wire_end(struct message *m) {
    if (m->full) return false;
    uint32_t size = (uint32_t)m->size;
    memcpy(m->bytes + 8, &size, sizeof size);
    return true;
}

uint16_t wire_type_of(const char *bytes, size_t size) {
    if (size < WIRE_HEADER || size > WIRE_MAX) return 0;
    if (get_u32(bytes) != WIRE_MAGIC || get_u32(bytes + 8) != size) return 0;
    return (uint16_t)(get_u32(bytes + 4) & 0xffff);
}

bool wire_one_blob(const char *bytes, size_t size, struct piece *blob) {
    if (wire_type_of(bytes, size) == 0 || size < WIRE_HEADER + 4) return false;
    uint32_t length = get_u32(bytes + WIRE_HEADER);
    if (length != size - WIRE_HEADER - 4) return false;
    *blob = (struct piece){bytes + WIRE_HEADER + 4, length};
    return true;
}

bool wire_wait_ms(const char *bytes, size_t size, uint32_t *ms) {
    if (wire_type_of(bytes, size) != WIRE_WAIT || size != WIRE_HEADER + 4) return false;
    *ms = get_u32(bytes + WIRE_HEADER);
    if (*ms > WIRE_WAIT_MAX_MS) *ms = WIRE_WAIT_MAX_MS;
    return true;
}

bool wire_leaf_name(struct piece text, char *name) {
    while (text.size > 0 && text.at[text.size - 1] == 0) text.size--;
    if (text.size == 0 || text.size > LEAF_MAX) return false;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.at[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-') return false;
    }
    return str_copy(name, LEAF_SIZE, text);
}
