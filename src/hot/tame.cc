/* SPDX-License-Identifier: Apache-2.0
 *
 * Habits of RocksDB that a failing disk makes dangerous, and that the C API cannot change.
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
 * 6. The C API cannot change a limit of bytes a second, which is not to hold up an opening: it
 *    writes what the log held. Nor a close, which waits for what is under way.
 * 7. Before a flush it waits for as long as writes might have to, holding what switch.c must have.
 */
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>

#include <cstring>

#include <rocksdb/c.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/listener.h>
#include <rocksdb/options.h>
#include <rocksdb/rate_limiter.h>

/* hot_int.h is C: what is here of it */
struct CSlice {
    const char *data;
    size_t size;
};
enum HotBar { HOT_BAR_STOPPING, HOT_BAR_SHUT, HOT_BAR_COUNT };
struct HotTamer;
struct HotMerge {
    std::atomic<bool> is_cancelled = false;
    HotMerge *next = nullptr;
};
extern "C" {
void hot__switched(void);
HotTamer *hot__tame(rocksdb_options_t *options);
void hot__limit_merges(rocksdb_options_t *options, uint64_t bytes_per_s);
void hot__hold_compactions(HotTamer *tamer, bool is_held);
char *hot__flush_family(rocksdb_t *db, rocksdb_column_family_handle_t *family);
HotMerge *hot__merge_join(HotTamer *tamer);
void hot__merge_leave(HotTamer *tamer, HotMerge *merge);
char *hot__merge_range(rocksdb_t *db, rocksdb_column_family_handle_t *family, CSlice from,
                       CSlice to, HotMerge *merge);
char *hot__merge_down(rocksdb_t *db, rocksdb_column_family_handle_t *family, HotMerge *merge);
void hot__cancel_merges(HotTamer *tamer);
void hot__bar_merges(HotTamer *tamer, HotBar reason, bool is_barred);
}

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

    void OnMemTableSealed(const rocksdb::MemTableInfo &) override
    {
        hot__switched();
    }
    HotMerge *join()
    {
        std::lock_guard<std::mutex> lock(mutex_);
        auto *merge = new HotMerge;
        merge->is_cancelled = is_barred_[HOT_BAR_STOPPING] || is_barred_[HOT_BAR_SHUT];
        merge->next = merges_;
        merges_ = merge;
        return merge;
    }
    void leave(HotMerge *merge)
    {
        std::lock_guard<std::mutex> lock(mutex_);
        HotMerge **at = &merges_;
        while (*at != merge)
            at = &(*at)->next;
        *at = merge->next;
        delete merge;
    }
    void cancel()
    {
        std::lock_guard<std::mutex> lock(mutex_);
        for (HotMerge *merge = merges_; merge; merge = merge->next)
            merge->is_cancelled = true;
    }
    void bar(HotBar reason, bool is_barred)
    {
        std::lock_guard<std::mutex> lock(mutex_);
        is_barred_[reason] = is_barred;
        for (HotMerge *merge = merges_; is_barred && merge; merge = merge->next)
            merge->is_cancelled = true;
    }

  private:
    std::mutex mutex_;
    HotMerge *merges_ = nullptr; /* under way */
    bool is_barred_[HOT_BAR_COUNT] = {};
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

extern "C" void hot__limit_merges(rocksdb_options_t *options, uint64_t bytes_per_s)
{
    auto &limiter = reinterpret_cast<rocksdb::Options *>(options)->rate_limiter;
    if (limiter)
        limiter->SetBytesPerSecond(bytes_per_s ? static_cast<int64_t>(bytes_per_s) : INT64_MAX);
}

extern "C" void hot__hold_compactions(HotTamer *tamer, bool is_held)
{
    tamer->hold(is_held);
}

/* As with the options: the handles of the C API begin with a pointer to what they stand for. */
static rocksdb::DB *real_of(rocksdb_t *db)
{
    return *reinterpret_cast<rocksdb::DB **>(db);
}

static rocksdb::ColumnFamilyHandle *real_of(rocksdb_column_family_handle_t *family)
{
    return *reinterpret_cast<rocksdb::ColumnFamilyHandle **>(family);
}

static char *text_of(const rocksdb::Status &status)
{
    return status.ok() ? nullptr : strdup(status.ToString().c_str());
}

extern "C" char *hot__flush_family(rocksdb_t *db, rocksdb_column_family_handle_t *family)
{
    rocksdb::FlushOptions options;
    options.allow_write_stall = true;
    return text_of(real_of(db)->Flush(options, real_of(family)));
}

static rocksdb::CompactRangeOptions merge_options(HotMerge *merge)
{
    rocksdb::CompactRangeOptions options;
    options.exclusive_manual_compaction = false;
    options.allow_write_stall = true;
    options.canceled = &merge->is_cancelled;
    return options;
}

extern "C" char *hot__merge_range(rocksdb_t *db, rocksdb_column_family_handle_t *family,
                                  CSlice from, CSlice to, HotMerge *merge)
{
    rocksdb::Slice first(from.data, from.size), last(to.data, to.size);
    rocksdb::CompactRangeOptions options = merge_options(merge);
    options.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForce;
    return text_of(real_of(db)->CompactRange(options, real_of(family), &first, &last));
}

extern "C" char *hot__merge_down(rocksdb_t *db, rocksdb_column_family_handle_t *family,
                                 HotMerge *merge)
{
    rocksdb::CompactRangeOptions options = merge_options(merge);
    return text_of(real_of(db)->CompactRange(options, real_of(family), nullptr, nullptr));
}

extern "C" HotMerge *hot__merge_join(HotTamer *tamer)
{
    return tamer->join();
}

extern "C" void hot__merge_leave(HotTamer *tamer, HotMerge *merge)
{
    tamer->leave(merge);
}

extern "C" void hot__cancel_merges(HotTamer *tamer)
{
    tamer->cancel();
}

extern "C" void hot__bar_merges(HotTamer *tamer, HotBar reason, bool is_barred)
{
    tamer->bar(reason, is_barred);
}
