#pragma once
#include <cstdint>
#include <string>

namespace sn {

// What this process may use, as its control groups (v1 or v2, every level up to the root) say.
// -1: no limit is set, or the system has no control groups.
double cgroup_cpu_quota();      // in CPUs, e.g. 1.5
int64_t cgroup_memory_limit();  // in bytes

int64_t physical_memory();  // in bytes; -1 when unknown
int64_t resident_memory();  // bytes of this process in RAM now; -1 when unknown

}  // namespace sn
