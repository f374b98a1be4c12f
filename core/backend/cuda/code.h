#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "backend/cuda/launch.h"

namespace sn::cuda {

// Counters of what happened to code in this process, and where it is kept.
struct CodeStats {
    int64_t compiled = 0;   // by NVRTC
    int64_t from_disk = 0;  // read from the cache
    int64_t damaged = 0;    // entries of the cache that were not what had been written
    int64_t from_pack = 0;  // of files made ahead of time (pack.h)
};
CodeStats code_stats();
// Every kernel that was made ready, in order.
struct CodeEvent {
    std::string name, entry;
    const char* from;  // "compiled", "disk" or "pack"
    double seconds;
};
std::vector<CodeEvent> code_log();

// $SENNIT_CACHE, or "sennit" in the user's cache folder, and "cuda" in that; empty: nowhere.
std::string cache_folder();

// Why no device can be used; empty: they can.
std::string device_problem();

// A kernel in a user's source, with options of NVRTC. A source that does not compile is the user's
// error, with the compiler's log.
const Function& user_function(int device, const std::string& name, const std::string& source,
                              std::string_view entry, std::span<const std::string> options);
void launch_user(const Function& function, Grid blocks, Grid threads, uint32_t shared_bytes,
                 const void* args, size_t bytes);

// From now on, what is needed is noted for write_needed, which compiles it for these architectures
// (90 for compute capability 9.0), several at once. `note_declared`: all kernels of the library.
void note_needed(bool on);
void note_declared();
struct PackReport {
    int64_t kernels = 0, bytes = 0;
};
PackReport write_needed(const std::string& path, const std::vector<int>& archs);

}  // namespace sn::cuda
