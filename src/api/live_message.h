/* SPDX-License-Identifier: Apache-2.0
 *
 * What clients say on the WebSocket: JSON texts to plain structs (docs/websocket.md).
 */
#pragma once

#include "live/live.h"

typedef enum ClientMessageKind {
    MESSAGE_AUTHENTICATE, /* token, serialization, compression, features */
    MESSAGE_SUBSCRIBE,    /* request */
    MESSAGE_UNSUBSCRIBE,  /* id */
    MESSAGE_NEXT_BATCH,   /* nothing: pages are pushed */
    MESSAGE_PING,
} ClientMessageKind;

typedef struct ClientMessage {
    ClientMessageKind kind;
    Slice token, serialization, compression;
    LiveFeatures features;
    bool has_features; /* the client sent a list of them */
    LiveRequest request;
    Slice id;
} ClientMessage;

/* Announces what has that name; unknown names are those of newer clients. */
void live_features_add(LiveFeatures *features, Slice name);

/* Texts live in the arena. E_PROTOCOL with the reason for anything that is not a message. Numbers
 * keep all 63 bits; a seq may be a number or a string of digits. */
CHECKED Code live_message_parse(Slice text, Arena *arena, ClientMessage *out, Error *e);
