/* SPDX-License-Identifier: Apache-2.0
 *
 * Tables of merges whose writing fails are told of late.
 *
 * A merge of which nothing is left begins a table all the same and removes it when it is written.
 * When that writing fails, RocksDB 7.8 keeps the table without a key in its list, and then asserts
 * that it has a first key. So a small table of a merge seems to be written well, and the failure
 * comes when RocksDB opens it: it reads each table before that becomes part of the store, except
 * those with nothing in them, which it removes.
 *
 * I1. Only tables of merges: what they hold is in the merged files still. Only while they are as
 *     small as one with nothing in it; with more in it the failure is told at once.
 * I2. A table with a failure that was kept back can be opened to read, linked and renamed by
 *     nobody.
 * I3. While there is one, nothing is appended to a MANIFEST: whatever RocksDB takes that table for,
 *     it cannot become part of the store.
 * I4. That ends when the table is removed or the instance closed; the next one knows no table that
 *     is not in the MANIFEST.
 */
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include <rocksdb/c.h>
#include <rocksdb/env.h>
#include <rocksdb/file_system.h>
#include <rocksdb/listener.h>
#include <rocksdb/options.h>

/* hot_int.h is C */
extern "C" void hot__tell_late(rocksdb_options_t *options);

namespace
{

using rocksdb::FileOptions;
using rocksdb::FSWritableFile;
using rocksdb::FSWritableFileOwnerWrapper;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

/* One with nothing in it has a kilobyte, its properties; the name of the host is one of them. */
constexpr size_t LATE_BYTES_MAX = 2048;

/* What was kept back, by file, and which files to come are tables of merges. */
class Failures
{
  public:
    void note(const std::string &file, const IOStatus &failure)
    {
        std::lock_guard<std::mutex> lock(mutex_);
        failures_[file] = failure;
    }
    void forget(const std::string &file)
    {
        std::lock_guard<std::mutex> lock(mutex_);
        failures_.erase(file);
    }
    void forget_all()
    {
        std::lock_guard<std::mutex> lock(mutex_);
        failures_.clear();
        merged_.clear();
    }
    IOStatus of(const std::string &file)
    {
        std::lock_guard<std::mutex> lock(mutex_);
        auto found = failures_.find(file);
        return found == failures_.end() ? IOStatus::OK() : found->second;
    }
    IOStatus any()
    {
        std::lock_guard<std::mutex> lock(mutex_);
        return failures_.empty() ? IOStatus::OK() : failures_.begin()->second;
    }
    void expect(const std::string &file)
    {
        std::lock_guard<std::mutex> lock(mutex_);
        merged_.insert(file);
    }
    bool take_expected(const std::string &file)
    {
        std::lock_guard<std::mutex> lock(mutex_);
        return merged_.erase(file) == 1;
    }

  private:
    std::mutex mutex_;
    std::map<std::string, IOStatus> failures_;
    std::set<std::string> merged_;
};

/* A table of a merge: I1. One thread writes it. */
class LateTable final : public FSWritableFileOwnerWrapper
{
  public:
    LateTable(std::unique_ptr<FSWritableFile> &&file, const std::string &name,
              std::shared_ptr<Failures> failures)
        : FSWritableFileOwnerWrapper(std::move(file)), name_(name), failures_(failures)
    {
    }
    IOStatus Append(const Slice &data, const IOOptions &options, IODebugContext *dbg) override
    {
        bytes_ += data.size();
        return failure_.ok() ? keep(target()->Append(data, options, dbg)) : keep(failure_);
    }
    IOStatus Append(const Slice &data, const IOOptions &options,
                    const rocksdb::DataVerificationInfo &info, IODebugContext *dbg) override
    {
        bytes_ += data.size();
        return failure_.ok() ? keep(target()->Append(data, options, info, dbg)) : keep(failure_);
    }
    IOStatus Truncate(uint64_t size, const IOOptions &options, IODebugContext *dbg) override
    {
        return failure_.ok() ? keep(target()->Truncate(size, options, dbg)) : keep(failure_);
    }
    IOStatus Flush(const IOOptions &options, IODebugContext *dbg) override
    {
        return failure_.ok() ? keep(target()->Flush(options, dbg)) : keep(failure_);
    }
    IOStatus Sync(const IOOptions &options, IODebugContext *dbg) override
    {
        return failure_.ok() ? keep(target()->Sync(options, dbg)) : keep(failure_);
    }
    IOStatus Fsync(const IOOptions &options, IODebugContext *dbg) override
    {
        return failure_.ok() ? keep(target()->Fsync(options, dbg)) : keep(failure_);
    }
    IOStatus RangeSync(uint64_t offset, uint64_t bytes, const IOOptions &options,
                       IODebugContext *dbg) override
    {
        return failure_.ok() ? keep(target()->RangeSync(offset, bytes, options, dbg))
                             : keep(failure_);
    }
    IOStatus Close(const IOOptions &options, IODebugContext *dbg) override
    {
        IOStatus closed = target()->Close(options, dbg);
        return keep(failure_.ok() ? closed : failure_);
    }

  private:
    IOStatus keep(const IOStatus &status)
    {
        if (status.ok() || bytes_ > LATE_BYTES_MAX)
            return status;
        if (failure_.ok()) {
            failure_ = status;
            failures_->note(name_, status); /* before RocksDB takes it for written: I3 */
        }
        return IOStatus::OK();
    }

    std::string name_;
    std::shared_ptr<Failures> failures_;
    IOStatus failure_;
    size_t bytes_ = 0;
};

/* A MANIFEST: I3. */
class GuardedManifest final : public FSWritableFileOwnerWrapper
{
  public:
    GuardedManifest(std::unique_ptr<FSWritableFile> &&file, std::shared_ptr<Failures> failures)
        : FSWritableFileOwnerWrapper(std::move(file)), failures_(failures)
    {
    }
    IOStatus Append(const Slice &data, const IOOptions &options, IODebugContext *dbg) override
    {
        IOStatus failure = failures_->any();
        return failure.ok() ? target()->Append(data, options, dbg) : failure;
    }
    IOStatus Append(const Slice &data, const IOOptions &options,
                    const rocksdb::DataVerificationInfo &info, IODebugContext *dbg) override
    {
        IOStatus failure = failures_->any();
        return failure.ok() ? target()->Append(data, options, info, dbg) : failure;
    }

  private:
    std::shared_ptr<Failures> failures_;
};

class LateFileSystem final : public rocksdb::FileSystemWrapper
{
  public:
    explicit LateFileSystem(std::shared_ptr<Failures> failures)
        : FileSystemWrapper(rocksdb::FileSystem::Default()), failures_(failures)
    {
    }
    const char *Name() const override
    {
        return "LateFileSystem";
    }
    IOStatus NewWritableFile(const std::string &name, const FileOptions &options,
                             std::unique_ptr<FSWritableFile> *out, IODebugContext *dbg) override
    {
        bool is_merged = failures_->take_expected(name);
        IOStatus status = target()->NewWritableFile(name, options, out, dbg);
        if (status.ok() && is_merged)
            out->reset(new LateTable(std::move(*out), name, failures_));
        else if (status.ok() && name.find("/MANIFEST-") != std::string::npos)
            out->reset(new GuardedManifest(std::move(*out), failures_));
        return status;
    }
    IOStatus NewRandomAccessFile(const std::string &name, const FileOptions &options,
                                 std::unique_ptr<rocksdb::FSRandomAccessFile> *out,
                                 IODebugContext *dbg) override
    {
        IOStatus failure = failures_->of(name); /* I2 */
        return failure.ok() ? target()->NewRandomAccessFile(name, options, out, dbg) : failure;
    }
    IOStatus NewSequentialFile(const std::string &name, const FileOptions &options,
                               std::unique_ptr<rocksdb::FSSequentialFile> *out,
                               IODebugContext *dbg) override
    {
        IOStatus failure = failures_->of(name);
        return failure.ok() ? target()->NewSequentialFile(name, options, out, dbg) : failure;
    }
    IOStatus RenameFile(const std::string &from, const std::string &to, const IOOptions &options,
                        IODebugContext *dbg) override
    {
        IOStatus failure = failures_->of(from);
        return failure.ok() ? target()->RenameFile(from, to, options, dbg) : failure;
    }
    IOStatus LinkFile(const std::string &from, const std::string &to, const IOOptions &options,
                      IODebugContext *dbg) override
    {
        IOStatus failure = failures_->of(from);
        return failure.ok() ? target()->LinkFile(from, to, options, dbg) : failure;
    }
    IOStatus DeleteFile(const std::string &name, const IOOptions &options,
                        IODebugContext *dbg) override
    {
        IOStatus status = target()->DeleteFile(name, options, dbg);
        if (status.ok())
            failures_->forget(name); /* I4 */
        return status;
    }
    IOStatus UnlockFile(rocksdb::FileLock *lock, const IOOptions &options,
                        IODebugContext *dbg) override
    {
        failures_->forget_all(); /* I4: the last that an instance does */
        return target()->UnlockFile(lock, options, dbg);
    }

  private:
    std::shared_ptr<Failures> failures_;
};

/* Lives as long as the options, and so does the file system: longer than each instance. */
class Late final : public rocksdb::EventListener
{
  public:
    Late()
        : failures_(std::make_shared<Failures>()),
          env_(rocksdb::NewCompositeEnv(std::make_shared<LateFileSystem>(failures_)))
    {
    }
    /* The thread that creates the file comes here right before. */
    void OnTableFileCreationStarted(const rocksdb::TableFileCreationBriefInfo &info) override
    {
        if (info.reason == rocksdb::TableFileCreationReason::kCompaction)
            failures_->expect(info.file_path);
    }
    rocksdb::Env *env()
    {
        return env_.get();
    }

  private:
    std::shared_ptr<Failures> failures_;
    std::unique_ptr<rocksdb::Env> env_;
};

} // namespace

/* The C API keeps the C++ options as the only member of its own struct. */
extern "C" void hot__tell_late(rocksdb_options_t *options)
{
    auto *real = reinterpret_cast<rocksdb::Options *>(options);
    auto late = std::make_shared<Late>();
    real->listeners.push_back(late);
    real->env = late->env();
}
