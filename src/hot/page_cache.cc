/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads of tables that may not wait for the disk (HOT_CACHED_ONLY): what the kernel holds of a file
 * in memory is read at once, the rest fails, and so does a file system that cannot tell. A block
 * that is not in the block cache is most often there still, and to copy it takes less than to hand
 * the statement to a worker, which would begin anew.
 *
 * I1. Between hot__wait_for_none and hot__wait_again no read of this thread waits for the disk.
 * I2. In between it reads at most so many blocks: each is a copy, a checksum and an expansion, and
 *     a loop has others to serve.
 * I3. A read that fails for this says so in words that hot__fail knows, and changes nothing: walks
 *     count it as a gap (gaps.cc), RocksDB's own errors are of its background threads only.
 *
 * The file is read by a descriptor of ours, since RocksDB's has no such read.
 */
#include <cerrno>
#include <memory>
#include <string>

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <rocksdb/c.h>
#include <rocksdb/env.h>
#include <rocksdb/file_system.h>
#include <rocksdb/listener.h>
#include <rocksdb/options.h>

/* hot_int.h is C */
extern "C" {
void hot__read_page_cache(rocksdb_options_t *options);
void hot__wait_for_none(int blocks);
int hot__wait_again(void);
}

namespace
{

using rocksdb::FileOptions;
using rocksdb::FSRandomAccessFile;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

constexpr int WAITS = -1;

thread_local int blocks_left = WAITS; /* I1, I2 */

class Table final : public FSRandomAccessFile
{
  public:
    Table(int file, const std::string &name) : file_(file), name_(name)
    {
    }
    ~Table() override
    {
        close(file_);
    }
    Table(const Table &) = delete;
    Table &operator=(const Table &) = delete;

    IOStatus Read(uint64_t offset, size_t bytes, const IOOptions &, Slice *out, char *scratch,
                  IODebugContext *) const override
    {
        return blocks_left == WAITS ? read(offset, bytes, out, scratch)
                                    : copy(offset, bytes, out, scratch);
    }
    IOStatus Prefetch(uint64_t offset, size_t bytes, const IOOptions &, IODebugContext *) override
    {
        if (blocks_left == WAITS)
            (void)readahead(file_, static_cast<off64_t>(offset), bytes); /* a hint */
        return IOStatus::OK();
    }
    void Hint(AccessPattern pattern) override
    {
        int advice = pattern == kRandom       ? POSIX_FADV_RANDOM
                     : pattern == kSequential ? POSIX_FADV_SEQUENTIAL
                                              : POSIX_FADV_NORMAL;
        (void)posix_fadvise(file_, 0, 0, advice);
    }
    IOStatus InvalidateCache(size_t offset, size_t bytes) override
    {
        (void)posix_fadvise(file_, static_cast<off_t>(offset), static_cast<off_t>(bytes),
                            POSIX_FADV_DONTNEED);
        return IOStatus::OK();
    }

  private:
    IOStatus read(uint64_t offset, size_t bytes, Slice *out, char *scratch) const;
    IOStatus copy(uint64_t offset, size_t bytes, Slice *out, char *scratch) const;

    const int file_;
    const std::string name_;
};

IOStatus Table::read(uint64_t offset, size_t bytes, Slice *out, char *scratch) const
{
    size_t have = 0;
    while (have < bytes) {
        ssize_t n = pread(file_, scratch + have, bytes - have, static_cast<off_t>(offset + have));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return IOStatus::IOError("read " + name_, std::generic_category().message(errno));
        if (n == 0)
            break; /* the end: whoever asked sees that it is short */
        have += static_cast<size_t>(n);
    }
    *out = Slice(scratch, have);
    return IOStatus::OK();
}

/* Less than was asked for: the rest is not in memory, for no block reaches past the end. */
IOStatus Table::copy(uint64_t offset, size_t bytes, Slice *out, char *scratch) const
{
    struct iovec into = {scratch, bytes};
    if (blocks_left > 0) {
        blocks_left--;
        ssize_t n = preadv2(file_, &into, 1, static_cast<off_t>(offset), RWF_NOWAIT);
        *out = Slice(scratch, n > 0 ? static_cast<size_t>(n) : 0);
        if (n >= 0 && static_cast<size_t>(n) == bytes)
            return IOStatus::OK();
    }
    return IOStatus::Busy("the block is not in memory"); /* I3 */
}

class TableFileSystem final : public rocksdb::FileSystemWrapper
{
  public:
    explicit TableFileSystem(const std::shared_ptr<rocksdb::FileSystem> &below)
        : FileSystemWrapper(below)
    {
    }
    const char *Name() const override
    {
        return "TableFileSystem";
    }
    /* What is below decides whether the file may be read (late.cc), and how opening it fails. */
    IOStatus NewRandomAccessFile(const std::string &name, const FileOptions &options,
                                 std::unique_ptr<FSRandomAccessFile> *out,
                                 IODebugContext *dbg) override
    {
        IOStatus status = target()->NewRandomAccessFile(name, options, out, dbg);
        if (!status.ok())
            return status;
        int file = open(name.c_str(), O_RDONLY | O_CLOEXEC);
        if (file < 0)
            return IOStatus::IOError("open " + name, std::generic_category().message(errno));
        out->reset(new Table(file, name));
        return status;
    }
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
extern "C" void hot__read_page_cache(rocksdb_options_t *options)
{
    auto *real = reinterpret_cast<rocksdb::Options *>(options);
    auto env =
        rocksdb::NewCompositeEnv(std::make_shared<TableFileSystem>(real->env->GetFileSystem()));
    real->env = env.get();
    real->listeners.push_back(std::make_shared<Holder>(std::move(env)));
}

extern "C" void hot__wait_for_none(int blocks)
{
    blocks_left = blocks;
}

extern "C" int hot__wait_again(void)
{
    int left = blocks_left;
    blocks_left = WAITS;
    return left;
}
