#pragma once
// Files of compiled kernels, with which a machine without NVRTC runs a program.
#include <string>
#include <vector>

namespace sn::cuda {

struct PackEntry {
    std::string key;   // of the source, its definitions and headers
    std::string name;  // for messages
    int arch = 0;      // 90: compute capability 9.0
    std::string image;
};

// Adds a file's kernels to those of this process. Fails with a FileError for one that is damaged or
// of another version of Sennit, and with a DeviceError for code that the driver cannot load.
void load_pack(const std::string& path);
void write_pack(const std::string& path, const std::vector<PackEntry>& entries);

bool have_packs();  // reads the files in SENNIT_CUDA_PACK the first time
// The code for a device of this capability: made for it, or for an older one of its generation.
const PackEntry* packed(const std::string& key, int capability);
std::string pack_names();  // of the files, for messages

}  // namespace sn::cuda
