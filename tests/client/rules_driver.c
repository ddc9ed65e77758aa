/* Reads cases from stdin and prints what the client's own rules make of them, for tests/client/test_rules.py.
 *
 * A case: u32 count of words, each u32 length and bytes: table, "1" or "0" (session leader), "1" or "0" (lineage
 * complete), number of ancestors, their command lines, number of arguments, those, the environment. The answer are
 * texts that end in NUL: label, agent, then name and script of each ancestor.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules.h"

static char *word(void) {
    uint32_t size;
    if (fread(&size, sizeof size, 1, stdin) != 1) exit(0);
    char *text = calloc(1, size + 1);
    if (size && fread(text, 1, size, stdin) != size) exit(1);
    return text;
}

static struct piece sized_word(void) {
    uint32_t size;
    if (fread(&size, sizeof size, 1, stdin) != 1) exit(1);
    char *text = calloc(1, size + 1);
    if (size && fread(text, 1, size, stdin) != size) exit(1);
    return (struct piece){text, size};
}

int main(void) {
    for (;;) {
        static struct lineage lineage;
        static char *argv[64], *envp[64];
        struct verdict verdict;
        char *table = word();
        struct shell shell = {.argv = argv, .envp = envp};
        shell.session_leader = *word() == '1';
        lineage.complete = *word() == '1';
        lineage.count = (unsigned)atoi(word());
        for (unsigned i = 0; i < lineage.count; i++) names_of(sized_word(), &lineage.ancestor[i]);
        shell.argc = atoi(word());
        for (int i = 0; i < shell.argc; i++) argv[i] = word();
        int variables = atoi(word());
        for (int i = 0; i < variables; i++) envp[i] = word();
        envp[variables] = NULL;
        rules_decide(table, &lineage, &shell, &verdict);
        printf("%s%c%s%c", verdict.label, 0, verdict.agent, 0);
        for (unsigned i = 0; i < lineage.count; i++)
            printf("%s%c%s%c", lineage.ancestor[i].name, 0, lineage.ancestor[i].script, 0);
        fflush(stdout);
    }
}
