#pragma once
#include <cstddef>
#include <memory>
#include <span>
#include <string>

namespace sn {

// The bytes of a file, for reading only: mapped, so that processes share them and pages come when
// they are touched, or copied. A mapped file must not be written in place while it is used (a new
// one in its place is fine: that is how Sennit writes).
class FileBytes {
public:
    // Fails with a FileError of `op` that names the path.
    static std::shared_ptr<const FileBytes> open(const std::string& path, bool map, const char* op);
    static std::shared_ptr<const FileBytes> copy_of(const void* data, size_t bytes);
    FileBytes(const FileBytes&) = delete;
    FileBytes& operator=(const FileBytes&) = delete;
    ~FileBytes();

    std::span<const std::byte> bytes() const { return {data_, bytes_}; }

private:
    FileBytes() = default;
    const std::byte* data_ = nullptr;
    size_t bytes_ = 0;
    bool mapped_ = false;
    std::unique_ptr<std::byte[]> own_;
};

// Writes beside the place, flushes to the disk and renames: the file appears complete or not at
// all.
void write_file(const std::string& path, std::span<const std::byte> data, const char* op);

}  // namespace sn
