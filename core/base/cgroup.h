#pragma once
#include <cstdint>
#include <string>

namespace sn {

// What this process may use, as its control groups (v1 or v2, every level up to the root) say.
// -1: no limit is set, or the system has no control groups.
double cgroup_cpu_quota();      // in CPUs, e.g. 1.5
int64_t cgroup_memory_limit();  // in bytes

}  // namespace sn
