/* The client's parsers, fed with arbitrary bytes under ASan and UBSan.
 *
 * The first byte chooses the parser, the rest is its input. With FUZZ_MAIN, inputs come from stdin, each as a u32
 * length and its bytes (tests/client/test_fuzz.py); else libFuzzer drives. Every input lies in an allocation of
 * exactly its size, so that reading one byte too far is caught.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../config.h"
#include "../names.h"
#include "../proc.h"
#include "../rules.h"
#include "../wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(int holds, const char *what) {
    if (holds) return;
    fprintf(stderr, "fuzz: %s does not hold\n", what);
    abort();
}

static void wire(struct piece input) {
    struct piece blob;
    char name[LEAF_SIZE];
    uint32_t ms;
    wire_type_of(input.at, input.size);
    if (wire_wait_ms(input.at, input.size, &ms)) expect(ms <= WIRE_WAIT_MAX_MS, "a wait is bounded");
    if (wire_one_blob(input.at, input.size, &blob))
        expect(blob.at >= input.at && blob.at + blob.size == input.at + input.size, "a blob ends with its message");
    if (wire_leaf_name(input, name)) expect(strlen(name) > 0 && !strpbrk(name, "/. "), "a leaf name is no path");
}

/* A message builder in a small room: whatever is put in, it never writes beyond. */
static void builder(struct piece input) {
    size_t room = input.size > 0 ? (size_t)(unsigned char)input.at[0] : 0;
    char *bytes = malloc(room + !room);
    struct message m;
    wire_begin(&m, bytes, room, WIRE_END, 1);
    size_t begin = wire_blob_begin(&m);
    wire_bytes(&m, input.at, input.size);
    wire_blob_end(&m, begin);
    struct piece blob;
    if (wire_end(&m)) expect(wire_one_blob(bytes, m.size, &blob) && blob.size == input.size, "built is parsed");
    free(bytes);
}

/* The rule table up to the first NUL; then, NUL-separated, two command lines of ancestors (words with spaces) and
 * the arguments of the shell. */
static void rules(struct piece input) {
    static char empty[] = "";
    static struct lineage lineage;
    char *argv[8], *envp[] = {(char *)"CODEX_TOOL_CALL_ID=x", (char *)"A=", NULL};
    char *text = malloc(input.size + 1);
    if (input.size > 0) memcpy(text, input.at, input.size);
    text[input.size] = 0;
    struct piece rest = {text, input.size}, part;
    int argc = 0;
    if (!piece_split(&rest, 0, &part)) part = (struct piece){empty, 0};
    const char *table = part.at;
    lineage = (struct lineage){.count = 2, .complete = true};
    for (unsigned i = 0; i < 2; i++)
        if (piece_split(&rest, 0, &part)) names_of(part, &lineage.ancestor[i]);
    while (argc < 7 && piece_split(&rest, 0, &part)) argv[argc++] = (char *)part.at;
    argv[argc] = NULL;
    struct shell shell = {argc, argv, envp, argc % 2 == 0};
    struct verdict verdict;
    for (unsigned round = 0; round < 4; round++) {
        lineage.complete = round % 2 == 0;
        lineage.count = round < 2 ? 2 : 0;
        rules_decide(table, &lineage, &shell, &verdict);
        expect(strlen(verdict.agent) < sizeof verdict.agent, "an agent id ends");
        expect(verdict.label != NULL && strlen(verdict.label) >= 4, "there is a label");
    }
    free(text);
}

static void names(struct piece input) {
    struct ancestor who;
    names_of(input, &who);
    expect(strlen(who.name) < NAME_SIZE && strlen(who.script) < NAME_SIZE, "names end");
    expect(strchr(who.name, '/') == NULL && strchr(who.name, ' ') == NULL, "a name is a basename of a word");
}

static void proc(struct piece input) {
    static struct client_config block;
    struct piece path;
    char state;
    uint32_t parent;
    strcpy(block.agent_cgroup, "/s/agent");
    strcpy(block.calls_cgroup, "/s/calls");
    proc_stat_fields(input, &state, &parent);
    proc_place_of(input, &block);
    if (proc_unified(input, &path)) expect(path.at + path.size <= input.at + input.size, "a path is in its text");
}

static void block(struct piece input) {
    struct client_config copy;
    memset(&copy, 'x', sizeof copy);
    if (input.size > 0) memcpy(&copy, input.at, input.size < sizeof copy ? input.size : sizeof copy);
    if (config_sound(&copy)) expect(strlen(copy.rules) < sizeof copy.rules, "the strings of a sound block end");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static void (*const parsers[])(struct piece) = {wire, builder, rules, names, proc, block};
    if (size == 0) return 0;
    char *exact = malloc(size - 1 + (size == 1));
    memcpy(exact, data + 1, size - 1);
#ifdef FUZZ_MAIN
    /* The test of the test: this must be reported as a heap-buffer-overflow. */
    if (data[0] == 255) printf("%d\n", ((volatile char *)exact)[size - 1 + (size == 1)]);
#endif
    parsers[data[0] % (sizeof parsers / sizeof *parsers)]((struct piece){exact, size - 1});
    free(exact);
    return 0;
}

#ifdef FUZZ_MAIN

int main(void) {
    uint32_t size;
    unsigned long done = 0;
    while (fread(&size, sizeof size, 1, stdin) == 1) {
        uint8_t *data = malloc(size + !size);
        if (fread(data, 1, size, stdin) != size) return 3;
        LLVMFuzzerTestOneInput(data, size);
        free(data);
        done++;
    }
    printf("%lu\n", done);
    return 0;
}

#endif
