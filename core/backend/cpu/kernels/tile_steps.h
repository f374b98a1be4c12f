#pragma once
// A short epilogue (TileSteps) on the accumulators of a register tile. No step has more operands in
// flight than the registers that a tile leaves free.
#include <cstring>

#include "backend/cpu/epilogue.h"
#include "op/math.h"

namespace sn::cpu::SN_ISA {

#define SN_TILE_UNROLL _Pragma("GCC unroll 16")

// Two rounded operations where they are written as two: files with kernels are compiled without
// contraction. `load(p, j)` loads vector j of a row from p, `row(i)` is the row of the matrix that
// the tile's row i is, `col` the tile's first column.
template <class T, int kRows, int kVectors, class V, class Load, class Row>
[[gnu::always_inline]] inline void run_tile_steps(const TileSteps& list, int64_t col,
                                                  V (&acc)[kRows][kVectors], Load load, Row row) {
    constexpr int64_t kBytes = static_cast<int64_t>(sizeof(V));
    constexpr int64_t kElement = static_cast<int64_t>(sizeof(T));
    constexpr int kLanesOf = static_cast<int>(sizeof(V) / sizeof(T));
    alignas(sizeof(V)) T kept[kRows * kVectors * kLanesOf];
    const auto at = [&](const TileOperand& of) { return of.data + col * of.col_bytes; };
    const auto value = [&](const TileOperand& of, const char* p, int j) {
        return load(reinterpret_cast<const T*>(p + j * (kBytes / kElement) * of.col_bytes), j);
    };
    for (const TileStep *s = list.steps, *end = s + list.count; s != end; ++s) {
        switch (s->kind) {
            case TileStepKind::kAffine: {
                const char *a = at(s->of[0]), *b = at(s->of[1]), *c = at(s->of[2]);
                SN_TILE_UNROLL
                for (int j = 0; j < kVectors; ++j) {
                    const V va = value(s->of[0], a, j);
                    SN_TILE_UNROLL
                    for (int i = 0; i < kRows; ++i) acc[i][j] = acc[i][j] - va;
                    const V vb = value(s->of[1], b, j);
                    SN_TILE_UNROLL
                    for (int i = 0; i < kRows; ++i) acc[i][j] = acc[i][j] * vb;
                    const V vc = value(s->of[2], c, j);
                    SN_TILE_UNROLL
                    for (int i = 0; i < kRows; ++i) acc[i][j] = acc[i][j] + vc;
                }
                break;
            }
            case TileStepKind::kBias:
            case TileStepKind::kDivide: {
                const char* a = at(s->of[0]);
                const bool adds = s->kind == TileStepKind::kBias;
                SN_TILE_UNROLL
                for (int j = 0; j < kVectors; ++j) {
                    const V va = value(s->of[0], a, j);
                    if (adds) {
                        SN_TILE_UNROLL
                        for (int i = 0; i < kRows; ++i) acc[i][j] = acc[i][j] + va;
                    } else {
                        SN_TILE_UNROLL
                        for (int i = 0; i < kRows; ++i) acc[i][j] = acc[i][j] / va;
                    }
                }
                break;
            }
            case TileStepKind::kKeep: {
                T* to = kept;
                asm("" : "+r"(to) : : "memory");  // memory, not registers: there are none left
                SN_TILE_UNROLL
                for (int i = 0; i < kRows; ++i) {
                    SN_TILE_UNROLL
                    for (int j = 0; j < kVectors; ++j)
                        std::memcpy(to + (i * kVectors + j) * kLanesOf, &acc[i][j], sizeof(V));
                }
                break;
            }
            case TileStepKind::kTimesKept: {
                const T* from = kept;
                asm("" : "+r"(from) : : "memory");
                SN_TILE_UNROLL
                for (int i = 0; i < kRows; ++i) {
                    SN_TILE_UNROLL
                    for (int j = 0; j < kVectors; ++j) {
                        V k;
                        std::memcpy(&k, from + (i * kVectors + j) * kLanesOf, sizeof(V));
                        acc[i][j] = acc[i][j] * k;
                    }
                }
                break;
            }
            case TileStepKind::kAdd: {
                const char* a = at(s->of[0]);
                SN_TILE_UNROLL
                for (int i = 0; i < kRows; ++i) {
                    const char* p = a + row(i) * s->of[0].row_bytes;
                    SN_TILE_UNROLL
                    for (int j = 0; j < kVectors; ++j)
                        acc[i][j] = acc[i][j] + value(s->of[0], p, j);
                }
                break;
            }
            case TileStepKind::kRelu:
                SN_TILE_UNROLL
                for (int i = 0; i < kRows; ++i) {
                    SN_TILE_UNROLL
                    for (int j = 0; j < kVectors; ++j)
                        acc[i][j] = math::at_least<V>(acc[i][j], T{0});
                }
                break;
            case TileStepKind::kClip: {
                const V low = value(s->of[0], s->of[0].data, 0);
                const V high = value(s->of[1], s->of[1].data, 0);
                SN_TILE_UNROLL
                for (int i = 0; i < kRows; ++i) {
                    SN_TILE_UNROLL
                    for (int j = 0; j < kVectors; ++j) {
                        const V x = acc[i][j];
                        V m = x > low ? x : low;
                        m = m < high ? m : high;
                        acc[i][j] = x == x ? m : x;
                    }
                }
                break;
            }
        }
    }
}

#undef SN_TILE_UNROLL

}  // namespace sn::cpu::SN_ISA
