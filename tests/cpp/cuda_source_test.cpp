// Sources of fused programs for CUDA, without a GPU: representative ones are compared with files
// (tests/cuda/golden), and many run through the thread-block shim (tests/cuda/shim), compiled by
// the C++ compiler, with the bits of the CPU and of the reference.
//
//   cuda_source_test            the tests
//   cuda_source_test --update   writes the golden files
//   cuda_source_test --write D  writes the golden sources, those of all operations, and with which
//                               definitions kernel sources are compiled to folder D, for
//                               tests/cuda/test_nvrtc.py
#include "backend/cuda/program_source.h"

#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "backend/cpu/program.h"
#include "backend/cuda/wrap.h"
#include "check.h"
#include "cuda_specs.h"
#include "op/elementwise.h"
#include "op/op.h"

using namespace sn;
using namespace sn::test;

namespace {

namespace fs = std::filesystem;

const fs::path kRoot = SENNIT_ROOT;

// ---- numbers

std::mt19937 gen(11);
int pick(int n) { return static_cast<int>(gen() % static_cast<unsigned>(n)); }
template <class T>
const T& pick(const std::vector<T>& v) {
    return v[static_cast<size_t>(pick(static_cast<int>(v.size())))];
}

void fill(std::vector<char>& bytes, DType dtype) {
    const size_t size = dtype_size(dtype), count = bytes.size() / size;
    static const std::vector<float> special = {0.0f,     -0.0f,     1.0f,     -1.0f,     2.0f,
                                               INFINITY, -INFINITY, NAN,      3e-41f,    1e-30f,
                                               -1e30f,   127.5f,    65504.0f, -70000.0f, 0.5f};
    for (size_t i = 0; i < count; ++i) {
        const bool odd = pick(8) == 0;
        const float f =
            odd ? pick(special)
                : std::ldexp(static_cast<float>(pick(20001) - 10000) / 4096.0f, pick(5) - 2);
        char* at = bytes.data() + i * size;
        if (is_bool(dtype)) {
            *at = static_cast<char>(pick(2));
        } else if (dtype == DType::kF32) {
            std::memcpy(at, &f, 4);
        } else if (dtype == DType::kF64) {
            const double wide = odd ? f : f + f * 1e-9;
            std::memcpy(at, &wide, 8);
        } else if (is_float(dtype)) {
            const uint16_t half = dtype == DType::kF16 ? f32_to_f16(f) : f32_to_bf16(f);
            std::memcpy(at, &half, 2);
        } else {
            uint64_t bits = pick(3) ? static_cast<uint64_t>(pick(41) - 20)
                                    : (static_cast<uint64_t>(gen()) << 32 | gen());
            if (pick(20) == 0) bits = uint64_t{1} << (8 * size - 1);  // the lowest, if signed
            std::memcpy(at, &bits, size);
        }
    }
}

struct Buffers {
    std::vector<std::vector<char>> bytes;
    std::vector<void*> at;  // where index 0 of the operand lies
};
const std::vector<Scalar> kNumbers = {Scalar::of_float(0.9), Scalar::of_float(0.1),
                                      Scalar::of_int(3),     Scalar::of_float(-1.5),
                                      Scalar::of_bool(true), Scalar::of_float(1e-3)};

Buffers make_buffers(const ProgramSpec& spec) {
    Buffers b;
    const auto need = [&](const Dims& strides, DType dtype, int binding, bool input) {
        int64_t low = 0, high = 0;
        for (size_t d = 0; d < strides.size(); ++d) {
            const int64_t end = (spec.shape[d] - 1) * strides[d];
            (end < 0 ? low : high) += spec.shape[d] > 0 ? end : 0;
        }
        const size_t index = static_cast<size_t>(binding), size = dtype_size(dtype);
        if (b.bytes.size() <= index) b.bytes.resize(index + 1), b.at.resize(index + 1);
        if (!b.bytes[index].empty()) return;
        b.bytes[index].resize(static_cast<size_t>(high - low + 1) * size);
        if (input) fill(b.bytes[index], dtype);
        b.at[index] = b.bytes[index].data() - low * static_cast<int64_t>(size);
    };
    for (const ProgramSpec::Input& in : spec.inputs)
        if (!in.scalar) need(in.strides, in.dtype, in.binding, true);
    for (const ProgramSpec::Output& out : spec.outputs)
        need(out.strides, out.dtype, out.binding, false);
    return b;
}

// The same contents elsewhere.
Buffers copy_of(const Buffers& b) {
    Buffers c = b;
    for (size_t i = 0; i < b.at.size(); ++i)
        if (b.at[i])
            c.at[i] = c.bytes[i].data() + (static_cast<char*>(b.at[i]) - b.bytes[i].data());
    return c;
}

std::string difference(const ProgramSpec& spec, const Buffers& a, const Buffers& b) {
    for (size_t k = 0; k < spec.outputs.size(); ++k) {
        const ProgramSpec::Output& out = spec.outputs[k];
        const size_t i = static_cast<size_t>(out.binding), size = dtype_size(out.dtype);
        const std::vector<char>&x = a.bytes[i], &y = b.bytes[i];
        for (size_t e = 0; e * size < x.size(); ++e) {
            if (std::memcmp(&x[e * size], &y[e * size], size) == 0) continue;
            double u = 0, v = 0;
            uint64_t p = 0, q = 0;
            std::memcpy(&p, &x[e * size], size);
            std::memcpy(&q, &y[e * size], size);
            if (out.dtype == DType::kF64) {
                std::memcpy(&u, &p, 8), std::memcpy(&v, &q, 8);
            } else if (out.dtype == DType::kF32) {
                float f, g;
                std::memcpy(&f, &p, 4), std::memcpy(&g, &q, 4);
                u = f, v = g;
            } else if (is_float(out.dtype)) {
                const bool half = out.dtype == DType::kF16;
                u = half ? f16_to_f32(static_cast<uint16_t>(p))
                         : bf16_to_f32(static_cast<uint16_t>(p));
                v = half ? f16_to_f32(static_cast<uint16_t>(q))
                         : bf16_to_f32(static_cast<uint16_t>(q));
            } else {
                u = static_cast<double>(p), v = static_cast<double>(q);
            }
            if (u != u && v != v) continue;  // payloads of NaN are outside of the guarantee
            char text[200];
            std::snprintf(text, sizeof text, "output %zu (%s), element %zu: %.17g, expected %.17g",
                          k, dtype_name(out.dtype), e, u, v);
            return text;
        }
    }
    return {};
}

// ---- many sources in one library

struct ShimLaunch {
    uint32_t blocks[3] = {1, 1, 1}, threads[3] = {1, 1, 1}, shared_bytes = 0;
};
using Kernel = void (*)(const ShimLaunch*, const void*);

std::string run_command(const std::string& command) {
    std::string text;
    std::FILE* pipe = popen((command + " 2>&1").c_str(), "r");
    if (!pipe) return "popen failed";
    char part[512];
    while (std::fgets(part, sizeof part, pipe)) text += part;
    const int status = pclose(pipe);
    return status == 0 ? std::string() : "exit " + std::to_string(status) + "\n" + text;
}

// Each source in a namespace of its own, with headers and kernel names taken out.
std::string joined_text(const std::vector<cuda::ProgramSource>& sources) {
    std::string text = "#include \"program.cuh\"\n#include \"op/math.h\"\n";
    for (size_t i = 0; i < sources.size(); ++i) {
        std::string one = sources[i].text;
        for (size_t at; (at = one.find('#')) != one.npos;) one.erase(at, one.find('\n', at) - at);
        const size_t name = one.find("(program, Args");
        SN_CHECK(name != one.npos);
        one.replace(name, 8, "(program_" + std::to_string(i));
        text += "namespace p" + std::to_string(i) + " {\n" + one + "}\n";
    }
    return text;
}

class Library {
public:
    Library(const std::vector<cuda::ProgramSource>& sources, const fs::path& folder,
            const std::string& name) {
        const fs::path source = folder / (name + ".cu"), library = folder / (name + ".so");
        std::ofstream(source) << joined_text(sources);
        const char* compiler = std::getenv("CXX");
        std::string command = compiler ? compiler : "c++";
        command +=
            " -std=c++20 -O1 -fPIC -shared -x c++ -DSN_SHIM -fvisibility=hidden "
            "-ffp-contract=off -w";
#if defined(__x86_64__)
        command += " -mfma";
#endif
        for (const char* include : {"tests/cuda/shim", "core", "core/backend/cuda/kernels"})
            command += " -I" + (kRoot / include).string();
        error = run_command(command + " " + source.string() + " -o " + library.string());
        if (error.empty()) handle_ = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
        if (error.empty() && !handle_) error = dlerror();
    }
    Kernel kernel(size_t i) const {
        return reinterpret_cast<Kernel>(dlsym(handle_, ("program_" + std::to_string(i)).c_str()));
    }
    std::string error;

private:
    void* handle_ = nullptr;
};

bool have_compiler() {
    const char* compiler = std::getenv("CXX");
    static const bool found =
        run_command(std::string(compiler ? compiler : "c++") + " --version").empty();
    return found;
}

fs::path folder() {
    static const fs::path made = [] {
        fs::path p = fs::temp_directory_path() / ("sennit_cuda_source_" + std::to_string(getpid()));
        fs::create_directories(p);
        return p;
    }();
    return made;
}

void run_shim(Kernel kernel, const cuda::ProgramSource& source, Buffers& b, const void* product) {
    std::vector<uint64_t> words(source.args.bytes() / 8);
    source.args.fill(words.data(), b.at.data(), kNumbers.data(), product);
    if (source.blocks.x == 0) return;
    ShimLaunch launch;
    launch.blocks[0] = source.blocks.x;
    launch.threads[0] = source.threads;
    launch.shared_bytes = source.shared_bytes;
    kernel(&launch, words.data());
}

// Runs programs through the shim, in both orders of threads, and compares with the CPU and the
// reference.
void check_programs(const std::vector<ProgramSpec>& specs, const std::string& name,
                    bool long_rows) {
    if (!have_compiler()) {
        std::printf("%s: skipped, there is no C++ compiler\n", name.c_str());
        return;
    }
    constexpr size_t kInOne = 40;
    for (size_t first = 0; first < specs.size(); first += kInOne) {
        const size_t end = std::min(specs.size(), first + kInOne);
        std::vector<cuda::ProgramSource> sources;
        for (size_t i = first; i < end; ++i) sources.push_back(cuda::program_source(specs[i]));
        const Library library(sources, folder(), name + std::to_string(first));
        CHECK_EQ(library.error.substr(0, 3000), std::string());
        if (!library.error.empty()) return;
        for (size_t i = first; i < end; ++i) {
            const ProgramSpec& spec = specs[i];
            const Buffers inputs = make_buffers(spec);
            Buffers wanted = copy_of(inputs);
            Backend& reference = backend(parse_device("reference"));
            reference.run_program(0, *reference.compile(spec), wanted.at.data(), kNumbers.data());
            if (!long_rows) {
                Buffers on_cpu = copy_of(inputs);
                Backend& host = backend(Device{});
                host.run_program(0, *host.compile(spec), on_cpu.at.data(), kNumbers.data());
                CHECK_EQ(difference(spec, on_cpu, wanted), std::string());
            }
            for (const char* reverse : {"0", "1"}) {
                setenv("SENNIT_SHIM_REVERSE", reverse, 1);
                Buffers got = copy_of(inputs);
                run_shim(library.kernel(i - first), sources[i - first], got, nullptr);
                const std::string text = difference(spec, got, wanted);
                if (!text.empty()) {
                    std::printf("%s, program %zu, shape %s, %s\n%s\n", name.c_str(), i,
                                format_shape(spec.shape).c_str(), text.c_str(),
                                sources[i - first].text.c_str());
                }
                CHECK_EQ(text, std::string());
            }
        }
    }
}

// ---- random programs

const std::vector<DType> kFloats = {DType::kF32, DType::kF32, DType::kF64, DType::kF16,
                                    DType::kBF16};

DType random_dtype() {
    if (pick(3)) return pick(kFloats);
    return static_cast<DType>(pick(static_cast<int>(DType::kF64) + 1));
}

// Dense strides of the loop space with its dimensions in another order, some of them broadcast, or
// with gaps.
Dims random_strides(const ProgramSpec& spec, bool may_broadcast) {
    const size_t rank = spec.shape.size();
    std::vector<size_t> order(rank);
    for (size_t d = 0; d < rank; ++d) order[d] = d;
    if (pick(3) == 0) std::shuffle(order.begin(), order.end(), gen);
    Dims strides(rank, 0);
    int64_t step = pick(5) == 0 ? 2 : 1;
    const int way = may_broadcast ? pick(4) : 0;
    for (size_t k = rank; k-- > 0;) {
        const size_t d = order[k];
        const bool row_dim = d >= rank - static_cast<size_t>(spec.row_dims);
        if ((way == 1 && pick(2)) || (way == 2 && row_dim && spec.row_dims)) continue;
        strides[d] = step;
        step *= spec.shape[d];
        if (pick(6) == 0) step += 3;
        if (may_broadcast && pick(12) == 0) strides[d] = -strides[d];
    }
    return strides;
}

class RandomProgram {
public:
    RandomProgram(Dims shape, int row_dims) : m_(std::move(shape), row_dims) {}
    ProgramSpec make();

private:
    int as(int value, DType dtype) {
        return m_.dtypes[static_cast<size_t>(value)] == dtype ? value : m_.cast(value, dtype);
    }
    int any_value() { return pick(static_cast<int>(m_.dtypes.size())); }
    void add_instruction();
    Maker m_;
    std::set<int> rows_;
};

void RandomProgram::add_instruction() {
    if (m_.spec.row_dims > 0 && pick(4) == 0) {
        int v = any_value();
        const DType dtype = m_.dtypes[static_cast<size_t>(v)];
        const auto kind = static_cast<ReduceKind>(pick(8));
        const bool logic = kind == ReduceKind::kAny || kind == ReduceKind::kAll;
        if (logic) v = as(v, DType::kBool);
        if (!logic && (is_bool(dtype) || (kind >= ReduceKind::kMean && !is_float(dtype))))
            v = as(v, pick(kFloats));
        m_.reduce(kind, v);
        return;
    }
    if (pick(8) == 0) {
        m_.cast(any_value(), random_dtype());
        return;
    }
    OpId op;
    const int v = any_value();
    DType dtype = m_.dtypes[static_cast<size_t>(v)];
    do {
        op = static_cast<OpId>(pick(op_count()));
        if (op_def(op).tile_op < 0) continue;
        if (!class_has(kTileOpInfo[op_def(op).tile_op].dtypes, dtype)) dtype = random_dtype();
    } while (op_def(op).tile_op < 0 || !class_has(kTileOpInfo[op_def(op).tile_op].dtypes, dtype) ||
             std::string(op_def(op).name).starts_with("special_"));
    const int tile = op_def(op).tile_op;
    std::vector<int> args;
    for (int i = 0; i < tile_arity(tile); ++i) {
        const bool test = kTileOpInfo[tile].result == TileResult::SELECT && i == 0;
        args.push_back(
            as(i == tile_arity(tile) - 1 ? v : any_value(), test ? DType::kBool : dtype));
    }
    m_.apply(op, args);
}

ProgramSpec RandomProgram::make() {
    const int inputs = 1 + pick(4);
    for (int i = 0; i < inputs; ++i) {
        const DType dtype = random_dtype();
        if (i > 0 && pick(5) == 0)
            m_.number(dtype, pick(static_cast<int>(kNumbers.size())));
        else
            m_.input(dtype, random_strides(m_.spec, i > 0));
    }
    const int instructions = 1 + pick(10);
    for (int i = 0; i < instructions; ++i) add_instruction();
    if (m_.spec.row_dims > 0) m_.reduce(ReduceKind::kMax, as(any_value(), DType::kF32));
    // Which values vary along the row, as the reference sees it.
    std::vector<uint8_t> full;
    for (const ProgramSpec::Input& in : m_.spec.inputs) {
        bool is = false;
        for (size_t d = 0; !in.scalar && d < in.strides.size(); ++d)
            is |= d >= in.strides.size() - static_cast<size_t>(m_.spec.row_dims) &&
                  in.strides[d] != 0;
        full.push_back(is);
    }
    for (const ProgramSpec::Instruction& i : m_.spec.instructions) {
        bool is = false;
        for (int32_t a : i.args) is |= full[static_cast<size_t>(a)] != 0;
        full.push_back(is && i.kind != Kind::kReduce);
    }
    const int outputs = 1 + pick(3);
    for (int k = 0; k < outputs; ++k) {
        const int value = k == 0 ? static_cast<int>(m_.dtypes.size()) - 1 : any_value();
        const bool row = m_.spec.row_dims > 0 && !full[static_cast<size_t>(value)] && pick(3) > 0;
        int place = -1;  // in place of the first input
        const ProgramSpec::Input& first = m_.spec.inputs[0];
        if (!row && k == 0 &&
            dtype_size(first.dtype) == dtype_size(m_.dtypes[static_cast<size_t>(value)]))
            place = first.binding;
        if (row)
            m_.output_row(value);
        else if (place >= 0)
            m_.output(value, first.strides, place);
        else
            m_.output(value, random_strides(m_.spec, false));
    }
    return m_.spec;
}

std::vector<ProgramSpec> random_programs(int count, bool rows, std::vector<int64_t> columns = {}) {
    std::vector<ProgramSpec> specs;
    for (int n = 0; n < count; ++n) {
        Dims shape;
        const int rank = rows ? 1 + pick(columns.back() > 2000 ? 2 : 4) : pick(4);
        const std::vector<int64_t> sizes = {1, 2, 3, 4, 5, 8, 12, 16, 17};
        for (int d = 0; d < rank; ++d) shape.push_back(pick(sizes));
        int row_dims = 0;
        if (rows) {
            row_dims = 1 + pick(std::min(2, rank));
            shape.back() = pick(columns);
        }
        specs.push_back(RandomProgram(shape, row_dims).make());
    }
    return specs;
}

// ---- tests

std::string golden_text(const ProgramSpec& spec) { return cuda::program_source(spec).text; }

TEST(representative_sources_are_those_of_the_golden_files) {
    for (const auto& [name, make] : golden()) {
        const fs::path path = kRoot / "tests/cuda/golden" / (std::string(name) + ".cu");
        std::ifstream file(path);
        const std::string known((std::istreambuf_iterator<char>(file)), {});
        const std::string text = golden_text(make());
        if (text != known)
            std::printf("%s differs; --update writes it. Now:\n%s\n", path.c_str(), text.c_str());
        CHECK(text == known);
    }
}

TEST(sizes_and_strides_are_not_in_the_text) {
    CHECK(golden_text(softmax(300)) == golden_text(softmax(301)));
    CHECK(golden_text(softmax(300)) == golden_text(softmax(1024)));
    CHECK(golden_text(softmax(2000)) == golden_text(softmax(9000)));
    CHECK(golden_text(softmax(30000)) == golden_text(softmax(50000)));
    CHECK(golden_text(layer_norm(DType::kF32, 64)) == golden_text(layer_norm(DType::kF32, 1000)));
    Maker a({12, 30}), b({7, 5});
    a.output(a.apply("add", {a.input(DType::kF32), a.input(DType::kF32, {0, 1})}));
    b.output(b.apply("add", {b.input(DType::kF32), b.input(DType::kF32, {0, 1})}));
    CHECK(golden_text(a.spec) == golden_text(b.spec));
}

TEST(representative_programs_have_the_bits_of_the_cpu) {
    std::vector<ProgramSpec> specs;
    for (const auto& [name, make] : golden())
        if (std::string(name) != "softmax_long" && !std::string(name).starts_with("many_"))
            specs.push_back(make());
    specs.push_back(layer_norm(DType::kF16, 1500));
    specs.push_back(layer_norm(DType::kF64, 3));
    specs.push_back(softmax(4097));
    check_programs(specs, "representative", false);
}

TEST(all_operations_have_the_bits_of_the_cpu) { check_programs(all_operations(24), "all", false); }

TEST(random_programs_have_the_bits_of_the_cpu) {
    check_programs(random_programs(80, false), "points", false);
    check_programs(random_programs(80, true, {1, 7, 16, 33, 100, 256, 1000, 1024, 1025}), "rows",
                   false);
    check_programs(random_programs(16, true, {1500, 3000, 20000}), "long_rows", true);
}

TEST(rows_of_any_length) {
    std::vector<ProgramSpec> specs;
    for (int64_t columns : {2048, 3000, 9000, 16384, 16385, 40000, 70000}) {
        for (const DType dtype : {DType::kF32, DType::kI16}) {
            Maker m({2, columns}, 1);
            const int x = m.input(dtype);
            const int sum = m.reduce(ReduceKind::kSum, x), top = m.reduce(ReduceKind::kMax, x);
            const int f = m.cast(x, DType::kF32);
            const int var = m.reduce(ReduceKind::kVar, f), mean = m.reduce(ReduceKind::kMean, f);
            m.output_row(sum);
            m.output_row(top);
            m.output_row(mean);
            m.output(m.apply("multiply", {m.apply("subtract", {f, mean}), var}));
            specs.push_back(m.spec);
        }
    }
    Maker empty({3, 0}, 1);
    const int x = empty.input(DType::kF32);
    empty.output_row(empty.reduce(ReduceKind::kSum, x));
    empty.output_row(empty.reduce(ReduceKind::kMean, x));
    specs.push_back(empty.spec);
    Maker none({0, 5}, 1);
    none.output_row(none.reduce(ReduceKind::kSum, none.input(DType::kF32)));
    specs.push_back(none.spec);
    Maker nothing({4, 0});
    nothing.output(nothing.apply("exp", {nothing.input(DType::kF32)}));
    specs.push_back(nothing.spec);
    check_programs(specs, "long", true);
}

// The code of programs with many elements, run with the arguments of one with few.
TEST(indices_of_64_bits) {
    if (!have_compiler()) return;
    const std::vector<std::pair<ProgramSpec, ProgramSpec>> pairs = {
        {points_of(kMany), points_of(9)},
        {rows_of(kMany, 40), rows_of(9, 40)},
        {rows_of(kMany, 3000), rows_of(2, 3000)}};
    std::vector<cuda::ProgramSource> sources;
    for (const auto& [many, few] : pairs) {
        sources.push_back(cuda::program_source(few));
        const std::string narrow = sources.back().text;
        sources.back().text = cuda::program_source(many).text;
        CHECK(narrow.find("uint32_t Index") != std::string::npos);
        CHECK(sources.back().text.find("int64_t Index") != std::string::npos);
    }
    const Library library(sources, folder(), "many");
    CHECK_EQ(library.error, std::string());
    for (size_t i = 0; i < pairs.size(); ++i) {
        const ProgramSpec& spec = pairs[i].second;
        const Buffers inputs = make_buffers(spec);
        Buffers got = copy_of(inputs), wanted = copy_of(inputs);
        Backend& reference = backend(parse_device("reference"));
        reference.run_program(0, *reference.compile(spec), wanted.at.data(), kNumbers.data());
        run_shim(library.kernel(i), sources[i], got, nullptr);
        CHECK_EQ(difference(spec, got, wanted), std::string());
    }
}

TEST(an_epilogue_reads_the_product_that_it_is_given) {
    if (!have_compiler()) return;
    Maker m({20, 36});
    const int x = m.input(DType::kF32), bias = m.input(DType::kF32, {0, 1});
    m.output(m.apply("relu", {m.apply("add", {x, bias})}));
    m.spec.product = 0;
    const cuda::ProgramSource source = cuda::program_source(m.spec);
    const Library library({source}, folder(), "epilogue");
    CHECK_EQ(library.error, std::string());
    const Buffers inputs = make_buffers(m.spec);
    Buffers got = copy_of(inputs), wanted = copy_of(inputs);
    ProgramSpec plain = m.spec;
    plain.product = -1;
    Backend& reference = backend(parse_device("reference"));
    reference.run_program(0, *reference.compile(plain), wanted.at.data(), kNumbers.data());
    void* const product = got.at[0];
    got.at[0] = nullptr;
    run_shim(library.kernel(0), source, got, product);
    CHECK_EQ(difference(m.spec, got, wanted), std::string());
}

TEST(wide_accesses_need_aligned_pointers) {
    if (!have_compiler()) return;
    Maker m({1000});
    m.output(m.apply("negative", {m.input(DType::kF32)}));
    const cuda::ProgramSource source = cuda::program_source(m.spec);
    CHECK(source.text.find("args.wide") != std::string::npos);
    const Library library({source}, folder(), "aligned");
    std::vector<float> x(1004), y(1004);
    for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i);
    for (int shift = 0; shift < 3; ++shift) {
        void* at[2] = {x.data() + shift, y.data() + 2};
        std::vector<uint64_t> words(source.args.bytes() / 8);
        source.args.fill(words.data(), at, nullptr, nullptr);
        ShimLaunch launch;
        launch.blocks[0] = source.blocks.x;
        launch.threads[0] = source.threads;
        library.kernel(0)(&launch, words.data());
        bool equal = true;
        for (size_t i = 0; i < 1000; ++i) equal &= y[i + 2] == -x[i + static_cast<size_t>(shift)];
        CHECK(equal);
    }
}

// A line for each set of definitions that a kernel source is ever compiled with.
std::string kernel_variants() {
    std::set<std::string> lines;
    for (const cuda::KernelSource* kernel : cuda::declared_kernels()) {
        for (const std::vector<std::string>& definitions : kernel->variants()) {
            std::string line = kernel->file();
            for (const std::string& d : definitions) line += " " + d;
            lines.insert(line + "\n");
        }
    }
    std::string text;
    for (const std::string& line : lines) text += line;
    return text;
}

void write_file(const fs::path& path, const std::string& text) { std::ofstream(path) << text; }

}  // namespace

int main(int argc, char** argv) {
    const std::string mode = argc > 1 ? argv[1] : "";
    if (mode == "--update") {
        fs::create_directories(kRoot / "tests/cuda/golden");
        for (const auto& [name, make] : golden())
            write_file(kRoot / "tests/cuda/golden" / (std::string(name) + ".cu"),
                       golden_text(make()));
        return 0;
    }
    if (mode == "--write") {
        const fs::path to = argv[2];
        fs::create_directories(to);
        for (const auto& [name, make] : golden())
            write_file(to / (std::string(name) + ".cu"), golden_text(make()));
        size_t number = 0;
        for (const ProgramSpec& spec : all_operations(24))
            write_file(to / ("operations_" + std::to_string(number++) + ".cu"), golden_text(spec));
        write_file(to / "kernels.txt", kernel_variants());
        return 0;
    }
    const int failed = sn::test::run();
    fs::remove_all(folder());
    return failed;
}
