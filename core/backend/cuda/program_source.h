#pragma once
#include <string>

#include "backend/backend.h"
#include "backend/cuda/launch.h"
#include "backend/cuda/program_args.h"

namespace sn::cuda {

// A fused program as CUDA C++ and how it is launched. The text depends on the structure alone (ops,
// dtypes, which operands are broadcast or contiguous, whether rows fit the memory of a block):
// sizes, strides and numbers are arguments, so new shapes compile nothing.
//
//   const ProgramSource source = program_source(spec);             // once for a program
//   const Function& f = generated_function(device, source.text, source.entry);
//   uint64_t words[...];  source.args.fill(words, buffers, scalars, product);   // each run
//   launch(f, source.blocks, source.threads, source.shared_bytes, words, source.args.bytes());
struct ProgramSource {
    std::string text;
    std::string entry;          // of the kernel in it
    Grid blocks;                // empty (x = 0): nothing to do
    uint32_t threads = 256;     // of a block
    uint32_t shared_bytes = 0;  // at most 48 KiB
    ProgramArgs args;
};

ProgramSource program_source(const ProgramSpec& spec);

// Longest row of a program: one that a block of 1,024 threads reads once, each lane of the
// reduction tree a thread of its own.
inline constexpr int64_t kMaxProgramRow = 64 * 1024;

// Names of element types and of the types that they are computed in, as in kernels/device.cuh.
const char* element_type(DType dtype);
const char* compute_type(DType dtype);

}  // namespace sn::cuda
