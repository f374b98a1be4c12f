#pragma once
// NumPy's .npy files (versions 1 to 3), for sennit-run.
#include <string>
#include <vector>

#include "base/dtype.h"
#include "base/file.h"
#include "base/shape.h"

namespace sn {

struct NpyArray {
    DType dtype = DType::kF32;
    Dims shape;
    std::vector<std::byte> data;  // row-major
};

// Fails with a FileError that names the path. Objects, structs, big-endian elements and the like
// are refused. `wanted`: 2-byte void or unsigned elements are taken as bfloat16 where that is
// wanted, since NumPy has no name for it.
NpyArray read_npy(const std::string& path, DType wanted);
// bfloat16 is written as float32, which holds it exactly.
void write_npy(const std::string& path, DType dtype, DimSpan shape, const void* data);

}  // namespace sn
