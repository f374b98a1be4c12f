#include "base/system.h"

#if !defined(_WIN32)

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <thread>

namespace sn::system {

// ---- memory

namespace {

void ask_for_huge_pages([[maybe_unused]] void* data, [[maybe_unused]] size_t bytes) {
#if defined(MADV_HUGEPAGE)
    madvise(data, bytes, MADV_HUGEPAGE);
#endif
}

}  // namespace

void* map_memory(size_t bytes) {
    // More than needed; what is around the aligned part is cut off.
    void* mapped = mmap(nullptr, bytes + kHugePage, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) return nullptr;
    const auto address = reinterpret_cast<uintptr_t>(mapped);
    const uintptr_t begin = (address + kHugePage - 1) / kHugePage * kHugePage;
    if (begin > address) munmap(mapped, begin - address);
    if (begin < address + kHugePage)
        munmap(reinterpret_cast<void*>(begin + bytes), address + kHugePage - begin);
    void* data = reinterpret_cast<void*>(begin);
    ask_for_huge_pages(data, bytes);
    return data;
}

void unmap_memory(void* data, size_t bytes) { munmap(data, bytes); }

void* allocate_aligned(size_t alignment, size_t bytes) {
    void* data = std::aligned_alloc(alignment, bytes);
    if (data && bytes >= kHugePage) ask_for_huge_pages(data, bytes);
    return data;
}

void free_aligned(void* data) { std::free(data); }

int64_t physical_memory() {
    const long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    return pages < 0 || size < 0 ? -1 : static_cast<int64_t>(pages) * size;
}

int64_t resident_memory() {
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(
        std::fopen("/proc/self/statm", "r"), [](std::FILE* f) { return f ? std::fclose(f) : 0; });
    long long total = 0, resident = 0;
    if (!file || std::fscanf(file.get(), "%lld %lld", &total, &resident) != 2) return -1;
    return static_cast<int64_t>(resident) * sysconf(_SC_PAGESIZE);
}

int64_t peak_resident_memory() {
    struct rusage usage{};
    if (getrusage(RUSAGE_SELF, &usage) != 0) return -1;
#if defined(__APPLE__)
    return usage.ru_maxrss;
#else
    return static_cast<int64_t>(usage.ru_maxrss) * 1024;
#endif
}

// ---- threads

int usable_cpus() {
#if defined(__linux__)
    for (int capacity = 1024; capacity <= 1 << 20; capacity *= 4) {
        cpu_set_t* set = CPU_ALLOC(static_cast<size_t>(capacity));
        const size_t bytes = CPU_ALLOC_SIZE(static_cast<size_t>(capacity));
        const bool ok = set && sched_getaffinity(0, bytes, set) == 0;
        const int count = ok ? CPU_COUNT_S(bytes, set) : 0;
        CPU_FREE(set);
        if (ok && count > 0) return count;
    }
#endif
    return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

int64_t steady_nanoseconds() {
    timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1'000'000'000LL + time.tv_nsec;
}

void set_thread_name([[maybe_unused]] const char* name) {
#if defined(__linux__)
    pthread_setname_np(pthread_self(), name);
#endif
}

std::string thread_name() {
    char name[16] = "";
#if defined(__linux__) || defined(__APPLE__)
    pthread_getname_np(pthread_self(), name, sizeof name);
#endif
    return name;
}

struct SignalsBlocked::Before {
    sigset_t mask;
};
SignalsBlocked::SignalsBlocked() : before_(new Before) {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_->mask);
}
SignalsBlocked::~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_->mask, nullptr); }

void at_fork(void (*before)(), void (*in_parent)(), void (*in_child)()) {
    pthread_atfork(before, in_parent, in_child);
}

int process_id() { return static_cast<int>(getpid()); }

std::vector<std::string> arguments(int count, char** words) { return {words, words + count}; }

// ---- libraries

void* open_library(const std::string& path, std::string* why) {
    void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library) *why = dlerror();
    return library;
}

void* library_symbol(void* library, const char* name) { return dlsym(library, name); }

// ---- files

std::FILE* open_file(const std::string& path, const char* mode) {
    return std::fopen(path.c_str(), mode);
}

bool regular_file_size(const std::string& path, uint64_t* size, std::string* why) {
    struct stat status{};
    if (stat(path.c_str(), &status) != 0) {
        *why = std::strerror(errno);
        return false;
    }
    if (!S_ISREG(status.st_mode)) {
        *why = "it is no regular file";
        return false;
    }
    *size = static_cast<uint64_t>(status.st_size);
    return true;
}

const void* map_file(const std::string& path, size_t bytes) {
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return nullptr;
    // Of a file that has become shorter, the last pages would be none.
    struct stat status{};
    void* data = MAP_FAILED;
    if (fstat(fd, &status) == 0 && static_cast<uint64_t>(status.st_size) >= bytes)
        data = mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    return data == MAP_FAILED ? nullptr : data;
}

void sleep_while(const std::atomic<uint32_t>& word, uint32_t value) { word.wait(value); }
void wake_one(std::atomic<uint32_t>& word) { word.notify_one(); }
void wake_all(std::atomic<uint32_t>& word) { word.notify_all(); }

void unmap_file(const void* data, size_t bytes) { munmap(const_cast<void*>(data), bytes); }

bool sync_file(std::FILE* file) { return fsync(fileno(file)) == 0; }

bool replace_file(const std::string& from, const std::string& to) {
    return std::rename(from.c_str(), to.c_str()) == 0;
}

void remove_file(const std::string& path) { std::remove(path.c_str()); }

bool make_folder(const std::string& path) {
    for (size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
        if (mkdir(path.substr(0, end).c_str(), 0777) != 0 && errno != EEXIST) return false;
        if (end == std::string::npos) break;
    }
    struct stat status{};
    return stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

}  // namespace sn::system

#endif
