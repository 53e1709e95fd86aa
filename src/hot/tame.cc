/* SPDX-License-Identifier: Apache-2.0
 *
 * Habits of RocksDB that a failing disk makes dangerous. The C API cannot change them; this is all
 * the C++ here.
 *
 * 1. When its log cannot be written for lack of space, RocksDB waits for space, writes out its
 *    memtables and goes on, family by family. The batch that failed is then in the old log still,
 *    and a later opening replays it into those families only that had nothing to write out: half a
 *    commit. What becomes of a commit whose outcome is unknown is decided when the store is opened
 *    the next time (hot_reopen), for all families at once, so the recovery is refused.
 * 2. Its own log of events, the file LOG, is written through the same class as its data. Debian
 *    builds RocksDB with assertions, and that class asserts that nobody writes after a failed
 *    write: a full disk would end the process by the second line. What goes wrong comes back as the
 *    error of a call anyway, so nothing is logged.
 * 3. It does not remember which logs it has synced: one that is missing would not be missed
 *    (manifest.c, I3).
 * 4. Compactions begin while the store is being opened. They wait until its MANIFEST is noted
 *    (manifest.c, I2).
 * 5. The C API does not tell that a compaction which somebody asked for has failed: the bytes would
 *    be taken for gone. Nor can it stop one, which a server that is to stop would wait for.
 */
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>

#include <cstring>

#include <rocksdb/c.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/listener.h>
#include <rocksdb/options.h>

struct HotTamer final : public rocksdb::EventListener {
  public:
    void OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason, rocksdb::Status,
                              bool *auto_recovery) override
    {
        *auto_recovery = false;
    }
    void OnCompactionBegin(rocksdb::DB *, const rocksdb::CompactionJobInfo &) override
    {
        std::unique_lock<std::mutex> lock(mutex_);
        while (is_held_)
            released_.wait(lock);
    }
    void hold(bool is_held)
    {
        std::lock_guard<std::mutex> lock(mutex_);
        is_held_ = is_held;
        released_.notify_all();
    }

    std::atomic<bool> are_merges_barred = false;

  private:
    std::mutex mutex_;
    std::condition_variable released_;
    bool is_held_ = false;
};

namespace
{

class NoLog final : public rocksdb::Logger
{
  public:
    NoLog() : rocksdb::Logger(rocksdb::InfoLogLevel::FATAL_LEVEL)
    {
    }
    using rocksdb::Logger::Logv;
    void Logv(const char *, va_list) override
    {
    }
};

} // namespace

/* hot_int.h is C */
extern "C" HotTamer *hot__tame(rocksdb_options_t *options);
extern "C" void hot__hold_compactions(HotTamer *tamer, bool is_held);
extern "C" char *hot__rewrite_range(rocksdb_t *db, rocksdb_column_family_handle_t *family,
                                    const char *from, size_t from_size, const char *to,
                                    size_t to_size);
extern "C" char *hot__merge_down(rocksdb_t *db, rocksdb_column_family_handle_t *family,
                                 HotTamer *tamer);
extern "C" void hot__allow_merges(HotTamer *tamer, bool is_allowed);

/* The C API keeps the C++ options as the only member of its own struct. */
extern "C" HotTamer *hot__tame(rocksdb_options_t *options)
{
    auto *real = reinterpret_cast<rocksdb::Options *>(options);
    auto tamer = std::make_shared<HotTamer>();
    real->listeners.push_back(tamer);
    real->info_log = std::make_shared<NoLog>();
    real->track_and_verify_wals_in_manifest = true;
    return tamer.get();
}

extern "C" void hot__hold_compactions(HotTamer *tamer, bool is_held)
{
    tamer->hold(is_held);
}

/* As with the options: the handles of the C API begin with a pointer to what they stand for. */
extern "C" char *hot__rewrite_range(rocksdb_t *db, rocksdb_column_family_handle_t *family,
                                    const char *from, size_t from_size, const char *to,
                                    size_t to_size)
{
    rocksdb::Slice first(from, from_size), last(to, to_size);
    rocksdb::CompactRangeOptions options;
    options.exclusive_manual_compaction = false;
    options.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForce;
    auto status =
        (*reinterpret_cast<rocksdb::DB **>(db))
            ->CompactRange(options, *reinterpret_cast<rocksdb::ColumnFamilyHandle **>(family),
                           &first, &last);
    return status.ok() ? nullptr : strdup(status.ToString().c_str());
}

extern "C" char *hot__merge_down(rocksdb_t *db, rocksdb_column_family_handle_t *family,
                                 HotTamer *tamer)
{
    rocksdb::CompactRangeOptions options;
    options.exclusive_manual_compaction = false;
    options.canceled = &tamer->are_merges_barred;
    auto status =
        (*reinterpret_cast<rocksdb::DB **>(db))
            ->CompactRange(options, *reinterpret_cast<rocksdb::ColumnFamilyHandle **>(family),
                           nullptr, nullptr);
    return status.ok() ? nullptr : strdup(status.ToString().c_str());
}

extern "C" void hot__allow_merges(HotTamer *tamer, bool is_allowed)
{
    tamer->are_merges_barred = !is_allowed;
}
