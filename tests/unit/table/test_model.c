/* SPDX-License-Identifier: Apache-2.0
 *
 * Lives of one database against the model (model.h), each in a process of its own: this program
 * again. Half of them end by SIGKILL, also in the middle of a commit, a flush or a trim.
 *
 * KALAM_MODEL_STEPS (default 250) is the length, KALAM_TEST_SEED repeats a run's choices.
 */
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../test.h"
#include "model.h"

#define MODEL_FILE "KALAM_MODEL_FILE"

enum { STEPS_DEFAULT = 250 };

/* Starts this program again for one life; its exit status, or -1 when it was killed. Not by fork():
 * DuckDB's allocator takes all of its locks for that, more than the thread sanitizer can count. */
static int start_life(const char *path)
{
    pid_t child = 0;
    posix_spawn_file_actions_t actions;
    char self[] = "/proc/self/exe", name[] = "that differs from a model";
    char *arguments[] = {self, name, NULL};
    setenv(MODEL_FILE, path, 1);
    CHECK_INT(posix_spawn_file_actions_init(&actions), 0);
    CHECK_INT(posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0), 0);
    CHECK_INT(posix_spawn(&child, self, &actions, NULL, arguments, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    unsetenv(MODEL_FILE);
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    if (WIFSIGNALED(status)) {
        CHECK_INT(WTERMSIG(status), SIGKILL);
        return -1;
    }
    return WEXITSTATUS(status);
}

static void run_lives(void)
{
    char path[300];
    const char *steps = getenv("KALAM_MODEL_STEPS");
    snprintf(path, sizeof path, "%s/model", test_folder());
    model_create(path, test_random(), steps ? strtoull(steps, NULL, 10) : STEPS_DEFAULT);
    while (model_steps_left() > 0)
        CHECK(start_life(path) <= 0);
    if (steps)
        model_print_figures();
    model_unmap();
}

TEST("a row, a past state or a change that differs from a model of every version, crashes included")
{
    const char *path = getenv(MODEL_FILE);
    if (!path) {
        run_lives();
        return;
    }
    char folder[300];
    snprintf(folder, sizeof folder, "%s-data", path);
    model_map(path);
    CHECK(model_live(folder, MODEL_RANDOM));
    model_unmap();
}
