/* SPDX-License-Identifier: Apache-2.0
 *
 * Where a partition's segments lie: user/<user id>/<namespace>/<table> or shared/<namespace>/<table>.
 */
#include "cold/cold.h"
#include "table/table_int.h"

Code table__folder(Database *db, HotSnapshot *snapshot, const Table *table, Partition partition, Arena *arena,
                   Slice *out, Error *e)
{
    (void)db;
    ColdPlace place = {
        .namespace_name = table->namespace_name,
        .table_name = table->name,
        .is_shared = table->kind == TABLE_SHARED,
    };
    if (!place.is_shared) {
        User user;
        Code code = catalog_get_user_by_id(snapshot, HOT_BLOCKING, partition.user, arena, &user, e);
        if (code == E_NOT_FOUND)
            return fail(e, E_CORRUPT, "user %llu of a partition is not in the catalog",
                        (unsigned long long)partition.user);
        if (code != OK)
            return code;
        place.user_id = user.user_id;
    }
    CLEANUP(buffer_done) Buffer path = {0};
    TRY(cold_folder_path(&place, &path, e));
    *out = arena_copy(arena, buffer_slice(&path));
    return OK;
}

Code flush_folder(Database *db, const Table *table, Partition partition, Arena *arena, Slice *out_folder,
                  Error *e)
{
    HotSnapshot *snapshot = hot_snapshot_new(database_hot(db));
    Code code = table__folder(db, snapshot, table, partition, arena, out_folder, e);
    hot_snapshot_free(snapshot);
    return code;
}
