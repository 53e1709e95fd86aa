/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading client messages. Jansson builds a tree, which is gone when live_message_parse returns.
 */
#include "api/live_message.h"

#include <jansson.h>

#include "api/json_tree.h"
#include "api/parameters.h"
#include "data/json.h"

static void release(json_t **json)
{
    json_decref(*json);
}

typedef struct Reading {
    Arena *arena;
    Error *e;
} Reading;

static CHECKED Code missing(Reading *r, const char *field)
{
    return fail(r->e, E_PROTOCOL, "Invalid message: missing field `%s`", field);
}

static CHECKED Code wrong(Reading *r, const char *field, const char *wanted)
{
    return fail(r->e, E_PROTOCOL, "Invalid message: field `%s` must be %s", field, wanted);
}

static Slice copy_text(Reading *r, const json_t *value)
{
    return arena_copy(r->arena, slice_of(json_string_value(value), json_string_length(value)));
}

static Code read_text(Reading *r, const json_t *object, const char *field, Slice *out)
{
    const json_t *value = json_object_get(object, field);
    if (!value)
        return missing(r, field);
    if (!json_is_string(value))
        return wrong(r, field, "a string");
    *out = copy_text(r, value);
    return OK;
}

static bool digits_of(const char *text, size_t size, uint64_t *out)
{
    uint64_t n = 0;
    if (size == 0 || size > 19)
        return false;
    for (size_t i = 0; i < size; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        n = n * 10 + (uint64_t)(text[i] - '0');
    }
    *out = n;
    return n <= INT64_MAX;
}

/* A count or a seq: a number, or its digits in a string. Absent and null are the same. */
static Code read_number(Reading *r, const json_t *object, const char *field, bool *out_has,
                        uint64_t *out)
{
    const json_t *value = json_object_get(object, field);
    if (!value || json_is_null(value))
        return OK;
    bool is_text = json_is_string(value);
    if (is_text && !digits_of(json_string_value(value), json_string_length(value), out))
        return wrong(r, field, "a number from 0 to 9223372036854775807");
    if (!is_text && (!json_is_integer(value) || json_integer_value(value) < 0))
        return wrong(r, field, "a number from 0 to 9223372036854775807");
    if (!is_text)
        *out = (uint64_t)json_integer_value(value);
    *out_has = true;
    return OK;
}

void live_features_add(LiveFeatures *features, Slice name)
{
    features->replay |= slice_equal(name, SLICE("replay"));
    features->seq_text |= slice_equal(name, SLICE("seq_text"));
    features->schema |= slice_equal(name, SLICE("schema"));
    features->resnapshot |= slice_equal(name, SLICE("resnapshot"));
    features->token_expiring |= slice_equal(name, SLICE("token_expiring"));
}

static Code read_features(Reading *r, const json_t *list, ClientMessage *out)
{
    if (!list || json_is_null(list))
        return OK;
    if (!json_is_array(list))
        return wrong(r, "features", "an array of strings");
    out->has_features = true;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *name = json_array_get(list, i);
        if (!json_is_string(name))
            return wrong(r, "features", "an array of strings");
        live_features_add(&out->features,
                          slice_of(json_string_value(name), json_string_length(name)));
    }
    return OK;
}

static Code read_authenticate(Reading *r, const json_t *root, ClientMessage *out)
{
    Slice method;
    TRY(read_text(r, root, "method", &method));
    if (!slice_equal(method, SLICE("jwt")))
        return wrong(r, "method", "\"jwt\"");
    TRY(read_text(r, root, "token", &out->token));
    const json_t *protocol = json_object_get(root, "protocol");
    if (!protocol)
        return missing(r, "protocol");
    if (!json_is_object(protocol))
        return wrong(r, "protocol", "an object");
    TRY(read_text(r, protocol, "serialization", &out->serialization));
    TRY(read_text(r, protocol, "compression", &out->compression));
    if (!slice_equal(out->serialization, SLICE("json")) &&
        !slice_equal(out->serialization, SLICE("msgpack")))
        return wrong(r, "serialization", "\"json\" or \"msgpack\"");
    if (!slice_equal(out->compression, SLICE("none")) &&
        !slice_equal(out->compression, SLICE("gzip")))
        return wrong(r, "compression", "\"none\" or \"gzip\"");
    return read_features(r, json_object_get(protocol, "features"), out);
}

static Code read_subscribe(Reading *r, const json_t *root, ClientMessage *out)
{
    const json_t *subscription = json_object_get(root, "subscription");
    LiveRequest *request = &out->request;
    if (!subscription)
        return missing(r, "subscription");
    if (!json_is_object(subscription))
        return wrong(r, "subscription", "an object");
    TRY(read_text(r, subscription, "id", &request->id));
    TRY(read_text(r, subscription, "sql", &request->sql));
    TRY(parameters_read(json_object_get(subscription, "params"), r->arena, &request->params,
                        &request->param_count, r->e));
    const json_t *options = json_object_get(subscription, "options");
    if (!options || json_is_null(options))
        return OK;
    if (!json_is_object(options))
        return wrong(r, "options", "an object");
    request->has_options = true;
    TRY(read_number(r, options, "batch_size", &request->has_batch_size, &request->batch_size));
    TRY(read_number(r, options, "last_rows", &request->has_last_rows, &request->last_rows));
    TRY(read_number(r, options, "from_seq_id", &request->has_from, &request->from));
    return read_number(r, options, "from", &request->has_from, &request->from);
}

static Code read_message(Reading *r, const json_t *root, ClientMessage *out)
{
    Slice type;
    if (!json_is_object(root))
        return fail(r->e, E_PROTOCOL, "Invalid message: a message is an object");
    TRY(read_text(r, root, "type", &type));
    if (slice_equal(type, SLICE("authenticate"))) {
        out->kind = MESSAGE_AUTHENTICATE;
        return read_authenticate(r, root, out);
    }
    if (slice_equal(type, SLICE("subscribe"))) {
        out->kind = MESSAGE_SUBSCRIBE;
        return read_subscribe(r, root, out);
    }
    if (slice_equal(type, SLICE("unsubscribe")) || slice_equal(type, SLICE("next_batch"))) {
        out->kind = type.data[0] == 'u' ? MESSAGE_UNSUBSCRIBE : MESSAGE_NEXT_BATCH;
        return read_text(r, root, "subscription_id", &out->id);
    }
    if (slice_equal(type, SLICE("ping"))) {
        out->kind = MESSAGE_PING;
        return OK;
    }
    return fail(r->e, E_PROTOCOL, "Invalid message: unknown type");
}

Code live_message_parse(Slice text, Arena *arena, ClientMessage *out, Error *e)
{
    size_t offset;
    json_error_t error;
    ClientMessage message = {0};
    Reading reading = {arena, e};
    if (!json_text_valid(text, &offset)) /* also bounds the depth */
        return fail(e, E_PROTOCOL, "Invalid message: no JSON at byte %zu", offset);
    CLEANUP(release) json_t *root = json_tree_parse(text, JSON_DECODE_ANY, &error);
    if (!root)
        return fail(e, E_PROTOCOL, "Invalid message: %s", error.text);
    TRY(read_message(&reading, root, &message));
    *out = message;
    return OK;
}
