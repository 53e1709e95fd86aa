/* SPDX-License-Identifier: Apache-2.0
 *
 * Two habits of RocksDB that a failing disk makes dangerous. The C API cannot change them; this is all the C++ here.
 *
 * 1. When its log cannot be written for lack of space, RocksDB waits for space, writes out its memtables and goes on, family
 *    by family. The batch that failed is then in the old log still, and a later opening replays it into those families only
 *    that had nothing to write out: half a commit. What becomes of a commit whose outcome is unknown is decided when the
 *    store is opened the next time (hot_reopen), for all families at once, so the recovery is refused.
 * 2. Its own log of events, the file LOG, is written through the same class as its data. Debian builds RocksDB with
 *    assertions, and that class asserts that nobody writes after a failed write: a full disk would end the process by
 *    the second line. What goes wrong comes back as the error of a call anyway, so nothing is logged.
 */
#include <memory>

#include <rocksdb/c.h>
#include <rocksdb/env.h>
#include <rocksdb/listener.h>
#include <rocksdb/options.h>

namespace
{

class RefuseRecovery final : public rocksdb::EventListener
{
  public:
    void OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason, rocksdb::Status,
                              bool *auto_recovery) override
    {
        *auto_recovery = false;
    }
};

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

extern "C" void hot__tame(rocksdb_options_t *options); /* hot_int.h is C */

/* The C API keeps the C++ options as the only member of its own struct. */
extern "C" void hot__tame(rocksdb_options_t *options)
{
    auto *real = reinterpret_cast<rocksdb::Options *>(options);
    real->listeners.push_back(std::make_shared<RefuseRecovery>());
    real->info_log = std::make_shared<NoLog>();
}
