/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs tests/sql/<name>.test against the library, without a server, in every mode. The same file
 * must give the same answers natively, through DuckDB, and with its rows flushed to segments in
 * between. A file is
 *
 *     # name: insert
 *     # description: what it would catch
 *     session <user> <role> [<namespace>]   who runs what follows
 *     params <value> …                      for the next request only: 1, 1.5, true, null, 'text'
 *     flush                                 in the mode "flushed", everything goes to segments here
 *     restart                               the database is closed and opened again, in every mode
 *     ok                                    the request below succeeds
 *     message … ---- text                   it succeeds with this message (one line per statement)
 *     error … ---- E_CODE [text]            it fails with this code, and this text is in it
 *     query [rowsort] [names] … ---- rows   it gives these rows, values separated by |;
 *                                           `names` puts "id BIGINT pk|name TEXT nn" first
 *
 * A request goes on to ---- or an empty line, an answer to an empty line. Lines with # are
 * comments. Every file runs in a database of its own, so that files do not see each other.
 */
#include "sql_test.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct File {
    const char *name;
    char **lines;
    size_t count;
    bool has_flush;
} File;

typedef struct Player {
    World *world;
    Mode mode;
    const File *file;
    const char *folder; /* of the database */
    size_t line;        /* of the current command, from 0 */
    Caller caller;
    bool failed;
} Player;

static void failure(Player *p, const char *what, const char *got)
{
    fprintf(stderr, "FAILED %s:%zu (%s): %s\n%s%s", p->file->name, p->line + 1, mode_names[p->mode],
            what, got ? got : "", got ? "\n" : "");
    p->failed = true;
}

/* Joins the lines up to an empty one or a separator; leaves *io at that line. */
static char *block(const File *file, size_t *io)
{
    Buffer text = {0};
    for (; *io < file->count && file->lines[*io][0] && strcmp(file->lines[*io], "----") != 0;
         ++*io) {
        if (text.size)
            buffer_add_char(&text, '\n');
        buffer_add_text(&text, file->lines[*io]);
    }
    char *joined = x_text(buffer_slice(&text));
    buffer_done(&text);
    return joined;
}

static int compare_lines(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *answer_of(Outcome *outcome, bool sort, bool names)
{
    if (sort && outcome->row_count)
        qsort(outcome->rows, outcome->row_count, sizeof *outcome->rows, compare_lines);
    Buffer text = {0};
    if (names)
        buffer_add_slice(&text, buffer_slice(&outcome->columns));
    for (size_t i = 0; i < outcome->row_count; i++)
        buffer_printf(&text, "%s%s", i || names ? "\n" : "", outcome->rows[i]);
    char *joined = x_text(buffer_slice(&text));
    buffer_done(&text);
    return joined;
}

/* "E_CODE" or "E_CODE part of the text". */
static bool error_matches(const Outcome *outcome, const char *want)
{
    if (outcome->code == OK)
        return false;
    size_t word = strcspn(want, " ");
    if (strncmp(outcome->error, want, word) != 0 || outcome->error[word] != ' ')
        return false;
    return !want[word] || strstr(outcome->error + word, want + word + 1) != NULL;
}

static void check(Player *p, const char *command, Outcome *outcome, const char *want)
{
    if (strncmp(command, "error", 5) == 0) {
        if (!error_matches(outcome, want))
            failure(p, "another error was expected; got",
                    outcome->error ? outcome->error : "success");
        return;
    }
    if (outcome->code != OK) {
        failure(p, "it should succeed; got", outcome->error);
        return;
    }
    char *got = NULL;
    if (strncmp(command, "message", 7) == 0)
        got = x_text(buffer_slice(&outcome->messages));
    else if (strncmp(command, "query", 5) == 0)
        got = answer_of(outcome, strstr(command, "rowsort"), strstr(command, "names"));
    if (got && strcmp(got, want) != 0)
        failure(p, "another answer was expected; got", got);
    free(got);
}

static size_t run_request(Player *p)
{
    const File *file = p->file;
    const char *command = file->lines[p->line];
    size_t at = p->line + 1;
    char *sql = block(file, &at);
    char *want = NULL;
    if (at < file->count && !strcmp(file->lines[at], "----")) {
        at++;
        want = block(file, &at);
    }
    Outcome outcome;
    run_sql(p->world, p->mode, &p->caller, sql, &outcome);
    check(p, command, &outcome, want ? want : "");
    p->caller.param_count = 0;
    outcome_done(&outcome);
    free(sql);
    free(want);
    return at;
}

static Slice next_word(char **io)
{
    *io += strspn(*io, " ");
    char *start = *io;
    if (*start == '\'') {
        char *end = strchr(start + 1, '\'');
        *io = end ? end + 1 : start + strlen(start);
    } else {
        *io += strcspn(*io, " ");
    }
    return slice_of(start, (size_t)(*io - start));
}

static void set_session(Player *p, char *rest)
{
    p->caller.user_id = next_word(&rest);
    Slice role = next_word(&rest);
    if (!role_of_text(role, &p->caller.role))
        failure(p, "unknown role", rest);
    Slice name = next_word(&rest);
    p->caller.namespace_name = name.size ? name : SLICE("default");
}

static void set_params(Player *p, char *rest)
{
    p->caller.param_count = 0;
    for (Slice word = next_word(&rest); word.size; word = next_word(&rest)) {
        Value *value = &p->caller.params[p->caller.param_count++];
        if (word.data[0] == '\'')
            *value = value_text(slice_of(word.data + 1, word.size - 2));
        else if (slice_equal(word, SLICE("null")))
            *value = value_null(TYPE_NULL);
        else if (slice_equal(word, SLICE("true")) || slice_equal(word, SLICE("false")))
            *value = value_boolean(word.data[0] == 't');
        else if (memchr(word.data, '.', word.size))
            *value = value_double(strtod(word.data, NULL));
        else
            *value = value_integer(TYPE_BIGINT, strtoll(word.data, NULL, 10));
    }
}

static size_t run_command(Player *p)
{
    char *line = p->file->lines[p->line];
    static const char *const requests[] = {"ok", "message", "error", "query"};
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++)
        if (strncmp(line, requests[i], strlen(requests[i])) == 0)
            return run_request(p);
    if (strncmp(line, "session ", 8) == 0)
        set_session(p, line + 8);
    else if (strncmp(line, "params ", 7) == 0)
        set_params(p, line + 7);
    else if (strcmp(line, "flush") == 0) {
        if (p->mode == MODE_COLD)
            world_flush(p->world);
    } else if (strcmp(line, "restart") == 0) {
        world_close(p->world);
        *p->world = (World){0};
        world_open(p->world, p->folder);
    } else if (line[0] && line[0] != '#')
        failure(p, "unknown command", line);
    return p->line + 1;
}

static bool play(const File *file, Mode mode, const char *folder)
{
    World world = {0};
    char path[4096];
    snprintf(path, sizeof path, "%s/%s-%s", folder, file->name, mode_names[mode]);
    world_open(&world, path);
    Player player = {.world = &world, .mode = mode, .file = file, .folder = path};
    player.caller =
        (Caller){.user_id = SLICE("root"), .role = ROLE_SYSTEM, .namespace_name = SLICE("default")};
    while (player.line < file->count)
        player.line = run_command(&player);
    world_close(&world);
    return !player.failed;
}

static void read_lines(File *file, const char *path)
{
    FILE *in = fopen(path, "r");
    must(in != NULL);
    char *line = NULL;
    size_t size = 0;
    for (ssize_t n; (n = getline(&line, &size, in)) >= 0;) {
        while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r'))
            line[--n] = 0;
        file->lines = x_grow(file->lines, (file->count + 1) * sizeof *file->lines);
        file->lines[file->count++] = x_text(slice_of(line, (size_t)n));
        file->has_flush |= strcmp(line, "flush") == 0;
    }
    free(line);
    fclose(in);
}

static void run_file(const char *folder, const char *tests, const char *name, int *passed,
                     int *failed)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", tests, name);
    File file = {.name = name};
    read_lines(&file, path);
    for (Mode mode = 0; mode < MODE_COUNT; mode++) {
        if (mode == MODE_COLD && !file.has_flush)
            continue;
        if (play(&file, mode, folder))
            ++*passed;
        else
            ++*failed;
    }
    for (size_t i = 0; i < file.count; i++)
        free(file.lines[i]);
    free(file.lines);
}

static bool wanted(const char *name, int argc, char **argv)
{
    for (int i = 3; i < argc; i++)
        if (strstr(name, argv[i]))
            return true;
    return argc <= 3;
}

static int is_test(const struct dirent *entry)
{
    const char *dot = strrchr(entry->d_name, '.');
    return dot && strcmp(dot, ".test") == 0;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: %s <scratch folder> <folder of tests> [name …]\n", argv[0]);
        return 2;
    }
    int passed = 0, failed = 0;
    struct dirent **entries = NULL;
    int count = scandir(argv[2], &entries, is_test, alphasort);
    for (int i = 0; i < count; i++) {
        if (wanted(entries[i]->d_name, argc, argv))
            run_file(argv[1], argv[2], entries[i]->d_name, &passed, &failed);
        free(entries[i]);
    }
    free(entries);
    if (wanted("random", argc, argv)) {
        char path[4096];
        snprintf(path, sizeof path, "%s/random", argv[1]);
        World world = {0};
        world_open(&world, path);
        const char *queries = getenv("KALAM_SQL_QUERIES");
        run_random(&world, queries ? (int)strtol(queries, NULL, 10) : 500, &passed, &failed);
        world_close(&world);
    }
    printf("%d passed, %d failed\n", passed, failed);
    return failed || !passed;
}
