/* SPDX-License-Identifier: Apache-2.0
 *
 * What a walk could not read. RocksDB 7.8 forgets the failure of a file, and with it the rest of
 * the file's keys, when it comes while the walk passes a deleted range or a file's end beside one
 * (MergingIterator::SkipNextDeleted, SkipPrevDeleted, SeekImpl): the walk ends well, with keys
 * missing at its end or amidst it. So walk.c does not go by the walk's status alone.
 *
 * RocksDB counts each block that is not in the block cache, and each that it puts there, on the
 * thread that reads. A walk that fills the cache has missed a block if more were counted there than
 * here: it may not wait for it, or the disk failed, or the block is damaged.
 *
 * Nothing else is counted: RocksDB's own statistics would cost each read more.
 */
#include <memory>

#include <cstdint>

#include <rocksdb/c.h>
#include <rocksdb/options.h>
#include <rocksdb/statistics.h>

/* hot_int.h is C */
extern "C" {
void hot__count_gaps(rocksdb_options_t *options);
int64_t hot__gaps(void);
}

namespace
{

thread_local int64_t gaps;

class Gaps final : public rocksdb::Statistics
{
  public:
    Gaps()
    {
        set_stats_level(rocksdb::StatsLevel::kDisableAll); /* no clock is read */
    }
    void recordTick(uint32_t ticker, uint64_t count) override
    {
        if (ticker == rocksdb::BLOCK_CACHE_MISS)
            gaps += static_cast<int64_t>(count);
        else if (ticker == rocksdb::BLOCK_CACHE_ADD)
            gaps -= static_cast<int64_t>(count);
    }
    const char *Name() const override
    {
        return "Gaps";
    }
    uint64_t getTickerCount(uint32_t) const override
    {
        return 0;
    }
    void histogramData(uint32_t, rocksdb::HistogramData *const) const override
    {
    }
    void setTickerCount(uint32_t, uint64_t) override
    {
    }
    uint64_t getAndResetTickerCount(uint32_t) override
    {
        return 0;
    }
    void recordInHistogram(uint32_t, uint64_t) override
    {
    }
    bool HistEnabledForType(uint32_t) const override
    {
        return false;
    }
};

} // namespace

/* The C API keeps the C++ options as the only member of its own struct. */
extern "C" void hot__count_gaps(rocksdb_options_t *options)
{
    reinterpret_cast<rocksdb::Options *>(options)->statistics = std::make_shared<Gaps>();
}

extern "C" int64_t hot__gaps(void)
{
    return gaps;
}
