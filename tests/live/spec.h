/* SPDX-License-Identifier: Apache-2.0
 *
 * Scripted interleavings: tests/live/README.md says how a .spec file reads.
 */
#pragma once

#include "stage.h"

enum { SPEC_CLIENTS_MAX = 8, SPEC_GOT_MAX = 4096, SPEC_ROLES_MAX = 8 };

/* ---- spec_file.c: lines to statements ---- */

typedef enum SpecKind {
    SPEC_SEND,   /* who> text */
    SPEC_EXPECT, /* who< text */
    SPEC_DO      /* text */
} SpecKind;

typedef struct SpecLine {
    SpecKind kind;
    int number; /* in its file */
    char *who;  /* SPEC_DO: empty */
    char *text;
} SpecLine;

typedef struct Spec {
    char *file, *name;
    SpecLine *lines; /* those of `setup` first */
    size_t line_count;
} Spec;

/* Reads all files and registers a test for each `test` of them; before main. */
const Spec *spec_of(const char *name); /* NULL: there is none */
size_t spec_count(void);
_Noreturn void spec_failed(const Spec *spec, const SpecLine *line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Takes the next word of a text; empty at its end. */
Slice spec_word(const char **io_text);

/* ---- spec_client.c: a client that writes down what it gets ---- */

typedef struct SpecClient {
    Stage *stage;
    char *name;
    int loop;
    LiveUser user;
    LiveFeatures features;
    LiveClient *client; /* NULL while away */
    char **held;        /* messages its socket has not taken */
    size_t held_count, held_bytes;
    bool is_stalled;
    char connection_id[LIVE_CONNECTION_ID_BYTES + 1];
    /* guarded by stage->lock */
    char *got[SPEC_GOT_MAX]; /* as `.spec` files show them */
    size_t got_count, got_at;
    uint64_t cursor; /* of the subscription "s" */
    uint64_t last_change_seq;
} SpecClient;

void spec_client_init(SpecClient *c, Stage *stage, const char *name, int loop);
void spec_client_done(SpecClient *c);
void spec_client_connect(SpecClient *c);
void spec_client_disconnect(SpecClient *c);
void spec_client_stall(SpecClient *c);
void spec_client_read(SpecClient *c);
/* "[id=…] [all] [last_rows=…] … SELECT …"; NULL or what is wrong with it. */
const char *spec_client_subscribe(SpecClient *c, const char *text);
void spec_client_unsubscribe(SpecClient *c, const char *id);
