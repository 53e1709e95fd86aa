/* SPDX-License-Identifier: Apache-2.0
 *
 * Chat rows that look like people's: an id that holds its time, one of some conversations, a role,
 * about 200 bytes of words drawn from a text file as often as they stand there, a time. Row n is
 * always the same row, so that a program can ask for the row it wrote without remembering it.
 */
#pragma once

#include "wire.h"

#include <ctype.h>
#include <time.h>

enum { CHAT_WORDS_MAX = 200 * 1000, CHAT_TEXT_BYTES = 200, CHAT_CONVERSATIONS = 200 };

typedef struct Chat {
    char *text; /* the file */
    char *words[CHAT_WORDS_MAX];
    uint32_t word_count;
} Chat;

static inline uint64_t chat_mix(uint64_t n)
{
    n += 0x9E3779B97F4A7C15u;
    n = (n ^ (n >> 30)) * 0xBF58476D1CE4E5B9u;
    n = (n ^ (n >> 27)) * 0x94D049BB133111EBu;
    return n ^ (n >> 31);
}

/* Every run of ASCII letters of the file is a word. */
static inline Chat *chat_open(const char *name)
{
    Chat *chat = calloc(1, sizeof *chat);
    FILE *file = fopen(name, "r");
    if (!chat || !file)
        die("open %s: %m", name);
    chat->text = malloc(WIRE_BYTES_MAX);
    size_t bytes = chat->text ? fread(chat->text, 1, WIRE_BYTES_MAX - 1, file) : 0;
    fclose(file);
    if (bytes == 0)
        die("%s holds no text", name);
    chat->text[bytes] = 0;
    for (char *at = chat->text; *at && chat->word_count < CHAT_WORDS_MAX;) {
        char *start = at;
        while (isalpha((unsigned char)*at))
            at++;
        if (at > start)
            chat->words[chat->word_count++] = start;
        if (*at)
            *at++ = 0;
    }
    if (chat->word_count < 100)
        die("%s holds only %u words", name, chat->word_count);
    return chat;
}

/* Milliseconds since 2024 at which row n was written: a message a second or so. */
static inline uint64_t chat_ms(uint64_t n)
{
    return 63072000000u + n * 1000 + chat_mix(n * 7 + 1) % 1000;
}

/* As SNOWFLAKE_ID() would have given it. */
static inline uint64_t chat_id(uint64_t n)
{
    return chat_ms(n) << 22 | (chat_mix(n * 7 + 2) % 4);
}

static inline uint32_t chat_conversation(uint64_t n)
{
    return (uint32_t)(chat_mix(n * 7 + 3) % CHAT_CONVERSATIONS) + 1;
}

/* `separator` between words; between 150 and 250 bytes, on average 200. Returns the bytes. */
static inline size_t chat_text(const Chat *chat, uint64_t n, char *out)
{
    uint64_t seed = chat_mix(n * 7 + 4);
    size_t wanted = CHAT_TEXT_BYTES - 50 + seed % 101, bytes = 0;
    for (uint64_t i = 1; bytes < wanted; i++) {
        const char *word = chat->words[chat_mix(seed + i) % chat->word_count];
        size_t size = strlen(word);
        if (size > 24)
            continue;
        if (bytes)
            out[bytes++] = ' ';
        memcpy(out + bytes, word, size);
        bytes += size;
    }
    out[wanted] = 0;
    return wanted;
}

static inline const char *chat_role(uint64_t n)
{
    return n % 2 ? "assistant" : "user";
}

/* "2026-01-01 00:00:00.123" */
static inline void chat_time(uint64_t n, char *out, size_t capacity)
{
    uint64_t ms = chat_ms(n);
    time_t seconds = (time_t)(1704067200u + ms / 1000);
    struct tm parts;
    gmtime_r(&seconds, &parts);
    size_t bytes = strftime(out, capacity, "%Y-%m-%d %H:%M:%S", &parts);
    snprintf(out + bytes, capacity - bytes, ".%03u", (unsigned)(ms % 1000));
}

/* "(id,conversation,'role','text','time')". Returns the bytes. */
static inline size_t chat_values(const Chat *chat, uint64_t n, char *out, size_t capacity)
{
    char text[2 * CHAT_TEXT_BYTES], at[40];
    chat_text(chat, n, text);
    chat_time(n, at, sizeof at);
    int bytes = snprintf(out, capacity, "(%llu,%u,'%s','%s','%s')", (unsigned long long)chat_id(n),
                         chat_conversation(n), chat_role(n), text, at);
    if (bytes < 0 || (size_t)bytes >= capacity)
        die("a row of more than %zu bytes", capacity);
    return (size_t)bytes;
}
