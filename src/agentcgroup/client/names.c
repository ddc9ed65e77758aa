/* Names of processes from their command lines; the contract is in names.h. */
#include "names.h"

/* Options that take the next word as their value; without them, `node --import tsx agent.ts` would be a "tsx". */
static const char *const WITH_VALUE[] = {"-X", "-W", "-r", "-I", "--require", "--import", "--loader", NULL};

/* Options after which there is no script: the program is in the next word. */
static const char *const NO_SCRIPT[] = {"-c", "-e", "-p", "--eval", "--print", "-", NULL};

static bool listed(struct piece word, const char *const *list) {
    for (; *list; list++)
        if (piece_equal(word, *list)) return true;
    return false;
}

static struct piece basename_of(struct piece path) {
    size_t begin = path.size;
    while (begin > 0 && path.at[begin - 1] != '/') begin--;
    return (struct piece){path.at + begin, path.size - begin};
}

enum language { NONE, PLAIN, PYTHON, SUBCOMMANDS };

static enum language language_of(struct piece name) {
    if (piece_begins(name, piece_of("python"))) return PYTHON;
    if (piece_equal(name, "deno") || piece_equal(name, "bun")) return SUBCOMMANDS;
    if (piece_equal(name, "node") || piece_equal(name, "ruby") || piece_equal(name, "perl")) return PLAIN;
    return NONE;
}

/* `-m agent`, `-magent` and clusters such as `-um agent`: the module, from this word or the next ones. */
static bool module_of(struct piece word, struct piece *rest, char separator, struct piece *module) {
    if (word.size < 2 || word.at[1] == '-') return false;
    for (size_t i = 1; i < word.size; i++) {
        if (word.at[i] != 'm') continue;
        *module = (struct piece){word.at + i + 1, word.size - i - 1};
        return module->size > 0 || piece_split(rest, separator, module);
    }
    return false;
}

static struct piece script_of(enum language language, struct piece rest, char separator) {
    struct piece word, skipped, nothing = {rest.at, 0};
    while (piece_split(&rest, separator, &word)) {
        if (word.size == 0) continue;
        if (listed(word, NO_SCRIPT)) return nothing;
        if (listed(word, WITH_VALUE)) {
            if (!piece_split(&rest, separator, &skipped)) return nothing;
        } else if (word.at[0] != '-') {
            if (language == SUBCOMMANDS && piece_equal(word, "run")) continue;
            return basename_of(word);
        } else if (language == PYTHON && module_of(word, &rest, separator, &word)) {
            return word;
        }
    }
    return nothing;
}

void names_of(struct piece cmdline, struct ancestor *who) {
    who->name[0] = who->script[0] = 0;
    size_t end = 0;
    while (end < cmdline.size && cmdline.at[end] && cmdline.at[end] != ' ') end++;
    struct piece name = basename_of((struct piece){cmdline.at, end});
    if (name.size > 0 && name.at[0] == '-') { /* a login shell */
        name.at++;
        name.size--;
    }
    str_copy(who->name, sizeof who->name, name);
    enum language language = language_of(name);
    if (language == NONE || end == cmdline.size) return;
    /* A title (npm, claude) is one text with spaces up to the first NUL; a command line as the kernel made it is split
     * at NUL only, so that a script in a folder with a space in its name keeps its name. */
    char separator = cmdline.at[end];
    struct piece rest = {cmdline.at + end + 1, cmdline.size - end - 1};
    struct piece title = {NULL, 0};
    if (separator == ' ' && piece_split(&rest, 0, &title)) rest = title;
    str_copy(who->script, sizeof who->script, script_of(language, rest, separator));
}
