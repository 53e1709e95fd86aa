/* SPDX-License-Identifier: Apache-2.0
 *
 * The bytes of messages: clients of the original parse them.
 */
#include "live/query_int.h"
#include "test.h"

static Column columns[] = {
    {.field_id = 1, .name = {"id", 2}, .type = TYPE_BIGINT, .not_null = true, .primary_key = true},
    {.field_id = 2, .name = {"v", 1}, .type = TYPE_TEXT},
    {.field_id = 3, .name = {"n", 1}, .type = TYPE_INT, .not_null = true},
};
static const Schema schema = {
    .version = 1, .column_count = 3, .key_index = 0, .next_field_id = 4, .columns = columns};
static Table table = {.id = 1, .namespace_name = {"t", 1}, .name = {"x", 1}, .schema = &schema};
static LiveColumn star_columns[] = {{0, {"id", 2}}, {1, {"v", 1}}, {2, {"n", 1}}};
static LiveColumn v_only[] = {{1, {"w", 1}}};
static const LiveQuery star = {
    .table = &table, .columns = star_columns, .column_count = 3, .is_star = true};
static const LiveQuery alias = {.table = &table, .columns = v_only, .column_count = 1};

static Value old_row[3], new_row[3];

static LiveChange change_of(ChangeKind kind)
{
    old_row[0] = new_row[0] = value_integer(TYPE_BIGINT, 9007199254740993);
    old_row[1] = value_text(SLICE("a\"b"));
    new_row[1] = value_null(TYPE_TEXT);
    old_row[2] = new_row[2] = value_integer(TYPE_INT, 5);
    return (LiveChange){
        .kind = kind, .seq = 20, .old_seq = 10, .old_values = old_row, .new_values = new_row};
}

static void check_body(const LiveQuery *query, LiveEvent event, ChangeKind kind, const char *want)
{
    CLEANUP(buffer_done) Buffer out = {0};
    LiveChange change = change_of(kind);
    live__add_change_head(&out, SLICE("s"));
    CHECK_OK(live__add_change_body(&out, query, event, &change, e));
    CHECK_SLICE(buffer_slice(&out), slice_of_text(want));
}

TEST("an update carries all selected columns, NULLs too, and the previous values of what changed")
{
    check_body(&star, LIVE_EVENT_UPDATE, CHANGE_UPDATE,
               "{\"type\":\"change\",\"subscription_id\":\"s\",\"change_type\":\"update\",\"rows\":"
               "[{\"id\":"
               "\"9007199254740993\",\"v\":null,\"n\":5,\"_seq\":\"20\",\"_deleted\":false}],\"old_"
               "values\":[{\"id\":"
               "\"9007199254740993\",\"v\":\"a\\\"b\",\"_seq\":\"10\"}]}");
}

TEST("an update of a projection without the key names the key all the same, once")
{
    check_body(&alias, LIVE_EVENT_UPDATE, CHANGE_UPDATE,
               "{\"type\":\"change\",\"subscription_id\":\"s\",\"change_type\":\"update\",\"rows\":"
               "[{\"id\":"
               "\"9007199254740993\",\"w\":null,\"_seq\":\"20\"}],\"old_values\":[{\"id\":"
               "\"9007199254740993\","
               "\"w\":\"a\\\"b\",\"_seq\":\"10\"}]}");
}

TEST("a delete holds the row as it was with the seq of the change, so that it passes the client's "
     "cursor")
{
    check_body(
        &star, LIVE_EVENT_DELETE, CHANGE_UPDATE,
        "{\"type\":\"change\",\"subscription_id\":\"s\",\"change_type\":\"delete\",\"old_values\":["
        "{\"id\":"
        "\"9007199254740993\",\"v\":\"a\\\"b\",\"n\":5,\"_seq\":\"20\",\"_deleted\":false}]}");
}

TEST("an insert has rows and no old_values")
{
    check_body(&alias, LIVE_EVENT_INSERT, CHANGE_INSERT,
               "{\"type\":\"change\",\"subscription_id\":\"s\",\"change_type\":\"insert\",\"rows\":"
               "[{\"w\":null,"
               "\"_seq\":\"20\"}]}");
}

TEST("acknowledgement and pages: what clients refuse to do without")
{
    CLEANUP(buffer_done) Buffer out = {0};
    BatchControl control = {.batch_num = 0, .has_more = true, .last_seq = 7};
    live__add_ack(&out, SLICE("s"), &alias, &control);
    CHECK_SLICE(buffer_slice(&out), SLICE("{\"type\":\"subscription_ack\",\"subscription_id\":"
                                          "\"s\",\"total_rows\":0,\"batch_control\":"
                                          "{\"batch_num\":0,\"has_more\":true,\"status\":"
                                          "\"loading\",\"last_seq_id\":7},\"schema\":["
                                          "{\"name\":\"w\",\"data_type\":\"Text\",\"index\":0}]}"));
    buffer_clear(&out);
    control = (BatchControl){.batch_num = 3, .seq_text = true, .last_seq = 9};
    live__add_batch(&out, SLICE("s"), SLICE("{}"), &control);
    CHECK_SLICE(buffer_slice(&out), SLICE("{\"type\":\"initial_data_batch\",\"subscription_id\":"
                                          "\"s\",\"rows\":[{}],\"batch_control\":"
                                          "{\"batch_num\":3,\"has_more\":false,\"status\":"
                                          "\"ready\",\"last_seq_id\":9,\"last_seq\":\"9\"}}"));
    buffer_clear(&out);
    control = (BatchControl){.seq_text = true}; /* no cursor is better than one of nothing */
    live__add_batch(&out, SLICE("s"), SLICE(""), &control);
    CHECK_SLICE(buffer_slice(&out), SLICE("{\"type\":\"initial_data_batch\",\"subscription_id\":"
                                          "\"s\",\"rows\":[],\"batch_control\":"
                                          "{\"batch_num\":0,\"has_more\":false,\"status\":"
                                          "\"ready\",\"last_seq_id\":null}}"));
}
