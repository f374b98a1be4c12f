#pragma once
#include <string>

#include "backend/backend.h"

namespace sn::cuda {

// A fused program as CUDA C++ and how it is launched. The text depends on the structure alone (ops,
// dtypes, which operands are broadcast, whether a row fits the registers): sizes, strides and
// numbers are arguments, so new shapes compile nothing.
struct ProgramSource {
    std::string text;
    std::string entry;         // of the kernel in it
    uint32_t threads = 256;    // of a block
    uint32_t shared_bytes = 0;
};

ProgramSource program_source(const ProgramSpec& spec);

}  // namespace sn::cuda
