// Tile programs: fused equals unfused bit for bit, in any layout, at any level, with any number of
// threads. "Unfused" runs every instruction as a program of its own over dense buffers.
#include "backend/cpu/program.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "backend/cpu/cpu_tables.h"
#include "backend/cpu/reduce.h"
#include "base/error.h"
#include "check.h"
#include "engine/pool.h"
#include "op/elementwise.h"
#include "program_cases.h"

TEST(fused_equals_unfused) {
    const CpuTables& best = cpu_tables();
    const CpuTables* other = find_cpu_tables("avx2");
    int round = 0;
    for (const std::vector<int64_t>& shape : kShapes) {
        int64_t points = 1;
        for (int64_t s : shape) points *= s;
        for (int repeat = 0; repeat < (points > 20000 ? 12 : 60); ++repeat, ++round) {
            const int most = std::min<int>(static_cast<int>(shape.size()), 3);
            int row_dims = pick(most + 1);
            if (points == 0) row_dims = 0;
            const auto row = [&] {
                int64_t n = 1;
                for (size_t d = shape.size() - static_cast<size_t>(row_dims); d < shape.size(); ++d)
                    n *= shape[d];
                return n;
            };
            while (row() > ProgramBuilder::max_row(DType::kF32)) --row_dims;
            Case c = random_case(shape, row_dims, 1 + pick(25));
            set_cpu_tables(best);
            set_pool_threads(2);
            std::string text;
            const Results fused = run_fused(c, &text);
            const bool unfused_same = same_results(c, fused, run_unfused(c));
            set_pool_threads(1 + pick(3));
            const bool threads_same = same_results(c, fused, run_fused(c));
            bool level_same = true;
            if (other) {
                set_cpu_tables(*other);
                level_same = same_results(c, fused, run_fused(c));
            }
            CHECK(unfused_same);
            CHECK(threads_same);
            CHECK(level_same);
            if (!unfused_same || !threads_same || !level_same) {
                std::fprintf(stderr, "round %d, row_dims %d\n%s", round, row_dims, text.c_str());
                if (sn::test::counts().failures > 6) return;
            }
        }
    }
    set_cpu_tables(best);
    set_pool_threads(2);
}

TEST(copies_follow_strides) {
    // Against plain index arithmetic: fused and unfused could agree on the wrong element.
    for (const std::vector<int64_t>& shape : kShapes) {
        for (int style = 0; style < 7; ++style) {
            for (DType d : {DType::kF32, DType::kI8, DType::kBF16, DType::kF64}) {
                Case c;
                c.shape = shape;
                Buffer in;
                const Strides from = random_layout(c, in, d, style);
                Strides to = dense(shape);
                if (style % 2 && shape.size() == 2) to = {1, std::max<int64_t>(shape[0], 1)};
                const size_t size = dtype_size(d);
                std::vector<char> out(static_cast<size_t>(c.points()) * size + 1), want(out.size());
                ProgramBuilder b(shape, 0);
                b.output(b.input(d, from, 0), to, 1);
                void* buffers[] = {in.at(d), out.data()};
                run_program(*b.finish(), {buffers, nullptr});
                for (int64_t i = 0; i < c.points(); ++i) {
                    int64_t rest = i, x = 0, y = 0;
                    for (size_t k = shape.size(); k-- > 0;) {
                        x += rest % shape[k] * from[k];
                        y += rest % shape[k] * to[k];
                        rest /= shape[k];
                    }
                    std::memcpy(&want[static_cast<size_t>(y) * size],
                                static_cast<char*>(in.at(d)) + x * static_cast<int64_t>(size),
                                size);
                }
                CHECK_BITS(out.data(), want.data(), out.size());
            }
        }
    }
}

TEST(program_reduction_is_the_standalone_one) {
    for (int64_t rows : {1, 5, 130}) {
        for (int64_t cols : {1, 10, 16, 100, 1024, 1500, 5000}) {
            const std::vector<int64_t> shape = {rows, cols};
            const Strides strides = {cols, 1}, transposed = {1, rows}, row = {1, 0};
            Buffer in;
            fill(in, DType::kF32, rows * cols);
            for (const Strides& s : {strides, transposed}) {
                for (int kind = 0; kind < 8; ++kind) {
                    if (kind == 4 || kind == 5) continue;
                    std::vector<float> a(static_cast<size_t>(rows)), b(static_cast<size_t>(rows));
                    ProgramBuilder p(shape, 1);
                    p.output(p.reduce(static_cast<ReduceKind>(kind), p.input(DType::kF32, s, 0)),
                             row, 1);
                    void* buffers[] = {in.bytes.data(), a.data()};
                    run_program(*p.finish(), {buffers, nullptr});
                    reduce({static_cast<ReduceKind>(kind), DType::kF32, DType::kF32, 2,
                            shape.data(), s.data(), 2, in.bytes.data(), b.data()});
                    bool ok = true;
                    for (size_t i = 0; i < a.size(); ++i)
                        ok &= std::memcmp(&a[i], &b[i], 4) == 0 || (a[i] != a[i] && b[i] != b[i]);
                    CHECK(ok);
                }
            }
        }
    }
}

TEST(softmax_of_any_length) {
    // The joined loop of exponential and sum, long rows in pieces, outputs past the caches (the
    // last shape) and in place: the bits of every step done by itself.
    struct Size {
        int64_t rows, cols;
    };
    for (Size size : {Size{64, 10}, Size{7, 100}, Size{5, 1024}, Size{5, 1500}, Size{3, 2048},
                      Size{3, 2049}, Size{3, 5000}, Size{2, 16384}, Size{1600, 4099}}) {
        for (DType d : {DType::kF32, DType::kBF16, DType::kF64}) {
            if (d != DType::kF32 && size.rows > 100) continue;
            if (d == DType::kF64 && size.cols > ProgramBuilder::max_row(d)) continue;
            const std::vector<int64_t> shape = {size.rows, size.cols};
            const Strides full = {size.cols, 1}, row = {1, 0};
            const int64_t points = size.rows * size.cols;
            const size_t bytes = static_cast<size_t>(points) * dtype_size(d);
            Buffer x;
            fill(x, d, points);
            std::vector<char> m(bytes), e(bytes), sum(bytes), want(bytes), got(bytes), side(bytes);
            const auto step = [&](int op, void* a, void* b, void* out) {
                ProgramBuilder p(shape, 1);
                std::vector<int> args = {p.input(d, full, 0)};
                if (b) args.push_back(p.input(d, row, 1));
                p.output(p.apply(op, d, args), full, 2);
                void* buffers[] = {a, b, out};
                run_program(*p.finish(), {buffers, nullptr});
            };
            const auto along = [&](ReduceKind kind, void* a, void* out) {
                reduce({kind, d, d, 2, shape.data(), full.data(), 2, a, out});
            };
            along(ReduceKind::kMax, x.at(d), m.data());
            step(kTile_subtract, x.at(d), m.data(), e.data());
            step(kTile_exp, e.data(), nullptr, e.data());
            along(ReduceKind::kSum, e.data(), sum.data());
            step(kTile_divide, e.data(), sum.data(), want.data());

            for (bool keep : {false, true}) {  // the exponentials are wanted too
                ProgramBuilder p(shape, 1);
                const int v = p.input(d, full, 0);
                const auto apply = [&](int op, std::vector<int> args) {
                    return p.apply(op, d, args);
                };
                const int shifted = apply(kTile_subtract, {v, p.reduce(ReduceKind::kMax, v)});
                const int exps = apply(kTile_exp, {shifted});
                const int total = p.reduce(ReduceKind::kSum, exps);
                p.output(apply(kTile_divide, {exps, total}), full, 1);
                if (keep) p.output(exps, full, 2);
                const auto program = p.finish();
                void* apart[] = {x.at(d), got.data(), side.data()};
                run_program(*program, {apart, nullptr});
                CHECK_BITS(got.data(), want.data(), bytes);
                if (keep) CHECK_BITS(side.data(), e.data(), bytes);
                std::memcpy(side.data(), x.at(d), bytes);
                void* shared[] = {side.data(), side.data(), got.data()};
                run_program(*program, {shared, nullptr});
                CHECK_BITS(side.data(), want.data(), bytes);
            }
        }
    }
}

TEST(in_place) {
    // x is read again after an output that shares its buffer was written; and a swap of two
    // buffers.
    const std::vector<int64_t> shape = {3000};
    const Strides one = {1};
    for (int variant = 0; variant < 3; ++variant) {
        std::vector<float> x(3000), y(3000), want0(3000), want1(3000), spare(3000);
        for (size_t i = 0; i < x.size(); ++i) {
            x[i] = static_cast<float>(i) * 0.25f - 100;
            y[i] = static_cast<float>(i % 7);
        }
        ProgramBuilder b(shape, 0);
        const int vx = b.input(DType::kF32, one, 0), vy = b.input(DType::kF32, one, 1);
        int first, second;
        if (variant == 2) {
            first = vy;
            second = vx;
        } else {
            first = b.apply(kTile_add, DType::kF32, std::vector<int>{vx, vy});
            second = b.apply(kTile_multiply, DType::kF32, std::vector<int>{vx, first});
        }
        b.output(first, one, 2);
        b.output(second, one, 3);
        const auto p = b.finish();
        void* apart[] = {x.data(), y.data(), want0.data(), want1.data()};
        run_program(*p, {apart, nullptr});
        void* shared[] = {x.data(), y.data(), x.data(), variant == 1 ? spare.data() : y.data()};
        run_program(*p, {shared, nullptr});
        CHECK_BITS(x.data(), want0.data(), x.size());
        CHECK_BITS(variant == 1 ? spare.data() : y.data(), want1.data(), x.size());
    }
}

TEST(block) {
    // The epilogue of a product: bias, activation and residual on a block of the result.
    const int64_t m = 37, n = 700;
    std::vector<float> product(static_cast<size_t>(m * n)), residual(product.size()), bias(n),
        want(product.size()), got(product.size());
    for (size_t i = 0; i < product.size(); ++i) {
        product[i] = static_cast<float>(i % 101) * 0.1f - 5;
        residual[i] = static_cast<float>(i % 17);
    }
    for (size_t i = 0; i < bias.size(); ++i) bias[i] = static_cast<float>(i) * 0.01f;
    const std::vector<int64_t> shape = {m, n};
    const Strides full = {n, 1}, column = {0, 1};
    ProgramBuilder b(shape, 0);
    int v = b.input(DType::kF32, full, 0);
    v = b.apply(kTile_add, DType::kF32, std::vector<int>{v, b.input(DType::kF32, column, 1)});
    v = b.apply(kTile_tanh, DType::kF32, std::vector<int>{v});
    v = b.apply(kTile_multiply, DType::kF32, std::vector<int>{v, b.scalar(DType::kF32, 0)});
    v = b.apply(kTile_add, DType::kF32, std::vector<int>{v, b.input(DType::kF32, full, 2)});
    b.output(v, full, 3);
    const auto p = b.finish();
    const Scalar scalars[] = {Scalar::of_float(0.5)};
    void* buffers[] = {product.data(), bias.data(), residual.data(), want.data()};
    run_program(*p, {buffers, scalars});
    buffers[3] = got.data();
    for (int64_t r = 0; r < m; r += 12) {
        for (int64_t c = 0; c < n; c += 64) {
            const int64_t rows = std::min<int64_t>(12, m - r), cols = std::min<int64_t>(64, n - c);
            std::vector<float> tile(12 * 80);
            for (int64_t i = 0; i < rows; ++i)
                std::memcpy(&tile[static_cast<size_t>(i * 80)],
                            &product[static_cast<size_t>((r + i) * n + c)],
                            static_cast<size_t>(cols) * 4);
            run_program_block(*p, {buffers, scalars}, 0, tile.data(), 80, r, rows, c, cols);
        }
    }
    CHECK_BITS(got.data(), want.data(), want.size());
}

TEST(block_of_whole_rows) {
    // Short rows go through the interpreter several at a time, with the product in the output, in a
    // dense tile of its own, and beside padding (row by row): the same bits.
    const int64_t m = 45;
    for (int64_t n : {1, 10, 32, 48, 300}) {
        const size_t size = static_cast<size_t>(m * n);
        std::vector<float> product(size), bias(static_cast<size_t>(n)), per_row(m), want(size);
        for (size_t i = 0; i < size; ++i) product[i] = static_cast<float>(i % 101) * 0.1f - 5;
        for (size_t i = 0; i < bias.size(); ++i) bias[i] = static_cast<float>(i) * 0.01f;
        for (size_t i = 0; i < per_row.size(); ++i) per_row[i] = static_cast<float>(i) - 7;
        const std::vector<int64_t> shape = {m, n};
        const Strides full = {n, 1}, column = {0, 1}, row = {1, 0};
        ProgramBuilder b(shape, 0);
        const int x = b.input(DType::kF32, full, 0);
        int v =
            b.apply(kTile_add, DType::kF32, std::vector<int>{x, b.input(DType::kF32, column, 1)});
        v = b.apply(kTile_multiply, DType::kF32, std::vector<int>{v, b.input(DType::kF32, row, 2)});
        b.output(b.apply(kTile_greater, DType::kF32, std::vector<int>{v, x}), full, 4);
        b.output(b.apply(kTile_tanh, DType::kF32, std::vector<int>{v}), full, 3);
        const auto p = b.finish();
        std::vector<uint8_t> want_mask(size);
        void* buffers[] = {product.data(), bias.data(), per_row.data(), want.data(),
                           want_mask.data()};
        run_program(*p, {buffers, nullptr});
        for (int64_t ld : {int64_t{0}, n, n + 5}) {
            std::vector<float> got(ld ? size : 0);
            std::vector<uint8_t> mask(size);
            if (!ld) got = product;
            buffers[3] = got.data();
            buffers[4] = mask.data();
            for (int64_t r = 0; r < m; r += 12) {
                const int64_t rows = std::min<int64_t>(12, m - r);
                std::vector<float> tile(static_cast<size_t>(12 * ld));
                for (int64_t i = 0; i < rows && ld; ++i)
                    std::memcpy(&tile[static_cast<size_t>(i * ld)],
                                &product[static_cast<size_t>((r + i) * n)],
                                static_cast<size_t>(n) * 4);
                const float* from = ld ? tile.data() : got.data() + r * n;
                run_program_block(*p, {buffers, nullptr}, 0, from, ld ? ld : n, r, rows, 0, n);
            }
            CHECK_BITS(got.data(), want.data(), want.size());
            CHECK(mask == want_mask);
        }
    }
}

// An Adam update, over inputs in any order of their buffers. `extra`: something else reads the
// mean.
Case adam(const std::vector<int64_t>& shape, DType dtype, bool swapped, bool extra) {
    Case c;
    c.shape = shape;
    const auto input = [&] {
        c.nodes.push_back({Node::kInput, dtype, dtype, 0, {}, dense(shape)});
        c.inputs.resize(c.nodes.size());
        fill(c.inputs.back(), dtype, std::max<int64_t>(c.points(), 1));
        return static_cast<int>(c.nodes.size()) - 1;
    };
    const auto scalar = [&](double value) {
        c.nodes.push_back({Node::kScalar, dtype, dtype, static_cast<int>(c.scalars.size())});
        c.scalars.push_back(Scalar::of_float(value));
        c.nodes.back().scalar = true;
        c.inputs.resize(c.nodes.size());
        return static_cast<int>(c.nodes.size()) - 1;
    };
    const auto apply = [&](int op, std::vector<int> args) {
        if (swapped && args.size() == 2) std::swap(args[0], args[1]);
        c.nodes.push_back({Node::kApply, dtype, dtype, op, args});
        c.inputs.resize(c.nodes.size());
        return static_cast<int>(c.nodes.size()) - 1;
    };
    const int p = input(), m = input(), v = input(), g = input();
    const int mean = apply(kTile_lerp, {m, g, scalar(0.1)});
    const int square = apply(kTile_multiply, {g, g});
    const int squares = apply(kTile_lerp, {v, apply(kTile_abs, {square}), scalar(0.75)});
    const int squares2 = apply(kTile_lerp, {v, square, scalar(0.001)});
    const int root = apply(kTile_sqrt, {squares2});
    const int next = apply(kTile_addcdiv, {p, apply(kTile_multiply, {mean, scalar(-1e-3)}),
                                           apply(kTile_add, {root, scalar(1e-8)})});
    c.outputs = {mean, next, squares2};
    if (extra) c.outputs.push_back(apply(kTile_add, {mean, squares}));
    for (size_t i = 0; i < c.outputs.size(); ++i) c.out_strides.push_back(dense(shape));
    return c;
}

TEST(chain_is_its_steps) {
    const CpuTables& best = cpu_tables();
    for (const auto& shape : kShapes) {
        for (int variant = 0; variant < 4; ++variant) {
            Case c = adam(shape, DType::kF32, variant & 1, variant & 2);
            std::string text;
            const Results fused = run_fused(c, &text);
            CHECK(same_results(c, fused, run_unfused(c)));
            // Other readers of a step leave it to the ordinary loops, and so does a single point.
            if (best.tile->chains[0] && c.points() != 1)
                CHECK_EQ(text.find("= adam") != std::string::npos, !(variant & 2));
        }
        for (DType d : {DType::kF64, DType::kF16, DType::kBF16}) {
            Case c = adam(shape, d, false, false);
            std::string text;
            const Results fused = run_fused(c, &text);
            CHECK(same_results(c, fused, run_unfused(c)));
            CHECK(text.find("= adam") == std::string::npos);
        }
    }
}

TEST(chain_in_place_and_behind_a_product) {
    // Every result in the buffer of an input, not always its own; and the gradient as the block of
    // a product.
    const int64_t rows = 37, cols = 700;
    const size_t size = static_cast<size_t>(rows * cols);
    const std::vector<int64_t> shape = {rows, cols};
    const Strides full = {cols, 1};
    std::vector<float> start[4];
    for (size_t k = 0; k < 4; ++k) {
        start[k].resize(size);
        for (size_t i = 0; i < size; ++i)
            start[k][i] = static_cast<float>(i * (k + 3) % 101) * 0.01f + (k == 2 ? 0.0f : -0.5f);
    }
    ProgramBuilder b(shape, 0);
    const auto apply = [&](int op, const std::vector<int>& a) {
        return b.apply(op, DType::kF32, a);
    };
    const int p = b.input(DType::kF32, full, 0), m = b.input(DType::kF32, full, 1),
              v = b.input(DType::kF32, full, 2), g = b.input(DType::kF32, full, 3);
    const int mean = apply(kTile_lerp, {m, g, b.scalar(DType::kF32, 0)});
    const int squares =
        apply(kTile_lerp, {v, apply(kTile_multiply, {g, g}), b.scalar(DType::kF32, 1)});
    const int rated = apply(kTile_multiply, {mean, b.scalar(DType::kF32, 2)});
    const int root = apply(kTile_add, {apply(kTile_sqrt, {squares}), b.scalar(DType::kF32, 3)});
    b.output(mean, full, 5);
    b.output(squares, full, 6);
    b.output(apply(kTile_addcdiv, {p, rated, root}), full, 4);
    const auto program = b.finish();
    if (cpu_tables().tile->chains[0])
        CHECK(print_program(*program).find("= adam") != std::string::npos);
    const Scalar scalars[] = {Scalar::of_float(0.1), Scalar::of_float(0.001),
                              Scalar::of_float(-1e-3), Scalar::of_float(1e-8)};
    std::vector<float> want[3];
    for (auto& w : want) w.resize(size);
    {
        auto in = std::to_array({start[0], start[1], start[2], start[3]});
        void* buffers[] = {in[0].data(),   in[1].data(),   in[2].data(),  in[3].data(),
                           want[0].data(), want[1].data(), want[2].data()};
        run_program(*program, {buffers, scalars});
    }
    for (const auto& to :
         {std::to_array({0, 1, 2}), std::to_array({2, 0, 1}), std::to_array({3, 2, 1})}) {
        for (const bool product : {false, true}) {
            auto in = std::to_array({start[0], start[1], start[2], start[3]});
            void* buffers[7];
            for (size_t k = 0; k < 4; ++k) buffers[k] = in[k].data();
            for (size_t k = 0; k < 3; ++k) buffers[4 + k] = in[static_cast<size_t>(to[k])].data();
            if (!product) {
                run_program(*program, {buffers, scalars});
            } else {
                if (to[0] == 3) continue;  // a block's gradient is in no buffer
                for (int64_t r = 0; r < rows; r += 12) {
                    const int64_t count = std::min<int64_t>(12, rows - r);
                    run_program_block(*program, {buffers, scalars}, 3, &start[3][r * cols], cols, r,
                                      count, 0, cols);
                }
            }
            for (size_t k = 0; k < 3; ++k)
                CHECK_BITS(static_cast<float*>(buffers[4 + k]), want[k].data(), size);
        }
    }
}

TEST(long_program) {
    // 4,096 dependent instructions over few elements, and as many inputs as outputs.
    const std::vector<int64_t> shape = {20};
    const Strides one = {1};
    ProgramBuilder b(shape, 0);
    int v = b.input(DType::kF32, one, 0);
    const int s = b.scalar(DType::kF32, 0);
    for (int i = 0; i < 4096; ++i)
        v = b.apply(i % 2 ? kTile_subtract : kTile_add, DType::kF32, std::vector<int>{v, s});
    b.output(v, one, 1);
    const auto p = b.finish();
    std::vector<float> x(20, 3), y(20);
    void* buffers[] = {x.data(), y.data()};
    const Scalar one_half = Scalar::of_float(0.5);
    run_program(*p, {buffers, &one_half});
    for (float f : y) CHECK_EQ(f, 3.0f);

    ProgramBuilder wide({{20}}, 0);
    std::vector<std::vector<float>> data(400, std::vector<float>(20, 1));
    std::vector<void*> pointers;
    for (auto& d : data) pointers.push_back(d.data());
    std::vector<int> values;
    for (int i = 0; i < 200; ++i) values.push_back(wide.input(DType::kF32, one, i));
    for (int i = 0; i < 200; ++i) {
        wide.output(wide.apply(kTile_add, DType::kF32,
                               std::vector<int>{values[static_cast<size_t>(i)],
                                                values[static_cast<size_t>((i + 1) % 200)]}),
                    one, 200 + i);
    }
    run_program(*wide.finish(), {pointers.data(), nullptr});
    CHECK(data[200][0] == 2 && data[399][19] == 2);
}

int main(int argc, char** argv) { return sn::test::run(argc, argv); }
