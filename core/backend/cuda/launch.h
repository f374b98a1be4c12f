#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace sn::cuda {

// A kernel that a device can run. Lives as long as the process.
struct Function;

// A kernel of a source that is part of the library ("gather.cu"), compiled for this device with
// these definitions ("SN_T=float"). The first call for a set of definitions compiles, or reads the
// cache on disk; later ones look it up. `definitions` are part of the identity, in their order.
const Function& function(int device, std::string_view file, std::string_view entry,
                         std::span<const std::string> definitions);

// A kernel of a source that was made at run time, such as that of a fused program.
const Function& generated_function(int device, const std::string& source, std::string_view entry);

struct Grid {
    uint32_t x = 1, y = 1, z = 1;
};

// Issues a kernel on its device's stream. Every kernel takes one struct by value (SN_KERNEL in
// kernels/device.cuh): `args`. Nothing is launched when the grid is empty.
void launch(const Function& function, Grid blocks, uint32_t threads, uint32_t shared_bytes,
            const void* args, size_t bytes);
template <class Args>
void launch(const Function& function, Grid blocks, uint32_t threads, const Args& args,
            uint32_t shared_bytes = 0) {
    launch(function, blocks, threads, shared_bytes, &args, sizeof(Args));
}

// Text of a source that is part of the library, by file name; empty when there is none. Made by
// cmake/CudaSources.cmake from kernels/* and the headers of core/op that they include.
std::string_view source_text(std::string_view file);

}  // namespace sn::cuda
