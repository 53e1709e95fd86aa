/* SPDX-License-Identifier: Apache-2.0
 *
 * RocksDB's logs: nobody meets one that failed before.
 *
 * Once a call on a log's file has failed, RocksDB 7.8 asserts that its writer is neither written to
 * nor synced again, and an assertion of Debian's build ends the process. But a synced write, the
 * sync of a copy and each flush sync all logs that are not known to be durable, the closed ones,
 * too, and wait for each other at that: when the first fails, the next goes on to the same writer.
 *
 * I1. A log begins only when all of the one before it is durable; a failure to sync that one is the
 *     failure of the switch, and noted as such (switch.c). So a closed log has nothing left to
 *     sync, and syncing it cannot fail.
 * I2. Only writes write and sync the log that is not closed, and they hold `switching`: after a
 *     failure none comes. A copy is told that it cannot be synced beside them, and leaves it.
 * I3. What has failed on a log fails ever after: a second sync might find the lost pages clean.
 *
 * It also knows whether a thread has given bytes to a log: whether a failed write may be there.
 */
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include <rocksdb/c.h>
#include <rocksdb/env.h>
#include <rocksdb/file_system.h>
#include <rocksdb/listener.h>
#include <rocksdb/options.h>

/* hot_int.h is C */
extern "C" {
void hot__guard_logs(rocksdb_options_t *options);
uint64_t hot__log_appends(void);
}

namespace
{

using rocksdb::FileOptions;
using rocksdb::FSWritableFile;
using rocksdb::FSWritableFileOwnerWrapper;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

thread_local uint64_t appends;

class Log;

/* The newest log of each folder: the store's own, and copies of it. */
class Newest
{
  public:
    IOStatus sync(const std::string &folder);
    void set(const std::string &folder, Log *log)
    {
        std::lock_guard<std::mutex> lock(mutex_);
        logs_[folder] = log;
    }
    void forget(const std::string &folder, const Log *log)
    {
        std::lock_guard<std::mutex> lock(mutex_);
        auto found = logs_.find(folder);
        if (found != logs_.end() && found->second == log)
            logs_.erase(found);
    }

  private:
    std::mutex mutex_; /* before that of a log */
    std::map<std::string, Log *> logs_;
};

class Log final : public FSWritableFileOwnerWrapper
{
  public:
    Log(std::unique_ptr<FSWritableFile> &&file, const std::string &folder,
        std::shared_ptr<Newest> newest)
        : FSWritableFileOwnerWrapper(std::move(file)), folder_(folder), newest_(newest)
    {
        newest_->set(folder_, this);
    }
    ~Log() override
    {
        newest_->forget(folder_, this);
    }
    IOStatus Append(const Slice &data, const IOOptions &options, IODebugContext *dbg) override
    {
        std::lock_guard<std::mutex> lock(mutex_);
        appends++;
        return appended(data, failure_.ok() ? target()->Append(data, options, dbg) : failure_);
    }
    IOStatus Append(const Slice &data, const IOOptions &options,
                    const rocksdb::DataVerificationInfo &info, IODebugContext *dbg) override
    {
        std::lock_guard<std::mutex> lock(mutex_);
        appends++;
        return appended(data,
                        failure_.ok() ? target()->Append(data, options, info, dbg) : failure_);
    }
    IOStatus Sync(const IOOptions &options, IODebugContext *dbg) override
    {
        std::lock_guard<std::mutex> lock(mutex_);
        return synced(is_durable() ? failure_ : target()->Sync(options, dbg));
    }
    IOStatus Fsync(const IOOptions &options, IODebugContext *dbg) override
    {
        std::lock_guard<std::mutex> lock(mutex_);
        return synced(is_durable() ? failure_ : target()->Fsync(options, dbg));
    }
    bool IsSyncThreadSafe() const override
    {
        return false; /* I2 */
    }

  private:
    /* Or never will be. */
    bool is_durable() const
    {
        return !failure_.ok() || synced_ == written_;
    }
    IOStatus appended(const Slice &data, const IOStatus &status)
    {
        written_ += data.size();
        failure_ = status; /* I3 */
        return status;
    }
    IOStatus synced(const IOStatus &status)
    {
        if (status.ok())
            synced_ = written_;
        failure_ = status;
        return status;
    }

    const std::string folder_;
    const std::shared_ptr<Newest> newest_;
    std::mutex mutex_;
    IOStatus failure_;
    uint64_t written_ = 0, synced_ = 0; /* bytes */
};

IOStatus Newest::sync(const std::string &folder)
{
    std::lock_guard<std::mutex> lock(mutex_);
    auto found = logs_.find(folder);
    return found == logs_.end() ? IOStatus::OK() : found->second->Sync(IOOptions(), nullptr);
}

class LogFileSystem final : public rocksdb::FileSystemWrapper
{
  public:
    explicit LogFileSystem(const std::shared_ptr<rocksdb::FileSystem> &below)
        : FileSystemWrapper(below), newest_(std::make_shared<Newest>())
    {
    }
    const char *Name() const override
    {
        return "LogFileSystem";
    }
    IOStatus NewWritableFile(const std::string &name, const FileOptions &options,
                             std::unique_ptr<FSWritableFile> *out, IODebugContext *dbg) override
    {
        static const std::string ending = ".log";
        bool is_log = name.size() > ending.size() &&
                      name.compare(name.size() - ending.size(), ending.size(), ending) == 0;
        std::string folder = name.substr(0, name.find_last_of('/') + 1);
        IOStatus status = is_log ? newest_->sync(folder) : IOStatus::OK(); /* I1 */
        if (status.ok())
            status = target()->NewWritableFile(name, options, out, dbg);
        if (status.ok() && is_log)
            out->reset(new Log(std::move(*out), folder, newest_));
        return status;
    }

  private:
    std::shared_ptr<Newest> newest_;
};

/* Lives as long as the options, and so does the file system: longer than each instance. */
class Holder final : public rocksdb::EventListener
{
  public:
    explicit Holder(std::unique_ptr<rocksdb::Env> &&env) : env_(std::move(env))
    {
    }

  private:
    std::unique_ptr<rocksdb::Env> env_;
};

} // namespace

/* The C API keeps the C++ options as the only member of its own struct. */
extern "C" void hot__guard_logs(rocksdb_options_t *options)
{
    auto *real = reinterpret_cast<rocksdb::Options *>(options);
    auto env =
        rocksdb::NewCompositeEnv(std::make_shared<LogFileSystem>(real->env->GetFileSystem()));
    real->env = env.get();
    real->listeners.push_back(std::make_shared<Holder>(std::move(env)));
}

extern "C" uint64_t hot__log_appends(void)
{
    return appends;
}
