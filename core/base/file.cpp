#include "base/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <new>

#include "base/error.h"

namespace sn {

namespace {

[[noreturn]] void bad(const char* op, const std::string& path, const std::string& what,
                      const char* advice) {
    fail(ErrorKind::kFile, op, "%s: %s; %s", path.c_str(), what.c_str(), advice);
}

constexpr size_t kAlign = 64;

}  // namespace

FileBytes::~FileBytes() {
    if (mapped_) munmap(const_cast<std::byte*>(data_), bytes_);
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
    struct Descriptor {
        int fd;
        ~Descriptor() {
            if (fd >= 0) close(fd);
        }
    } const file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
    if (file.fd < 0) fail_open(std::strerror(errno));
    struct stat status{};
    if (fstat(file.fd, &status) != 0) fail_open(std::strerror(errno));
    if (!S_ISREG(status.st_mode)) fail_open("it is no regular file");
    const auto size = static_cast<size_t>(status.st_size);
    if (map && size > 0) {
        void* data = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.fd, 0);
        if (data != MAP_FAILED) {
            std::shared_ptr<FileBytes> made(new FileBytes);
            made->data_ = static_cast<const std::byte*>(data);
            made->bytes_ = size;
            made->mapped_ = true;
            return made;
        }
    }
    std::shared_ptr<const FileBytes> made = copy_of(nullptr, size);
    for (size_t at = 0; at < size;) {
        const ssize_t got = read(file.fd, const_cast<std::byte*>(made->data_) + at, size - at);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) fail_open(std::strerror(errno));
        if (got == 0)
            bad(op, path, "it became shorter while it was read", "fetch or save the file again");
        at += static_cast<size_t>(got);
    }
    return made;
}

void write_file(const std::string& path, std::span<const std::byte> data, const char* op) {
    const std::string beside = path + "." + std::to_string(getpid()) + ".tmp";
    const auto fail_write = [&](int code) {
        std::remove(beside.c_str());
        bad(op, path, std::string("cannot be written (") + std::strerror(code) + ")",
            "check the folder");
    };
    std::FILE* file = std::fopen(beside.c_str(), "wb");
    if (!file) fail_write(errno);
    bool ok = std::fwrite(data.data(), 1, data.size(), file) == data.size();
    ok = std::fflush(file) == 0 && ok;
    ok = ok && fsync(fileno(file)) == 0;
    const int code = errno;
    if (std::fclose(file) != 0 || !ok) fail_write(code ? code : EIO);
    if (std::rename(beside.c_str(), path.c_str()) != 0) fail_write(errno);
}

}  // namespace sn
