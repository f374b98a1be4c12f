#pragma once
// The container of weights and models: the safetensors format, read from memory and written. The
// same checks as in sennit/_files.py; a test compares the two on damaged files.
#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "base/shape.h"

namespace sn {

struct StoredTensor {
    std::string name;
    DType dtype = DType::kF32;
    Dims shape;
    std::span<const std::byte> data;  // of the file
};

struct StoredFile {
    std::vector<StoredTensor> tensors;            // in the order of the header
    std::map<std::string, std::string> metadata;  // without the checksum
};

// Everything is checked: header, offsets, shapes, dtypes, that no bytes overlap or are left over,
// and, where the file has one and `checksum` asks for it, the checksum. Anything wrong is a
// FileError. What is returned points into `file`, and takes memory in proportion to the header.
StoredFile read_safetensors(std::span<const std::byte> file, bool checksum = true);

// The whole file, with a checksum. Names must differ, and be UTF-8.
std::string write_safetensors(std::span<const StoredTensor> tensors,
                              const std::map<std::string, std::string>& metadata);

}  // namespace sn
