// Kernels that place, index, sort, scan and draw: against plain loops, and the same bits for every
// number of threads.
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <random>

#include "backend/cpu/kernel_sets.h"
#include "base/error.h"
#include "base/shape.h"
#include "check.h"
#include "engine/pool.h"
#include "op/op.h"

using namespace sn;

namespace {

const KernelTable& table() {
    static const KernelTable* made = [] {
        auto* t = new KernelTable;
        cpu::kernel_sets().register_kernels(*t);
        return t;
    }();
    return *made;
}

// A tensor of the test: a buffer and how it is read.
struct Array {
    DType dtype;
    Dims shape, strides;
    std::vector<char> bytes;
    int64_t offset = 0;

    Array(DType d, Dims s) : dtype(d), shape(s), strides(contiguous_strides(s)) {
        bytes.resize(static_cast<size_t>(sn::numel(s)) * dtype_size(d) + 8);
    }
    template <class T>
    Array(DType d, Dims s, const std::vector<T>& values) : Array(d, s) {
        std::memcpy(bytes.data(), values.data(), values.size() * sizeof(T));
    }
    template <class T>
    T* as() {
        return reinterpret_cast<T*>(bytes.data());
    }
    template <class T>
    std::vector<T> values() {
        return {as<T>(), as<T>() + sn::numel(shape)};
    }
    TensorView view() {
        return {bytes.data() + offset * static_cast<int64_t>(dtype_size(dtype)), shape.data(),
                strides.data(), static_cast<int>(shape.size()), dtype};
    }
};

Array number(int64_t v) { return Array(DType::kI64, {}, std::vector<int64_t>{v}); }
Array number(double v) { return Array(DType::kF64, {}, std::vector<double>{v}); }

void run(const char* op, std::vector<Array*> in, const Attrs& attrs, std::vector<Array*> out) {
    std::vector<TensorView> vin, vout;
    for (Array* a : in) vin.push_back(a->view());
    for (Array* a : out) vout.push_back(a->view());
    KernelCall call{vin.data(),
                    static_cast<int>(vin.size()),
                    vout.data(),
                    static_cast<int>(vout.size()),
                    attrs.words().data(),
                    nullptr,
                    nullptr};
    const OpId id = find_op(op);
    std::vector<char> workspace;
    if (const WorkspaceFn bytes = table().workspace(id)) workspace.resize(bytes(call) + 64);
    const auto address = reinterpret_cast<uintptr_t>(workspace.data());
    call.workspace = workspace.data() + (64 - address % 64) % 64;
    table().kernel(id)(call);
}

std::mt19937_64 dice(7);
int64_t below(int64_t n) { return static_cast<int64_t>(dice() % static_cast<uint64_t>(n)); }

// Calls f(multi-index) for every element, in row-major order.
void each(const Dims& shape, const std::function<void(const Dims&)>& f) {
    Dims at(shape.size(), 0);
    for (int64_t left = sn::numel(shape); left > 0; --left) {
        f(at);
        for (size_t d = shape.size(); d-- > 0;) {
            if (++at[d] < shape[d]) break;
            at[d] = 0;
        }
    }
}

int64_t place(const Dims& at, const Dims& strides) {
    int64_t p = 0;
    for (size_t d = 0; d < at.size(); ++d) p += at[d] * strides[d];
    return p;
}

// The results of `make` must not depend on the number of threads.
template <class F>
void check_threads(F make) {
    const int before = pool_threads();
    set_pool_threads(1);
    const std::vector<char> one = make();
    set_pool_threads(3);
    CHECK(make() == one);
    set_pool_threads(before);
}

TEST(copy_of_any_strides) {
    const DType dtypes[] = {DType::kU8, DType::kBF16, DType::kF32, DType::kI64};
    for (int trial = 0; trial < 300; ++trial) {
        const DType dtype = dtypes[trial % 4];
        Dims shape;
        const int rank = static_cast<int>(below(5));
        for (int d = 0; d < rank; ++d) shape.push_back(below(trial % 7 == 0 ? 90 : 12) + (d > 0));
        if (sn::numel(shape) > 2000000) continue;
        Array src(dtype, shape), dst(dtype, shape);
        for (char& c : src.bytes) c = static_cast<char>(dice());
        // Permuted, possibly reversed and broadcast on the source's side.
        std::vector<int> order(rank);
        std::iota(order.begin(), order.end(), 0);
        std::shuffle(order.begin(), order.end(), dice);
        int64_t step = 1;
        for (int d : order) {
            src.strides[d] = step;
            step *= std::max<int64_t>(shape[d], 1);
        }
        for (int d = 0; d < rank; ++d) {
            if (shape[d] > 0 && below(4) == 0) {
                src.offset += (shape[d] - 1) * src.strides[d];
                src.strides[d] = -src.strides[d];
            } else if (below(6) == 0) {
                src.strides[d] = 0;
            }
        }
        run("contiguous", {&src}, {}, {&dst});
        const size_t size = dtype_size(dtype);
        bool same = true;
        each(shape, [&](const Dims& at) {
            same =
                same &&
                !std::memcmp(dst.bytes.data() + place(at, dst.strides) * size,
                             src.bytes.data() + (src.offset + place(at, src.strides)) * size, size);
        });
        CHECK(same);
    }
}

TEST(large_transposes) {
    for (auto [rows, columns] : {std::pair<int64_t, int64_t>{1000, 777}, {3, 50000}, {50000, 3}}) {
        Array src(DType::kF32, {rows, columns}), dst(DType::kF32, {columns, rows});
        for (int64_t i = 0; i < rows * columns; ++i) src.as<float>()[i] = static_cast<float>(i);
        src.shape = dst.shape;
        src.strides = {1, columns};
        run("contiguous", {&src}, {}, {&dst});
        bool same = true;
        for (int64_t j = 0; j < columns; ++j)
            for (int64_t i = 0; i < rows; ++i)
                same = same && dst.as<float>()[j * rows + i] == static_cast<float>(i * columns + j);
        CHECK(same);
    }
}

TEST(slice_update_pad_concat) {
    Array x(DType::kI32, {4, 5}), out(DType::kI32, {4, 5});
    std::iota(x.as<int32_t>(), x.as<int32_t>() + 20, 0);
    Array part(DType::kI32, {2}, std::vector<int32_t>{100, 200});
    Array r = number(int64_t{3}), c = number(int64_t{1});
    // Rows 3 and 1, columns 1 and 3; the part broadcasts over the rows.
    run("slice_update", {&x, &part, &r, &c}, Attrs().ints(Dims{2, 2}).ints(Dims{-2, 2}), {&out});
    std::vector<int32_t> wanted = x.values<int32_t>();
    for (int row : {1, 3}) {
        wanted[row * 5 + 1] = 100;
        wanted[row * 5 + 3] = 200;
    }
    CHECK(out.values<int32_t>() == wanted);

    Array y(DType::kI32, {2, 2}, std::vector<int32_t>{1, 2, 3, 4}), padded(DType::kI32, {3, 5});
    Array nine = number(int64_t{9});
    run("pad", {&y, &nine}, Attrs().ints(Dims{1, 1}).ints(Dims{0, 2}), {&padded});
    CHECK(padded.values<int32_t>() ==
          (std::vector<int32_t>{9, 9, 9, 9, 9, 9, 1, 2, 9, 9, 9, 3, 4, 9, 9}));

    Array joined(DType::kI32, {2, 4});
    run("concat", {&y, &y}, Attrs().i(1), {&joined});
    CHECK(joined.values<int32_t>() == (std::vector<int32_t>{1, 2, 1, 2, 3, 4, 3, 4}));
}

TEST(arange_and_linspace_ends) {
    Array out(DType::kF64, {11}), start = number(0.0), step = number(0.1), one = number(1.0);
    run("arange", {&start, &step}, Attrs().i(11).dtype(DType::kF64).i(0), {&out});
    CHECK_EQ(out.as<double>()[3], 3 * 0.1);
    run("linspace", {&start, &one}, Attrs().i(11).b(true).dtype(DType::kF64).i(0), {&out});
    CHECK_EQ(out.as<double>()[0], 0.0);
    CHECK_EQ(out.as<double>()[10], 1.0);
}

TEST(take_and_index_add) {
    for (int64_t inner : {1, 3, 200}) {
        const int64_t outer = 2, rows = 50, n = 333;
        Array x(DType::kF32, {outer, rows, inner}), index(DType::kI32, {n});
        for (int64_t i = 0; i < outer * rows * inner; ++i)
            x.as<float>()[i] = static_cast<float>(below(1000)) / 7;
        for (int64_t i = 0; i < n; ++i)
            index.as<int32_t>()[i] = static_cast<int32_t>(below(2 * rows) - rows);
        Array out(DType::kF32, {outer, n, inner});
        run("take", {&x, &index}, Attrs().i(1), {&out});
        Array sums(DType::kF32, {outer, rows, inner});
        run("index_add", {&x, &index, &out}, Attrs().i(1), {&sums});
        std::vector<float> wanted = x.values<float>();
        bool same = true;
        for (int64_t o = 0; o < outer; ++o) {
            for (int64_t i = 0; i < n; ++i) {
                const int64_t row = (index.as<int32_t>()[i] + rows) % rows;
                for (int64_t k = 0; k < inner; ++k) {
                    const float v = out.as<float>()[(o * n + i) * inner + k];
                    same = same && v == x.as<float>()[(o * rows + row) * inner + k];
                    wanted[(o * rows + row) * inner + k] += v;
                }
            }
        }
        CHECK(same);
        CHECK(sums.values<float>() == wanted);
    }
}

TEST(scatter_adds_do_not_depend_on_threads) {
    const int64_t n = 100000;
    for (DType dtype : {DType::kF32, DType::kBF16}) {
        Array x(dtype, {1000}), index(DType::kI64, {n}), values(dtype, {n});
        for (int64_t i = 0; i < n; ++i) {
            index.as<int64_t>()[i] = below(1000);
            if (dtype == DType::kF32)
                values.as<float>()[i] = 1.0f / static_cast<float>(i + 1);
            else
                values.as<uint16_t>()[i] = f32_to_bf16(1.0f / static_cast<float>(i + 1));
        }
        for (const char* op : {"scatter", "index_add"}) {
            check_threads([&] {
                Array out(dtype, {1000});
                run(op, {&x, &index, &values}, Attrs().i(0).b(true), {&out});
                return out.bytes;
            });
        }
    }
}

TEST(gather_and_scatter_along_axes) {
    for (int axis = 0; axis < 3; ++axis) {
        const Dims shape{5, 6, 7};
        Dims taken{4, 5, 6};  // smaller than x along the other axes
        taken[axis] = 9;
        Array x(DType::kI64, shape), index(DType::kI64, taken), out(DType::kI64, taken);
        for (int64_t i = 0; i < 210; ++i) x.as<int64_t>()[i] = i * i;
        for (int64_t i = 0; i < sn::numel(taken); ++i)
            index.as<int64_t>()[i] = below(2 * shape[axis]) - shape[axis];
        run("take_along_axis", {&x, &index}, Attrs().i(axis), {&out});
        Array written(DType::kI64, shape);
        run("scatter", {&x, &index, &index}, Attrs().i(axis).b(false), {&written});
        std::vector<int64_t> wanted = x.values<int64_t>();
        bool same = true;
        each(taken, [&](const Dims& at) {
            const int64_t i = index.as<int64_t>()[place(at, index.strides)];
            Dims from(at);
            from[axis] = (i + shape[axis]) % shape[axis];
            same = same && out.as<int64_t>()[place(at, out.strides)] ==
                               x.as<int64_t>()[place(from, x.strides)];
            wanted[place(from, x.strides)] = i;
        });
        CHECK(same);
        CHECK(written.values<int64_t>() == wanted);
    }
}

TEST(advanced_indexing) {
    Array x(DType::kF32, {3, 4, 2});
    std::iota(x.as<float>(), x.as<float>() + 24, 0.0f);
    Array i(DType::kI64, {2}, std::vector<int64_t>{-1, 0}),
        j(DType::kI64, {2}, std::vector<int64_t>{1, 3});
    Array out(DType::kF32, {2, 2});
    run("gather_nd", {&x, &i, &j}, {}, {&out});
    CHECK(out.values<float>() == (std::vector<float>{18, 19, 6, 7}));
    Array zero(DType::kF32, {3, 4, 2}), back(DType::kF32, {3, 4, 2});
    run("scatter_nd", {&zero, &out, &i, &j}, Attrs().b(true), {&back});
    CHECK_EQ(back.as<float>()[18], 18.0f);
    CHECK_EQ(back.as<float>()[7], 7.0f);
    CHECK_EQ(std::accumulate(back.as<float>(), back.as<float>() + 24, 0.0f), 50.0f);
}

TEST(bad_indices_are_named) {
    Array x(DType::kF32, {3, 4}), out(DType::kF32, {2, 2, 4});
    Array index(DType::kI64, {2, 2}, std::vector<int64_t>{0, 1, 7, 2});
    std::string message;
    try {
        run("take", {&x, &index}, Attrs().i(0), {&out});
    } catch (const Error& e) {
        message = e.what();
        CHECK(e.kind() == ErrorKind::kIndex);
    }
    CHECK(message.find("index 7 at position (1, 0)") != std::string::npos);
    CHECK(message.find("axis 0 with size 3") != std::string::npos);
    // In place: nothing is written when an index does not fit.
    Array sums(DType::kF32, {3}), bad(DType::kI64, {2}, std::vector<int64_t>{0, 3});
    Array ones(DType::kF32, {2}, std::vector<float>{1, 1});
    CHECK_THROWS(run("index_add", {&sums, &bad, &ones}, Attrs().i(0), {&sums}), "index 3");
    CHECK_EQ(sums.as<float>()[0], 0.0f);
}

TEST(nonzero_and_one_hot) {
    const int64_t n = 100, m = 333;
    Array mask(DType::kBool, {n, m});
    std::vector<int64_t> rows, columns;
    for (int64_t i = 0; i < n * m; ++i) {
        mask.as<uint8_t>()[i] = below(3) == 0;
        if (!mask.as<uint8_t>()[i]) continue;
        rows.push_back(i / m);
        columns.push_back(i % m);
    }
    const int64_t count = static_cast<int64_t>(rows.size());
    Array out(DType::kI64, {2, count});
    run("nonzero", {&mask}, Attrs().i(count), {&out});
    rows.insert(rows.end(), columns.begin(), columns.end());
    CHECK(out.values<int64_t>() == rows);

    Array index(DType::kI32, {2}, std::vector<int32_t>{2, 0}), hot(DType::kF32, {2, 3});
    run("one_hot", {&index}, Attrs().i(3).dtype(DType::kF32), {&hot});
    CHECK(hot.values<float>() == (std::vector<float>{0, 0, 1, 1, 0, 0}));
}

template <class T>
void check_sort(DType dtype, int64_t n, int64_t inner, bool descending,
                const std::function<T()>& draw) {
    Array x(dtype, {2, n, inner}), sorted(dtype, {2, n, inner}), order(DType::kI64, {2, n, inner});
    for (int64_t i = 0; i < 2 * n * inner; ++i) x.as<T>()[i] = draw();
    const Attrs attrs = Attrs().i(1).b(descending);
    run("sort", {&x}, attrs, {&sorted});
    run("argsort", {&x}, attrs, {&order});
    const auto less = [descending](T a, T b) {  // NaN above all numbers
        if (descending) std::swap(a, b);
        return a < b || (b != b && a == a);
    };
    bool same = true;
    for (int64_t row = 0; row < 2 * inner; ++row) {
        const int64_t at = row / inner * n * inner + row % inner;
        std::vector<int64_t> wanted(n);
        std::iota(wanted.begin(), wanted.end(), 0);
        std::stable_sort(wanted.begin(), wanted.end(), [&](int64_t i, int64_t j) {
            return less(x.as<T>()[at + i * inner], x.as<T>()[at + j * inner]);
        });
        for (int64_t i = 0; i < n; ++i) {
            const T value = x.as<T>()[at + wanted[i] * inner], got = sorted.as<T>()[at + i * inner];
            same = same && order.as<int64_t>()[at + i * inner] == wanted[i];
            same =
                same && (!std::memcmp(&value, &got, sizeof(T)) || (value != value && got != got));
        }
    }
    CHECK(same);

    const int64_t k = n / 2;
    Array best(dtype, {2, k, inner}), where(DType::kI64, {2, k, inner});
    run("topk", {&x}, Attrs().i(k).i(1).b(descending), {&best, &where});
    same = true;
    for (int64_t o = 0; o < 2; ++o) {
        for (int64_t i = 0; i < k * inner; ++i) {
            same = same &&
                   where.as<int64_t>()[o * k * inner + i] == order.as<int64_t>()[o * n * inner + i];
        }
    }
    CHECK(same);
}

TEST(sorts_are_stable) {
    for (bool descending : {false, true}) {
        for (int64_t n : {0, 1, 5, 100, 3000}) {
            check_sort<float>(DType::kF32, n, 3, descending, [] {
                const float special[] = {0.0f, -0.0f, std::numeric_limits<float>::quiet_NaN(),
                                         std::numeric_limits<float>::infinity(),
                                         -std::numeric_limits<float>::infinity()};
                return below(4) == 0 ? special[below(5)] : static_cast<float>(below(200) - 100) / 3;
            });
            check_sort<double>(DType::kF64, n, 1, descending,
                               [] { return static_cast<double>(below(1000) - 500) * 1e100; });
            check_sort<int64_t>(DType::kI64, n, 2, descending,
                                [] { return static_cast<int64_t>(dice()); });
            check_sort<int8_t>(DType::kI8, n, 1, descending,
                               [] { return static_cast<int8_t>(dice()); });
            check_sort<uint16_t>(DType::kU16, n, 1, descending,
                                 [] { return static_cast<uint16_t>(dice()); });
        }
    }
}

TEST(searchsorted_sides) {
    Array sorted(DType::kF32, {4}, std::vector<float>{1, 2, 2, 3});
    Array values(DType::kF32, {3}, std::vector<float>{2, 0, 9}), out(DType::kI64, {3});
    run("searchsorted", {&sorted, &values}, Attrs().b(false), {&out});
    CHECK(out.values<int64_t>() == (std::vector<int64_t>{1, 0, 4}));
    run("searchsorted", {&sorted, &values}, Attrs().b(true), {&out});
    CHECK(out.values<int64_t>() == (std::vector<int64_t>{3, 0, 4}));
}

TEST(scans) {
    // A line gives the same bits alone, among others, and with any number of threads.
    const int64_t n = 100000;
    Array line(DType::kF32, {n}), both(DType::kF32, {n, 2});
    for (int64_t i = 0; i < n; ++i) {
        line.as<float>()[i] = static_cast<float>(below(1000)) / 999 - 0.3f;
        both.as<float>()[2 * i] = both.as<float>()[2 * i + 1] = line.as<float>()[i];
    }
    Array out(DType::kF32, {n}), wide(DType::kF32, {n, 2});
    run("cumsum", {&line}, Attrs().i(0), {&out});
    run("cumsum", {&both}, Attrs().i(0), {&wide});
    bool same = true;
    double sum = 0, worst = 0;
    for (int64_t i = 0; i < n; ++i) {
        sum += line.as<float>()[i];
        worst = std::max(worst, std::abs(out.as<float>()[i] - sum) / (1 + std::abs(sum)));
        same = same && wide.as<float>()[2 * i] == out.as<float>()[i] &&
               wide.as<float>()[2 * i + 1] == out.as<float>()[i];
    }
    CHECK(same);
    CHECK(worst < 1e-5);
    check_threads([&] {
        Array again(DType::kF32, {n});
        run("cumsum", {&line}, Attrs().i(0), {&again});
        return again.bytes;
    });
    Array small(DType::kI64, {2, 3}, std::vector<int64_t>{1, 2, 3, 4, 5, 6}),
        prod(DType::kI64, {2, 3});
    run("cumprod", {&small}, Attrs().i(1), {&prod});
    CHECK(prod.values<int64_t>() == (std::vector<int64_t>{1, 2, 6, 4, 20, 120}));
    Array a(DType::kF32, {3}, std::vector<float>{9, 2, 3}),
        b(DType::kF32, {3}, std::vector<float>{1, 1, 1});
    Array recurrence(DType::kF32, {3});
    run("linear_scan", {&a, &b}, Attrs().i(0), {&recurrence});
    CHECK(recurrence.values<float>() == (std::vector<float>{1, 3, 10}));
}

TEST(philox_known_answers) {
    // A width of 2**32 makes the numbers the odd words of the generator; published test vectors.
    Array low = number(int64_t{0}), high = number(int64_t{1} << 32), zero = number(int64_t{0});
    Array out(DType::kI64, {40});
    run("random_integers", {&low, &high, &zero, &zero},
        Attrs().ints(Dims{40}).dtype(DType::kI64).i(0), {&out});
    CHECK_EQ(out.as<int64_t>()[0], 0xe169c58dll);
    CHECK_EQ(out.as<int64_t>()[16], 0x9b00dbd8ll);
}

TEST(random_numbers) {
    const int64_t n = 100003;
    Array low = number(0.0), high = number(1.0), seed = number(int64_t{5}),
          draw = number(int64_t{9});
    for (const char* op : {"random_uniform", "random_normal"}) {
        for (DType dtype : {DType::kF32, DType::kF64, DType::kBF16}) {
            const Attrs attrs = Attrs().ints(Dims{n}).dtype(dtype).i(0);
            check_threads([&] {
                Array out(dtype, {n});
                run(op, {&low, &high, &seed, &draw}, attrs, {&out});
                return out.bytes;
            });
        }
    }
    Array u(DType::kF32, {n}), z(DType::kF32, {n}), half(DType::kBF16, {n});
    const Attrs f32 = Attrs().ints(Dims{n}).dtype(DType::kF32).i(0);
    run("random_uniform", {&low, &high, &seed, &draw}, f32, {&u});
    run("random_normal", {&low, &high, &seed, &draw}, f32, {&z});
    run("random_uniform", {&low, &high, &seed, &draw},
        Attrs().ints(Dims{n}).dtype(DType::kBF16).i(0), {&half});
    double mean = 0, mean_z = 0, square_z = 0;
    bool inside = true;
    for (int64_t i = 0; i < n; ++i) {
        const float v = u.as<float>()[i], w = z.as<float>()[i];
        inside = inside && v >= 0 && v < 1 && bf16_to_f32(half.as<uint16_t>()[i]) < 1;
        mean += v;
        mean_z += w;
        square_z += w * w;
    }
    CHECK(inside);
    CHECK(std::abs(mean / n - 0.5) < 0.005);
    CHECK(std::abs(mean_z / n) < 0.015);
    CHECK(std::abs(square_z / n - 1) < 0.02);

    Array p = number(0.3), mask(DType::kBool, {n});
    run("dropout_mask", {&p, &seed, &draw}, Attrs().ints(Dims{n}).dtype(DType::kBool).i(0),
        {&mask});
    CHECK(std::abs(std::accumulate(mask.as<uint8_t>(), mask.as<uint8_t>() + n, 0.0) / n - 0.7) <
          0.01);
}

}  // namespace

int main() { return sn::test::run(); }
