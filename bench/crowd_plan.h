/* SPDX-License-Identifier: Apache-2.0
 *
 * What a crowd of sockets is to do, what it is asked meanwhile, and what its processes share.
 */
#pragma once

#include "stats.h"
#include "wire_socket.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/epoll.h>

enum {
    CROWD_READ_BYTES = 2 * 1024 * 1024,
    CROWD_SAMPLES_MAX = 1024 * 1024, /* of one process */
    CROWD_EVENTS = 512,
    SUBSCRIBES_OUT_MAX = 16, /* subscriptions of one socket that wait for their ack */
    SOCKETS_OF_ADDRESS = 2000,
};

typedef enum CrowdKind { CROWD_LIVE, CROWD_PLAIN, CROWD_REDIS } CrowdKind;

typedef struct CrowdPlan {
    CrowdKind kind;
    int port;
    const char *token;
    const char *sql;                 /* %u in it becomes the number of the subscription */
    const char *options;             /* JSON, or NULL: no first rows */
    unsigned sockets, subscriptions; /* in all; of each socket */
    bool own_ids;                    /* each socket has subscription ids of its own */
    bool take_times;                 /* a change holds "at":"<ns>", when its INSERT was sent */
    bool tally;                      /* sum up the ids that are seen and gone */
    size_t message_bytes;            /* of one Redis message */
} CrowdPlan;

typedef enum OrderKind { AWAIT_READY, AWAIT_CHANGES, AWAIT_IDS, CHECK_TALLY } OrderKind;

typedef struct CrowdOrder {
    OrderKind kind;
    uint64_t target;             /* of this process */
    uint64_t seen_sum, gone_sum; /* CHECK_TALLY: of each socket */
} CrowdOrder;

typedef struct CrowdShared {
    _Atomic uint64_t ready, changes, ids, bytes, wrong_sockets, sample_count;
    uint32_t samples_100ns[CROWD_SAMPLES_MAX];
} CrowdShared;

typedef struct Member {
    int fd;
    unsigned number, asked, acked; /* subscriptions asked for and acknowledged */
    bool is_open;                  /* the answer to the upgrade or to SUBSCRIBE has come */
    uint32_t rest_bytes;
    char *rest; /* of a frame that is not whole */
    uint64_t seen_sum, gone_sum;
} Member;

typedef struct CrowdProcess {
    const CrowdPlan *plan;
    CrowdShared *shared;
    Member *members;
    unsigned first, count;
    int epoll, orders;
    bool has_order;
    CrowdOrder order;
    char *in;
} CrowdProcess;
