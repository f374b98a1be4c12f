#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "backend/backend.h"

namespace sn::cuda {

// Gives every op that the CPU has a kernel for and this table has not one that runs there: it waits
// for the device, copies the operands to the host, runs, and copies the results back. Ops that are
// lowered to simpler ones where they have no kernel are left out.
void add_host_kernels(KernelTable& table);

// How often each op has run on the CPU; those that have.
std::vector<std::pair<std::string, int64_t>> host_runs();
void reset_host_runs();

}  // namespace sn::cuda
