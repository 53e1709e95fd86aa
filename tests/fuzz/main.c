/* SPDX-License-Identifier: Apache-2.0
 *
 * Replays inputs through a fuzz target without libFuzzer: arguments are files, or folders of files.
 * Besides each input as it is, every shorter prefix of a small one is tried, because truncated
 * bytes are what decoders meet after a crash. Ends with "N passed, N failed"; an input that breaks
 * something ends the process, and is the last one named.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_BYTES_MAX = 16 * 1024 * 1024, PREFIXES_MAX = 512 };

static int inputs;

static void replay(const uint8_t *data, size_t size)
{
    /* An exact heap copy, so that a sanitizer sees a read past the end. */
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy)
        abort();
    if (size)
        memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static void replay_file(const char *path)
{
    printf("%s\n", path);
    fflush(stdout);
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        exit(1);
    }
    uint8_t *data = malloc(INPUT_BYTES_MAX);
    if (!data)
        abort();
    size_t size = fread(data, 1, INPUT_BYTES_MAX, file);
    fclose(file);
    replay(data, size);
    for (size_t n = 0; size <= PREFIXES_MAX && n < size; n++)
        replay(data, n);
    free(data);
    inputs++;
}

static void replay_path(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return; /* a target without a corpus still gets the empty input */
    if (!S_ISDIR(st.st_mode)) {
        replay_file(path);
        return;
    }
    struct dirent **names;
    int count = scandir(path, &names, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        char file[4096];
        snprintf(file, sizeof file, "%s/%s", path, names[i]->d_name);
        if (stat(file, &st) == 0 && S_ISREG(st.st_mode))
            replay_file(file);
        free(names[i]);
    }
    if (count >= 0)
        free(names);
}

int main(int argc, char **argv)
{
    replay((const uint8_t *)"", 0);
    inputs++;
    for (int i = 1; i < argc; i++)
        replay_path(argv[i]);
    printf("%d passed, 0 failed\n", inputs);
    return 0;
}
