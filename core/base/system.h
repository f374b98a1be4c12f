#pragma once
// What Sennit asks the operating system for. All of it lies in system_posix.cpp and
// system_windows.cpp: nothing else includes a system's headers.
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

namespace sn::system {

// ---- memory

inline constexpr size_t kHugePage = size_t{2} << 20;

// Zeroed memory of whole huge pages at a multiple of one, in huge pages where the system has them;
// null when there is no more.
void* map_memory(size_t bytes);
void unmap_memory(void* data, size_t bytes);  // all that one call gave

// For scratch; `bytes` is a multiple of `alignment`. Huge pages are asked for from 2 MiB on.
void* allocate_aligned(size_t alignment, size_t bytes);  // null when there is no more
void free_aligned(void* data);

int64_t physical_memory();  // in bytes; -1 when unknown
int64_t resident_memory();  // bytes of this process in RAM now; -1 when unknown
int64_t peak_resident_memory();

// ---- threads

int usable_cpus();  // that this process may run on
int64_t steady_nanoseconds();
void set_thread_name(const char* name);  // of the caller, at most 15 characters
std::string thread_name();

// Sleep while a word has this value (or a little less long), and wake who sleeps: what std::atomic
// has, which on Windows leaves objects in the library that are destroyed at exit, after the system
// has stopped the threads that may have held a lock of theirs.
void sleep_while(const std::atomic<uint32_t>& word, uint32_t value);
void wake_one(std::atomic<uint32_t>& word);
void wake_all(std::atomic<uint32_t>& word);

// Threads started under it get no signals: these belong to the program's own threads (Python's
// main thread waits for Ctrl-C).
class SignalsBlocked {
public:
    SignalsBlocked();
    ~SignalsBlocked();
    SignalsBlocked(const SignalsBlocked&) = delete;
    SignalsBlocked& operator=(const SignalsBlocked&) = delete;

private:
    struct Before;
    std::unique_ptr<Before> before_;
};

// Called around a fork, as pthread_atfork does; never where processes cannot fork.
void at_fork(void (*before)(), void (*in_parent)(), void (*in_child)());

int process_id();

// The words of the command line in UTF-8, given what main() got.
std::vector<std::string> arguments(int count, char** words);

// ---- libraries; paths are UTF-8

// Null, with `*why`, when it cannot be loaded. A name without a folder is looked for as the system
// does. Libraries stay loaded.
void* open_library(const std::string& path, std::string* why);
void* library_symbol(void* library, const char* name);  // null when it has none of that name

// ---- files; paths are UTF-8

std::FILE* open_file(const std::string& path, const char* mode);  // null, and errno

// The size of a regular file. False, with `*why`, when it is none or cannot be read.
bool regular_file_size(const std::string& path, uint64_t* size, std::string* why);
// A file of this many bytes (more than none) as memory for reading; null when that is not possible.
const void* map_file(const std::string& path, size_t bytes);
void unmap_file(const void* data, size_t bytes);

bool sync_file(std::FILE* file);  // what was written reaches the disk; false, and errno
// Gives a file its place, over one that is there. False, and errno.
bool replace_file(const std::string& from, const std::string& to);
void remove_file(const std::string& path);
bool make_folder(const std::string& path);  // with those above it; true when it is there

}  // namespace sn::system
