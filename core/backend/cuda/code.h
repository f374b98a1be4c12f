#pragma once
#include <cstdint>
#include <string>

namespace sn::cuda {

// Counters of what happened to code in this process, and where it is kept.
struct CodeStats {
    int64_t compiled = 0;   // by NVRTC
    int64_t from_disk = 0;  // read from the cache
    int64_t damaged = 0;    // entries of the cache that were not what had been written
};
CodeStats code_stats();
// $SENNIT_CACHE, or "sennit" in the user's cache folder, and "cuda" in that; empty: nowhere.
std::string cache_folder();

}  // namespace sn::cuda
