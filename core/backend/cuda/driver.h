#pragma once
// NVIDIA's libraries, opened at run time. What is used of them is declared here in our own words,
// after the public documentation of the CUDA driver API, NVRTC and cuBLASLt; nothing of them is
// needed to build, and a process that never asks for "cuda" opens nothing.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace sn::cuda {

using Result = int;  // CUresult; 0: success
using DeviceHandle = int;
using DevicePointer = unsigned long long;
using Context = struct CUctx_st*;
using Module = struct CUmod_st*;
using Kernel = struct CUfunc_st*;
using Stream = struct CUstream_st*;
using Event = struct CUevent_st*;

// The names with which the driver exports them: a function whose form has changed has a suffix.
#define SN_DRIVER_FUNCTIONS(F)                                                                    \
    F(init, "cuInit", (unsigned flags))                                                           \
    F(driver_version, "cuDriverGetVersion", (int* version))                                       \
    F(error_name, "cuGetErrorName", (Result error, const char** text))                            \
    F(error_string, "cuGetErrorString", (Result error, const char** text))                        \
    F(device_count, "cuDeviceGetCount", (int* count))                                             \
    F(device_get, "cuDeviceGet", (DeviceHandle * device, int ordinal))                            \
    F(device_name, "cuDeviceGetName", (char* name, int bytes, DeviceHandle device))               \
    F(device_attribute, "cuDeviceGetAttribute", (int* value, int which, DeviceHandle device))     \
    F(device_memory, "cuDeviceTotalMem_v2", (size_t* bytes, DeviceHandle device))                 \
    F(retain_context, "cuDevicePrimaryCtxRetain", (Context * context, DeviceHandle device))       \
    F(set_context, "cuCtxSetCurrent", (Context context))                                          \
    F(memory_info, "cuMemGetInfo_v2", (size_t* free, size_t* total))                              \
    F(allocate, "cuMemAlloc_v2", (DevicePointer * memory, size_t bytes))                          \
    F(free, "cuMemFree_v2", (DevicePointer memory))                                               \
    F(allocate_pinned, "cuMemHostAlloc", (void** memory, size_t bytes, unsigned flags))           \
    F(free_pinned, "cuMemFreeHost", (void* memory))                                               \
    F(copy_to_device, "cuMemcpyHtoDAsync_v2",                                                     \
      (DevicePointer to, const void* from, size_t bytes, Stream stream))                          \
    F(copy_to_host, "cuMemcpyDtoHAsync_v2",                                                       \
      (void* to, DevicePointer from, size_t bytes, Stream stream))                                \
    F(copy_within, "cuMemcpyDtoDAsync_v2",                                                        \
      (DevicePointer to, DevicePointer from, size_t bytes, Stream stream))                        \
    F(fill_bytes, "cuMemsetD8Async",                                                              \
      (DevicePointer to, unsigned char value, size_t bytes, Stream stream))                       \
    F(create_stream, "cuStreamCreate", (Stream * stream, unsigned flags))                         \
    F(synchronize_stream, "cuStreamSynchronize", (Stream stream))                                 \
    F(create_event, "cuEventCreate", (Event * event, unsigned flags))                             \
    F(record_event, "cuEventRecord", (Event event, Stream stream))                                \
    F(query_event, "cuEventQuery", (Event event))                                                 \
    F(wait_event, "cuStreamWaitEvent", (Stream stream, Event event, unsigned flags))              \
    F(copy_peer, "cuMemcpyPeerAsync",                                                             \
      (DevicePointer to, Context to_context, DevicePointer from, Context from_context,            \
       size_t bytes, Stream stream))                                                              \
    F(can_access_peer, "cuDeviceCanAccessPeer",                                                   \
      (int* can, DeviceHandle device, DeviceHandle peer))                                         \
    F(enable_peer_access, "cuCtxEnablePeerAccess", (Context peer, unsigned flags))                \
    F(synchronize_event, "cuEventSynchronize", (Event event))                                     \
    F(pointer_attribute, "cuPointerGetAttribute", (void* value, int which, DevicePointer memory)) \
    F(load_module, "cuModuleLoadData", (Module * module, const void* image))                      \
    F(get_kernel, "cuModuleGetFunction", (Kernel * kernel, Module module, const char* name))      \
    F(set_kernel_attribute, "cuFuncSetAttribute", (Kernel kernel, int which, int value))          \
    F(launch_kernel, "cuLaunchKernel",                                                            \
      (Kernel kernel, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,        \
       unsigned block_y, unsigned block_z, unsigned shared_bytes, Stream stream, void** params,   \
       void** extra))

using CompilerResult = int;  // nvrtcResult; 0: success
using CompilerProgram = struct _nvrtcProgram*;

#define SN_COMPILER_FUNCTIONS(F)                                                                  \
    F(version, "nvrtcVersion", (int* major, int* minor))                                          \
    F(arch_count, "nvrtcGetNumSupportedArchs", (int* count))                                      \
    F(archs, "nvrtcGetSupportedArchs", (int* all))                                                \
    F(create, "nvrtcCreateProgram",                                                               \
      (CompilerProgram * program, const char* source, const char* name, int headers,              \
       const char* const* header_texts, const char* const* header_names))                         \
    F(compile, "nvrtcCompileProgram", (CompilerProgram program, int count, const char* const* o)) \
    F(log_size, "nvrtcGetProgramLogSize", (CompilerProgram program, size_t* bytes))               \
    F(log, "nvrtcGetProgramLog", (CompilerProgram program, char* text))                           \
    F(cubin_size, "nvrtcGetCUBINSize", (CompilerProgram program, size_t* bytes))                  \
    F(cubin, "nvrtcGetCUBIN", (CompilerProgram program, char* data))                              \
    F(ptx_size, "nvrtcGetPTXSize", (CompilerProgram program, size_t* bytes))                      \
    F(ptx, "nvrtcGetPTX", (CompilerProgram program, char* data))                                  \
    F(destroy, "nvrtcDestroyProgram", (CompilerProgram * program))

using BlasResult = int;  // cublasStatus_t; 0: success
using BlasHandle = struct cublasLtContext*;
using BlasMatmul = struct cublasLtMatmulDescOpaque_t*;
using BlasLayout = struct cublasLtMatrixLayoutOpaque_t*;
using BlasPreference = struct cublasLtMatmulPreferenceOpaque_t*;
struct BlasAlgorithm {
    uint64_t data[8];
};
struct BlasHeuristic {
    BlasAlgorithm algorithm;
    size_t workspace_bytes;
    BlasResult state;
    float waves;
    int reserved[4];
};

#define SN_BLAS_FUNCTIONS(F)                                                                      \
    F(create, "cublasLtCreate", (BlasHandle * handle))                                            \
    F(create_matmul, "cublasLtMatmulDescCreate", (BlasMatmul * matmul, int compute, int scale))   \
    F(set_matmul, "cublasLtMatmulDescSetAttribute",                                               \
      (BlasMatmul matmul, int which, const void* value, size_t bytes))                            \
    F(destroy_matmul, "cublasLtMatmulDescDestroy", (BlasMatmul matmul))                           \
    F(create_layout, "cublasLtMatrixLayoutCreate",                                                \
      (BlasLayout * layout, int dtype, uint64_t rows, uint64_t columns, int64_t ld))              \
    F(set_layout, "cublasLtMatrixLayoutSetAttribute",                                             \
      (BlasLayout layout, int which, const void* value, size_t bytes))                            \
    F(destroy_layout, "cublasLtMatrixLayoutDestroy", (BlasLayout layout))                         \
    F(create_preference, "cublasLtMatmulPreferenceCreate", (BlasPreference * preference))         \
    F(set_preference, "cublasLtMatmulPreferenceSetAttribute",                                     \
      (BlasPreference preference, int which, const void* value, size_t bytes))                    \
    F(destroy_preference, "cublasLtMatmulPreferenceDestroy", (BlasPreference preference))         \
    F(find_algorithm, "cublasLtMatmulAlgoGetHeuristic",                                           \
      (BlasHandle handle, BlasMatmul matmul, BlasLayout a, BlasLayout b, BlasLayout c,            \
       BlasLayout d, BlasPreference preference, int wanted, BlasHeuristic* found, int* count))    \
    F(matmul, "cublasLtMatmul",                                                                   \
      (BlasHandle handle, BlasMatmul matmul, const void* alpha, const void* a, BlasLayout a_is,   \
       const void* b, BlasLayout b_is, const void* beta, const void* c, BlasLayout c_is, void* d, \
       BlasLayout d_is, const BlasAlgorithm* algorithm, void* workspace, size_t workspace_bytes,  \
       Stream stream))

// One library: what was looked for and what was found, and its functions once it is open.
struct Library {
    std::string found;                // its path or name; empty: not there
    std::vector<std::string> looked;  // "place: why not", in order
    std::string problem;              // why it cannot be used, with what to do
    explicit operator bool() const { return problem.empty() && !found.empty(); }
};

#define SN_MEMBER(member, name, parameters) Result(*member) parameters = nullptr;
struct Driver : Library {
    SN_DRIVER_FUNCTIONS(SN_MEMBER)
    int version_found = 0;  // of CUDA, 13000 for 13.0
    int devices = 0;
};
struct Compiler : Library {
    SN_COMPILER_FUNCTIONS(SN_MEMBER)
    int major = 0, minor = 0;
    std::vector<int> known;  // architectures: 90 for compute capability 9.0
};
struct Blas : Library {
    SN_BLAS_FUNCTIONS(SN_MEMBER)
    size_t version_found = 0;  // 130000 for 13.0.0
};
#undef SN_MEMBER

// What this process has found; opened by the first call.
struct Libraries {
    Driver driver;
    Compiler compiler;
};
const Libraries& libraries();
const Blas& blas();  // a large library: opened by its first use

// Where Python's packages lie, whose folders hold NVIDIA's libraries; called at most once, when
// libraries are looked for, and not under any lock.
using PackageFolders = std::vector<std::string> (*)();
void set_package_folders(PackageFolders folders);

// Fails when a call of the driver has: with what was done, what the driver says, what to try.
void check(Result result, const char* doing);
std::string error_text(Result result);  // "CUDA_ERROR_OUT_OF_MEMORY: out of memory"
inline constexpr Result kOutOfMemory = 2;

}  // namespace sn::cuda
