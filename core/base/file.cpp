#include "base/file.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <new>

#include "base/error.h"
#include "base/system.h"

namespace sn {

namespace {

[[noreturn]] void bad(const char* op, const std::string& path, const std::string& what,
                      const char* advice) {
    fail(ErrorKind::kFile, op, "%s: %s; %s", path.c_str(), what.c_str(), advice);
}

constexpr size_t kAlign = 64;

}  // namespace

FileBytes::~FileBytes() {
    if (mapped_) system::unmap_file(data_, bytes_);
}

std::shared_ptr<const FileBytes> FileBytes::copy_of(const void* data, size_t bytes) {
    std::shared_ptr<FileBytes> made(new FileBytes);
    made->own_.reset(new (std::nothrow) std::byte[bytes + kAlign]);
    if (!made->own_)
        fail(ErrorKind::kMemory, "load", "there is no memory for the %zu bytes of the file", bytes);
    std::byte* start = made->own_.get();
    start += (kAlign - reinterpret_cast<size_t>(start) % kAlign) % kAlign;
    if (bytes && data) std::memcpy(start, data, bytes);
    made->data_ = start;
    made->bytes_ = bytes;
    return made;
}

std::shared_ptr<const FileBytes> FileBytes::open(const std::string& path, bool map,
                                                 const char* op) {
    const auto fail_open = [&](const char* what) {
        bad(op, path, std::string("cannot be read (") + what + ")", "check the path");
    };
    uint64_t size = 0;
    std::string why;
    if (!system::regular_file_size(path, &size, &why)) fail_open(why.c_str());
    const auto bytes = static_cast<size_t>(size);
    if (map && bytes > 0) {
        if (const void* data = system::map_file(path, bytes)) {
            std::shared_ptr<FileBytes> made(new FileBytes);
            made->data_ = static_cast<const std::byte*>(data);
            made->bytes_ = bytes;
            made->mapped_ = true;
            return made;
        }
    }
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(
        system::open_file(path, "rb"), [](std::FILE* f) { return f ? std::fclose(f) : 0; });
    if (!file) fail_open(std::strerror(errno));
    std::shared_ptr<const FileBytes> made = copy_of(nullptr, bytes);
    if (std::fread(const_cast<std::byte*>(made->data_), 1, bytes, file.get()) != bytes) {
        if (std::ferror(file.get())) fail_open(std::strerror(errno));
        bad(op, path, "it became shorter while it was read", "fetch or save the file again");
    }
    return made;
}

void write_file(const std::string& path, std::span<const std::byte> data, const char* op) {
    const std::string beside = path + "." + std::to_string(system::process_id()) + ".tmp";
    const auto fail_write = [&](int code) {
        system::remove_file(beside);
        bad(op, path, std::string("cannot be written (") + std::strerror(code) + ")",
            "check the folder");
    };
    std::FILE* file = system::open_file(beside, "wb");
    if (!file) fail_write(errno);
    bool ok = std::fwrite(data.data(), 1, data.size(), file) == data.size();
    ok = std::fflush(file) == 0 && ok;
    ok = ok && system::sync_file(file);
    const int code = errno;
    if (std::fclose(file) != 0 || !ok) fail_write(code ? code : EIO);
    if (!system::replace_file(beside, path)) fail_write(errno);
}

}  // namespace sn
