#pragma once
// Compiled kernels on disk: a file for each key, which begins with the hash of what follows.
#include <string>

namespace sn::cuda {

enum class Cached { kAbsent, kRead, kDamaged };
Cached read_cache(const std::string& key, std::string* image);
// Then removes what has not been used for longest, while all of it is more than
// SENNIT_CACHE_LIMIT. Other processes may do the same at the same time. A cache that cannot be
// written (a full or read-only disk) costs time, and nothing else.
void write_cache(const std::string& key, const std::string& image);

}  // namespace sn::cuda
