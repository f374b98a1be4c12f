#pragma once
#include <initializer_list>
#include <string>

#include "backend/cuda/wrap.h"

namespace sn::cuda {

// How kernels/product.cuh cuts a product: sums of a thread block, and of a thread in it.
struct ProductTile {
    int m, n, thread_m, thread_n;
    uint32_t threads() const { return static_cast<uint32_t>(m / thread_m * (n / thread_n)); }
};

// The variants of a kernel for some of its tiles; the code of one is its index.
inline KernelSource::Axis tile_axis(const ProductTile* tiles, std::initializer_list<int> chosen) {
    KernelSource::Axis axis;
    for (int t : chosen) {
        const ProductTile& tile = tiles[t];
        axis.push_back(
            {t,
             {"SN_M=" + std::to_string(tile.m), "SN_N=" + std::to_string(tile.n),
              "SN_TM=" + std::to_string(tile.thread_m), "SN_TN=" + std::to_string(tile.thread_n)}});
    }
    return axis;
}

}  // namespace sn::cuda
